"""Notebooks without Jupyter: run, written with their outputs, shown as a page.

A cell's output is what it prints, then the value of its last expression: a matplotlib figure as a
picture, anything else as text. `python -m docs.site.notebook docs/tour.ipynb` runs a notebook in a
temporary folder and writes the outputs into it.

Source:  The Jupyter notebook format, nbformat 4.5; of it code and markdown cells, and the outputs
         stream and execute_result.
"""

import ast
import base64
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

DOTS = 80
"""Dots an inch of a figure."""
Output = dict[str, Any]


def run_cells(notebook: dict[str, Any], folder: Path) -> Iterator[list[Output]]:
    """Run the code cells in order in one namespace, and yield the outputs of each.

    Paths in the cells are relative to `folder`. What a cell raises is raised.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(_code_cells(notebook), start=1):
        with chdir(folder):
            yield _run("".join(cell["source"]), names, number)


def write_outputs(path: Path) -> None:
    """Run a notebook, and write it with its outputs."""
    notebook = json.loads(path.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        found = list(run_cells(notebook, Path(folder)))
    for number, (cell, outputs) in enumerate(zip(_code_cells(notebook), found, strict=True), 1):
        cell["execution_count"], cell["outputs"] = number, outputs
    path.write_text(json.dumps(notebook, indent=1) + "\n", "utf-8")


def to_markdown(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, str | bytes]]:
    """Return a notebook as a page, and its pictures as files in the folder `name`."""
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                file = f"{name}/{len(pictures) + 1}.png"
                pictures[file] = base64.b64decode(data["image/png"])
                parts.append(f"![{''.join(data['text/plain'])}]({file})")
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _run(source: str, names: dict[str, Any], number: int) -> list[Output]:
    tree = ast.parse(source, f"cell {number}")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    outputs: list[Output] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        about = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
        outputs.append(about | {"data": _shown(value)})
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    if not hasattr(value, "savefig"):
        return {"text/plain": repr(value).splitlines(keepends=True)}
    file = io.BytesIO()
    value.savefig(file, dpi=DOTS, metadata={"Software": None})
    title = value.get_suptitle() or "a figure"
    return {
        "image/png": base64.b64encode(file.getvalue()).decode(),
        "text/plain": [title],
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for argument in sys.argv[1:]:
        write_outputs(Path(argument))
