"""`alexnet localize`: boxes trained, judged, and written as ILSVRC took them."""

import json
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.evaluation.interval import wilson
from alexnet.model import create, open_model, save_model
from alexnet.training import loop, setup
from tests.cli.conftest import Capture
from tests.cli.test_tested import classes_file
from tests.conftest import SHAPES, make_pictures, tiny_recipe
from tests.data.small_ilsvrc import voc_xml


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write class folders with VOC's XML beside each picture, the box in the middle."""
    root = make_pictures(tmp_path_factory.mktemp("data"), classes=SHAPES, per_class=6)
    for path in root.glob("*/*.jpg"):
        path.with_suffix(".xml").write_bytes(voc_xml(path.stem, [(8, 6, 24, 18)]))
    return root


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    loop.train(setup.start(tiny_recipe(data), folder))
    return folder


def words(*each: object) -> list[str]:
    return ["localize", *map(str, each)]


SMALL = ("--epochs", "2", "--batch", "8", "--hidden", "16", "8")


def test_boxes_are_trained_judged_and_written(
    data: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(words("train", trained, data, *SMALL)) == 0
    shown = capsys.readouterr()
    assert "epoch 2 of 2: loss 0." in shown.err
    assert f"next: alexnet localize eval {trained} {data} --views 10" in shown.out
    record = json.loads((trained / "boxes" / "manifest.json").read_text())["record"]
    assert run(words("eval", trained, data, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in record["validation"]} == record["validation"]
    assert found["pictures"] == 6
    assert run(words("eval", trained, data)) == 0
    table = capsys.readouterr().out
    assert f"mean overlap of the true class's box: {found['mean_overlap']:.3f}" in table
    row = next(line for line in table.splitlines() if line.startswith("class, first guess"))
    wrong, share, low, _, high = row.split()[-5:]
    errors = found["top1_class_errors"]
    assert (int(wrong), share) == (errors, f"{errors / 6:.2%}")
    assert (low, high) == tuple(f"{each:.1%}" for each in wilson(errors, 6))
    file, names = tmp_path / "boxes.txt", sorted(SHAPES)
    assert run(words("eval", trained, data, "--submission", file)) == 2
    assert "has no classes.json, which tells the ILSVRC IDs" in capsys.readouterr().err
    classes_file(data, names)
    assert run(words("eval", trained, data, "--submission", file)) == 0
    lines = [line.split() for line in file.read_text().splitlines()]
    assert [len(line) for line in lines] == [25] * 6
    for line in lines:
        assert all(95 <= int(each) <= 100 for each in line[::5])
        assert all(int(line[i + 1]) <= int(line[i + 3]) for i in range(0, 25, 5))


def test_what_is_missing_is_said(
    data: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = open_model(trained)
    save_model(create("tiny", ("a", "b"), model.preprocessing, seed=0), tmp_path / "other")
    plain = make_pictures(tmp_path / "plain", per_class=4)
    for line, code, message in (
        (words("eval", tmp_path / "other", data), 3, "other/boxes holds no boxes (no manifest"),
        (words("train", tmp_path / "other", data), 3, "the net has no class 'cross'"),
        (words("train", trained, plain), 3, "plain has no boxes for the pictures to train on"),
        (words("train", trained, data, "--epochs", 0), 2, "epochs is 0; it must be above 0"),
        (words("train", trained, data, "--out", tmp_path / "other"), 2, "other holds a model, whi"),
    ):
        assert run(line) == code
        assert message in capsys.readouterr().err
