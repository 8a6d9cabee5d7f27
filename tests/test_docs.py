"""Every example of README.md and docs/ is run, or is given a reason and checked without running.

The pieces of docs/convolution.md are run by test_convolution_guide.py, those of the tour by
test_tour.py.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.caffe import TEST, Net
from alexnet.cli import run
from alexnet.nets import NETS
from alexnet.training import setup
from alexnet.training.loop import train
from tests.conftest import make_pictures, tiny_recipe
from tests.doc_examples import (
    KINDS,
    NOT_RUN,
    PAGES,
    PYTHON_NOT_RUN,
    Block,
    Command,
    blocks,
    commands,
    wrong,
    wrong_module,
)
from tests.serve.live import start

SERVER = "http://127.0.0.1:8000"
NAME = "runs/photos-alexnet-1"
CLASSES = ("church", "dog", "parachute")
PROTOTXT = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
ALL = [
    command for page in PAGES for b in blocks(page) if b.kind == "bash" for command in commands(b)
]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> Path:
    """Return a folder with what the pages speak of: photos, a run of a tiny net, Caffe's files."""
    folder = tmp_path_factory.mktemp("workshop")
    photos = make_pictures(folder / "photos", classes=CLASSES, per_class=8, size=80)
    make_pictures(folder / "others", classes=CLASSES, per_class=3, size=80, seed=1)
    shutil.copytree(folder / "others" / "dog", folder / "folder-of-photos")
    shutil.copy(photos / "dog" / "0001.jpg", folder / "new-photo.jpg")
    shutil.copy(photos / "church" / "0001.jpg", folder / "church.jpg")
    train(setup.start(tiny_recipe(photos), folder / NAME))
    (folder / "deploy.prototxt").write_text(PROTOTXT)
    Net(str(folder / "deploy.prototxt"), TEST).save(str(folder / "weights.caffemodel"))
    return folder


@pytest.fixture
def desk(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the workshop, and go there; names given to nets are forgotten afterwards."""
    folder = tmp_path / "desk"
    shutil.copytree(workshop, folder)
    recipe = folder / NAME / "recipe.toml"
    recipe.write_text(recipe.read_text().replace(str(workshop), str(folder)))
    for known in set(NETS):
        monkeypatch.setitem(NETS, known, NETS[known])
    monkeypatch.chdir(folder)
    return folder


@contextmanager
def server(page: str) -> Iterator[str]:
    """Yield where the examples' server is, if the page asks one."""
    if not any(SERVER in block.code for block in blocks(page)):
        yield SERVER
        return
    with start(Path("runs")) as live:
        yield f"http://127.0.0.1:{live.port}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/RESULTS.md"])
def test_every_example_of_a_page_runs(page: str, desk: Path) -> None:
    known = set(NETS)
    try:
        with server(page) as address:
            names: dict[str, Any] = {}
            for block in blocks(page):
                if block.kind == "python":
                    given = {"net": torch.nn.Conv2d(3, 4, 3), "pictures": 0.5}
                    names = given if page == "README.md" else names
                    run_python(block, names, address)
                elif block.kind == "bash":
                    for command in commands(block):
                        if not command.reason:
                            run_command(command, address)
    finally:
        for name in set(NETS) - known:
            del NETS[name]


def run_python(block: Block, names: dict[str, Any], address: str) -> None:
    """Run a block of Python; a traceback names the page and the line there."""
    code = "\n" * (block.line - 1) + block.code.replace(SERVER, address)
    names.setdefault("__name__", "__main__")
    program = compile(code, block.page, "exec")
    if not any(what in code for what, _ in PYTHON_NOT_RUN):
        exec(program, names)


def run_command(command: Command, address: str) -> None:
    """Run a command, alexnet's in this process."""
    words = [word.replace(SERVER, address) for word in command.words]
    if words[0] == "curl":
        if shutil.which("curl") is None:
            return
        done = subprocess.run(["curl", "-sS", "-m", "60", *words[1:]], capture_output=True)
        assert done.returncode == 0, f"{command.place}: {done.stderr.decode()}"
        assert b'"error"' not in done.stdout, f"{command.place}: {done.stdout.decode()}"
        return
    assert words[0].endswith("alexnet"), f"{command.place}: who runs {words[0]}?"
    assert run(words[1:]) == 0, f"{command.place}: {command.text}"


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    odd = [f"{b.page}:{b.line}: {b.kind or 'no kind'}" for page in PAGES for b in blocks(page)]
    assert not [each for each in odd if each.rpartition(" ")[2] not in KINDS]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_understood(page: str) -> None:
    found = [each for each in ALL if each.place.startswith(f"{page}:")]
    said = [f"{each.place}: {message}" for each in found if (message := wrong(each))]
    assert not said, "\n".join(said)


def test_of_the_commands_many_are_run_and_every_reason_not_to_is_needed() -> None:
    reasons = [each.reason for each in ALL]
    assert reasons.count("") > 20
    assert set(reasons) - {""} == {why for _, why in NOT_RUN}
    python = [block.code for page in PAGES for block in blocks(page) if block.kind == "python"]
    assert all(any(what in code for code in python) for what, _ in PYTHON_NOT_RUN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alexnet predcit RUN x.jpg", "Unknown"),
        ("alexnet predict RUN x.jpg --tpo 3", "Unknown option"),
        ("alexnet export RUN --to onx", "Invalid value"),
        (".venv/bin/alexnet similar RUN", "requires an argument"),
        ("torchrun --nproc-per-node 2 -m alexnet train photos/ --colums 2", "Unknown option"),
        ("torchrun script.py", "no -m alexnet"),
        ("python -m benchmarks.no_such", "no module"),
        ("python -m benchmarks.kernels --no-such", "knows no --no-such"),
        ("python script.py", "runs no module"),
        ("make cake", "make has no cake"),
        ("pip install 'alexnet[cake]'", "no extra cake"),
        ("rm -rf runs", "what is rm"),
    ],
)
def test_a_command_that_is_none_is_found(text: str, message: str) -> None:
    assert message in wrong(Command("a page:1", text))


def test_a_command_goes_on_after_a_backslash_and_ends_at_a_comment() -> None:
    block = Block(
        "a page", 5, "bash", "alexnet train \\\n    photos/  # yours\n\nA=1 make demo > x\n"
    )
    first, second = commands(block)
    assert (first.place, first.words) == ("a page:5", ["alexnet", "train", "photos/"])
    assert (second.place, second.words) == ("a page:8", ["make", "demo"])
    assert wrong_module(["-m", "alexnet", "summary", "alexnet"]) == ""
