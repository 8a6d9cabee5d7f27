"""`alexnet data explore`: what it prints, draws and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from alexnet.cli import run
from alexnet.inspection import panels
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures

pytest.importorskip("matplotlib")

SMALL = ("--recipe", "lenet")


@pytest.fixture
def photos(pictures: MakePictures) -> Path:
    """Write train/ of 2 x 10 and val/ of 2 x 2 pictures."""
    pictures("photos/train", classes=("cat", "dog"), per_class=10, size=40)
    return pictures("photos/val", classes=("cat", "dog"), per_class=2, size=40, seed=1).parent


def explore(capsys: Capture, *words: object) -> tuple[str, str]:
    assert run(["data", "explore", *map(str, words)]) == 0
    shown = capsys.readouterr()
    return shown.out, shown.err


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures be made but not written: that takes a second each."""

    def save(figure: object, folder: Path, name: str) -> list[Path]:
        paths = [folder / f"{name}.{kind}" for kind in panels.FORMATS]
        for path in paths:
            path.touch()
        return paths

    monkeypatch.setattr(panels, "save_figure", save)


def test_facts_are_printed_and_figures_written(
    capsys: Capture, photos: Path, tmp_path: Path
) -> None:
    shown, errors = explore(capsys, photos, "--out", tmp_path / "out", *SMALL)
    lines = shown.splitlines()
    assert lines[:5] == [
        f"{photos}: a folder with a sub-folder of pictures for each class",
        "classes        2",
        "train          20; 10 a class",
        "val            4; 2 a class",
        "looked at      20 of train, all",
    ]
    assert lines[5] == "types          JPEG 20"
    assert lines[11] == "prepared for   lenet-5, 32 pixels cut from 32"
    assert lines[12].startswith("first batch    6 x 1 x 32 x 32, mean ")
    assert errors == ""
    names = ["class-sizes", "colours", "first-batch", "picture-sizes", "pictures"]
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert f"{tmp_path}/out/pictures.png and .svg: pictures of each class" in lines


@pytest.mark.usefixtures("undrawn")
def test_json_has_the_facts_the_findings_and_the_files(
    capsys: Capture, photos: Path, tmp_path: Path
) -> None:
    shown, _ = explore(capsys, photos, "--out", tmp_path / "out", "--json", *SMALL, "--pictures", 5)
    told = json.loads(shown)
    assert told["looked_at"] == 5
    assert told["classes"] == {"cat": [10, 2], "dog": [10, 2]}
    assert told["first_batch"]["shape"] == [6, 1, 32, 32]
    assert told["refusal"] == ""
    assert told["findings"] == []
    assert all(Path(name).is_file() for name in told["figures"])
    vectors = np.array(told["principal_colours"])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)  # float32


@pytest.mark.usefixtures("undrawn")
def test_data_that_a_training_refuses_are_shown_all_the_same(
    capsys: Capture, pictures: MakePictures, tmp_path: Path
) -> None:
    root = pictures(classes=("cat",), per_class=3, size=40)
    shown, errors = explore(capsys, root, "--out", tmp_path / "out", *SMALL)
    assert "first batch    none, a training would refuse these data: " in shown
    assert "ERROR: there is nothing to tell apart (1)" in shown
    assert "validation     no pictures of its own: a training holds out 10% of each class" in shown
    assert errors == "left out first-batch: a training would refuse these data\n"
    assert not (tmp_path / "out/first-batch.png").exists()


@pytest.mark.usefixtures("undrawn")
def test_pictures_of_one_size_have_no_figure_of_it(
    capsys: Capture, tmp_path: Path, pictures: MakePictures
) -> None:
    import simplejpeg

    for name in ("cat", "dog"):
        (tmp_path / "same" / name).mkdir(parents=True)
        for number in range(3):
            picture = np.full((16, 16, 3), 40 * number, np.uint8)
            path = tmp_path / "same" / name / f"{number}.jpg"
            path.write_bytes(simplejpeg.encode_jpeg(picture, colorspace="RGB"))
    shown, errors = explore(capsys, tmp_path / "same", "--out", tmp_path / "out", *SMALL)
    assert "left out picture-sizes: all are 16 x 16 pixels\n" in errors
    assert "width          16 pixels\n" in shown
    assert "Warning: pictures smaller than the crop, which are enlarged (6)\n" in shown


@pytest.mark.usefixtures("undrawn")
def test_many_classes_have_several_sheets(
    capsys: Capture, tmp_path: Path, pictures: MakePictures
) -> None:
    names = [f"class {number:03d}" for number in range(41)]
    root = pictures("many/train", classes=names, per_class=2, size=32).parent
    pictures("many/val", classes=names[:2], per_class=1, size=32)
    shown, _ = explore(capsys, root, "--out", tmp_path / "out", *SMALL)
    assert "pictures-02.png and .svg: pictures of each class, sheet 2 of 2" in shown
    assert (tmp_path / "out/pictures-02.svg").is_file()
    assert "Warning: classes that the validation set lacks (39)" in shown


def test_figures_never_lie_among_the_pictures(
    capsys: Capture, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = run(["data", "explore", str(photos), "--out", str(photos / "train/seen")])
    message = r"the figures would lie in .*seen, among the pictures of .*give another .* --out"
    refused(code, capsys, expected=2, message=message)
    monkeypatch.chdir(photos)
    refused(run(["data", "explore", "."]), capsys, expected=2, message="would lie in explored/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pictures", "0"), "pictures is 0; it must be at least 1"),
        (("--show", "0"), "show is 0; it must be at least 1"),
        (("--recipe", "quik"), "no recipe is called 'quik'"),
        (("--net", "alexnot"), "no net is called 'alexnot'"),
        (("--picture-size", "100"), "input_size 227 does not fit into pictures of 100 pixels"),
    ],
)
def test_odd_options_are_refused(
    capsys: Capture, tmp_path: Path, words: tuple[str, str], message: str
) -> None:
    code = run(["data", "explore", str(tmp_path), *words])
    refused(code, capsys, expected=2, message=message)


def test_a_folder_that_is_no_data_set_is_refused(capsys: Capture, tmp_path: Path) -> None:
    code = run(["data", "explore", str(tmp_path / "none")])
    refused(code, capsys, expected=3, message="none does not exist")


def test_without_matplotlib_the_way_out_is_named(
    capsys: Capture, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda name: None)
    refused(run(["data", "explore", str(photos)]), capsys, expected=4, message="need matplotlib")
