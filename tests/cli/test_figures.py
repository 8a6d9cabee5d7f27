"""`alexnet figures`: the files that it leaves, and what it refuses."""

from pathlib import Path

import pytest
import torch

from alexnet.cli import run
from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.inspection import panels
from alexnet.model import create, save_model
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Write a model that has learned nothing."""
    statistics = Statistics(torch.zeros(70, 70, 3), torch.zeros(3), torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics, 70, 67, divide_by=64.0)
    folder = tmp_path / "run"
    save_model(create("tiny", ("cross", "disc"), preprocessing, seed=0), folder / "model")
    return folder


def test_figures_asked_for_are_written_and_named(
    model: Path, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("matplotlib")
    data = pictures(classes=("cross", "disc"), per_class=4)
    words = [
        "figures",
        str(model),
        str(data),
        "--only",
        "kernels",
        "grad-cam",
        "--layer",
        "features.8",
    ]
    assert run(words) == 0
    folder = model / "figures"
    names = sorted(each.name for each in folder.iterdir())
    assert names == ["grad-cam.png", "grad-cam.svg", "kernels.png", "kernels.svg"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{folder}/kernels.png and .svg: the first kernels, by column: figure 3"
    assert printed[1].startswith("  the columns are not specialised in colour: a kernel of column ")
    assert printed[2] == f"{folder}/grad-cam.png and .svg: what speaks for the answer"
    before = [each.read_bytes() for each in sorted(folder.iterdir())]
    assert run([*words, "--out", str(tmp_path / "again")]) == 0
    assert [each.read_bytes() for each in sorted((tmp_path / "again").iterdir())] == before


def test_odd_input_is_answered(model: Path, capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cases = [
        (["--only", "kernal"], 2, r"no figure is called 'kernal' \(did you mean 'kernels'"),
        (["--only", "occlusion"], 2, "occlusion needs pictures; name them: figures RUN DATA"),
        (["--layer", "conv9"], 2, r"no layer is called 'conv9' \(did you mean 'conv"),
        (["--pictures", "0"], 2, "pictures is 0; it must be at least 1"),
        (["--only", "curves"], 2, "has no journal.jsonl, and so no curves"),
        ([str(tmp_path / "no")], 3, "does not exist"),
    ]
    for words, code, message in cases:
        status = run(["figures", str(model), *words])
        refused(status, capsys, expected=code, message=message)


def test_without_matplotlib_nothing_is_begun(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda name: None)
    status = run(["figures", str(model)])
    refused(status, capsys, expected=4, message=r"pip install 'alexnet\[figures\]'")
    assert not (model / "figures").exists()
