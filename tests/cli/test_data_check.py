"""`alexnet data check`: what it prints, its exit codes and its refusals."""

import json
import re
import shutil
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.data.findings import KINDS
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures, make_pictures

CLASSES = ("cat", "dog")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write train/ of 2 x 10 and val/ of 2 x 2 pictures that all differ."""
    make_pictures(tmp_path / "photos/train", classes=CLASSES, per_class=10)
    make_pictures(tmp_path / "photos/val", classes=CLASSES, per_class=2, seed=1)
    return tmp_path / "photos"


def check(capsys: Capture, *words: object) -> tuple[int, str]:
    code = run(["data", "check", *map(str, words)])
    shown = capsys.readouterr()
    assert shown.err == ""  # no bar where there is no terminal
    return code, shown.out


def test_good_pictures_are_fit(capsys: Capture, photos: Path) -> None:
    code, shown = check(capsys, photos)
    assert code == 0
    size = sum(path.stat().st_size for path in photos.rglob("*.jpg"))
    assert shown.splitlines() == [
        f"{photos}: a folder with a sub-folder of pictures for each class",
        f"pictures      24 (train 20, val 4), {size / 1e3:.1f} kB",
        "shorter side  64 pixels",
        "classes       2 of 10 pictures to train on",
        "",
        "Fit for training: nothing to remark.",
    ]


def test_a_leak_is_refused_and_both_files_are_named(capsys: Capture, photos: Path) -> None:
    shutil.copy(photos / "train/cat/0003.jpg", photos / "val/cat/copy.jpg")
    code, shown = check(capsys, photos)
    assert code == 3
    assert shown.splitlines()[5:] == [
        "ERROR: pictures that stand in train and in validation (1 set of 2)",
        f"  -> {KINDS['leak'].advice}",
        "  same bytes  train/cat/0003.jpg",
        "              val/cat/copy.jpg",
        "",
        "Not fit for training: 1 error.",
    ]


def test_warnings_are_refused_under_strict_only(capsys: Capture, photos: Path) -> None:
    (photos / "train/cat/notes.txt").write_bytes(b"x")
    code, shown = check(capsys, photos)
    assert code == 0
    assert shown.endswith("Fit for training: 1 warning.\n")
    code, shown = check(capsys, photos, "--strict")
    assert code == 3
    assert shown.endswith("Fit for training, but not under --strict: 1 warning.\n")


def test_notes_are_never_refused(capsys: Capture, photos: Path) -> None:
    (photos / "train/.hidden").write_bytes(b"x")
    code, shown = check(capsys, photos, "--strict")
    assert code == 0
    assert shown.endswith("Fit for training: 1 note.\n")


def test_show_limits_the_lines_and_says_how_many_are_left(capsys: Capture, photos: Path) -> None:
    for number in range(4):
        (photos / f"train/cat/{number}.txt").write_bytes(b"x")
    _, shown = check(capsys, photos, "--show", 2)
    assert "  train/cat/1.txt  suffix .txt, 1 byte\n  and 2 more: --show 4 or --json\n" in shown
    _, shown = check(capsys, photos, "--show", 4)
    assert "more:" not in shown


def test_json_has_everything(capsys: Capture, photos: Path) -> None:
    (photos / "train/cat/0003.jpg").write_bytes(b"")
    for number in range(9):
        (photos / f"train/cat/{number}.txt").write_bytes(b"x")
    code, shown = check(capsys, photos, "--json", "--show", 1)
    found = json.loads(shown)
    assert code == 3
    assert found["refused"] is True
    assert found["data"] == str(photos)
    assert found["sets"] == {"train": 20, "val": 4}
    counts = {finding["kind"]: finding["count"] for finding in found["findings"]}
    assert counts == {"bad": 1, "left-out": 9}
    (bad,) = (finding for finding in found["findings"] if finding["kind"] == "bad")
    assert bad["items"] == [{"paths": ["train/cat/0003.jpg"], "detail": "the file is empty"}]


def test_tiny_sets_the_limit(capsys: Capture, photos: Path) -> None:
    _, shown = check(capsys, photos, "--tiny", 65, "--show", 1)
    assert "Warning: pictures of few pixels (24)" in shown
    _, shown = check(capsys, photos, "--tiny", 0)
    assert "few pixels" not in shown


def test_names_that_are_no_text_are_shown_as_bytes(capsys: Capture, photos: Path) -> None:
    name = b"\xff\x1b.txt".decode("utf-8", "surrogateescape")
    (photos / "train/cat" / name).write_bytes(b"x")
    _, shown = check(capsys, photos)
    assert r"train/cat/\xff?.txt" in shown
    _, shown = check(capsys, photos, "--json")
    (found,) = json.loads(shown)["findings"]
    assert found["items"][0]["paths"] == ["train/cat/\\xff\x1b.txt"]


def test_long_reasons_stand_below_and_long_sets_are_cut(capsys: Capture, photos: Path) -> None:
    page = photos / "train/cat/a-long-name-for-a-picture-of-a-cat.jpg"
    page.write_bytes(b"<html>not found</html>")
    for number in range(7):
        shutil.copy(photos / "train/dog/0000.jpg", photos / f"train/dog/copy-{number}.jpg")
    _, shown = check(capsys, photos)
    assert max(map(len, shown.splitlines()[1:])) <= 100
    below = "  train/cat/a-long-name-for-a-picture-of-a-cat.jpg\n    this is an HTML page (perhaps"
    assert below in shown
    assert "(1 set of 8)" in shown
    assert "train/dog/copy-4.jpg\n              and 2 more\n" in shown


def test_remarks_without_files_are_printed_alone(capsys: Capture, pictures: MakePictures) -> None:
    code, shown = check(capsys, pictures(classes=("9", "10"), per_class=10))
    assert code == 0
    assert "Note: remarks on opening the data set (1)" in shown
    assert "\n  classes are in code-point order, with '10' before '9'" in shown


def test_sizes_that_differ_are_shown_from_least_to_greatest(capsys: Capture, photos: Path) -> None:
    make_pictures(photos / "train", classes=("eel",), per_class=12, size=80, seed=4)
    _, shown = check(capsys, photos)
    assert "shorter side  64 to 80 pixels, the median 64\n" in shown
    assert "classes       3 of 10 (cat) to 12 (eel) pictures to train on\n" in shown


def test_a_terminal_sees_a_bar(
    capsys: Capture, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(["data", "check", str(photos)]) == 0
    shown = re.sub("\x1b[^A-Za-z]*[A-Za-z]", "", capsys.readouterr().err)
    assert "24/24" in shown


def test_a_folder_that_is_missing_a_file_or_empty_is_refused(
    capsys: Capture, tmp_path: Path, photos: Path
) -> None:
    code = run(["data", "check", str(tmp_path / "phtos")])
    refused(code, capsys, expected=3, message=r"phtos does not exist.*did you mean 'photos'")
    code = run(["data", "check", str(photos / "train/cat/0000.jpg")])
    refused(code, capsys, expected=3, message="is a file of no form that is known")
    (tmp_path / "empty").mkdir()
    code = run(["data", "check", str(tmp_path / "empty")])
    refused(code, capsys, expected=3, message="empty has no class folders")


def test_numbers_that_make_no_sense_are_refused(capsys: Capture, photos: Path) -> None:
    code = run(["data", "check", str(photos), "--show", "0"])
    refused(code, capsys, expected=2, message="show is 0; it must be at least 1, as in --show 5")
    code = run(["data", "check", str(photos), "--tiny", "-1"])
    refused(code, capsys, expected=2, message="tiny is -1; give a number of pixels")
