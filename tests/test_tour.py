"""The tour: a notebook whose cells run in order, and whose outputs are those of its cells."""

import json
from pathlib import Path

import pytest

from alexnet.nets import NETS
from docs.site.notebook import Output, run_cells, to_markdown, write_outputs
from tests.layout import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"
LARGEST = 300_000


def test_every_cell_of_the_tour_runs_and_prints_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="the tour draws figures")
    monkeypatch.setitem(NETS, "small", NETS["alexnet"])  # the tour's own; forgotten afterwards
    notebook = json.loads(TOUR.read_text("utf-8"))
    written = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = list(run_cells(notebook, tmp_path))
    assert [kinds(each) for each in found] == [kinds(each) for each in written]
    assert said(found[0]) == said(written[0])  # counts, which no machine changes
    assert said(found[2]) == said(written[2])
    right = int(said(found[-1]).splitlines()[-1].split()[0])
    assert right > 125  # of 250 digits; chance leaves 25


def kinds(outputs: list[Output]) -> list[tuple[str, list[str]]]:
    """Return of what kind outputs are."""
    return [(each["output_type"], sorted(each.get("data", {}))) for each in outputs]


def said(outputs: list[Output]) -> str:
    """Return what was printed."""
    return "".join(line for each in outputs for line in each.get("text", []))


def test_the_first_page_shows_the_net_as_the_tour_draws_it() -> None:
    _, pictures = to_markdown(json.loads(TOUR.read_text("utf-8")), "tour")
    assert (ROOT / "docs" / "site" / "net.png").read_bytes() == pictures["tour/1.png"]


def test_the_tour_is_a_small_notebook_of_format_four() -> None:
    notebook = json.loads(TOUR.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert TOUR.stat().st_size < LARGEST
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"}
        wanted |= {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == wanted


def test_outputs_are_written_into_a_notebook(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# words"]},
        {"cell_type": "code", "source": ["x = 2\n", "print('a')\n", "x * 21"], "outputs": []},
        {"cell_type": "code", "source": ["y = x"], "outputs": []},
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    write_outputs(path)
    _, first, second = json.loads(path.read_text())["cells"]
    assert first["outputs"] == [
        {"output_type": "stream", "name": "stdout", "text": ["a\n"]},
        {
            "output_type": "execute_result",
            "execution_count": 1,
            "metadata": {},
            "data": {"text/plain": ["42"]},
        },
    ]
    assert (second["outputs"], second["execution_count"]) == ([], 2)


def test_what_a_cell_raises_names_the_cell(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": ["1 / 0"], "outputs": []}]
    with pytest.raises(ZeroDivisionError) as caught:
        list(run_cells({"cells": cells}, tmp_path))
    assert str(caught.traceback[-1].path).endswith("cell 1")
