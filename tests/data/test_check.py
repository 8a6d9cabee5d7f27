"""`check` finds what was done to good pictures, names the files, and finds nothing in good ones."""

import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from alexnet.data.check import Report, check
from alexnet.data.folder import DataError
from tests.conftest import SHAPES, MakePictures, make_pictures

CLASSES = ("cat", "dog")
Found = dict[str, list[tuple[tuple[str, ...], str]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write train/ of 2 x 12 and val/ of 2 x 3 pictures that all differ."""
    make_pictures(tmp_path / "photos/train", classes=CLASSES, per_class=12, size=96)
    make_pictures(tmp_path / "photos/val", classes=CLASSES, per_class=3, size=96, seed=1)
    return tmp_path / "photos"


def read(report: Report) -> Found:
    return {
        finding.kind: [(item.paths, item.detail) for item in finding.items]
        for finding in report.findings
    }


def severity(report: Report, kind: str) -> str:
    (found,) = (finding.severity for finding in report.findings if finding.kind == kind)
    return found


def alter(source: Path, target: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    with Image.open(source) as opened:
        changed = change(opened.convert("RGB"))
    changed.save(target)


def copy(root: Path, source: str, target: str) -> None:
    shutil.copy(root / source, root / target)


def test_nothing_is_found_in_pictures_that_differ(tmp_path: Path) -> None:
    make_pictures(tmp_path / "train", classes=SHAPES, per_class=20)
    make_pictures(tmp_path / "val", classes=SHAPES, per_class=4, seed=1)
    report = check(tmp_path)
    assert report.findings == ()
    assert report.sets == {"train": 120, "val": 24}
    assert report.classes == dict.fromkeys(sorted(SHAPES), (20, 4))
    assert report.sides == (64, 64, 64)
    assert report.num_bytes == sum(path.stat().st_size for path in tmp_path.rglob("*.jpg"))


def test_equal_files_are_copies_a_leak_or_a_contradiction(root: Path) -> None:
    copy(root, "train/cat/0000.jpg", "train/cat/copy.jpg")
    copy(root, "train/cat/0001.jpg", "val/cat/leak.jpg")
    copy(root, "train/cat/0002.jpg", "train/dog/wrong.jpg")
    copy(root, "train/cat/0003.jpg", "val/dog/both.jpg")
    both = (("train/cat/0003.jpg", "val/dog/both.jpg"), "same bytes")
    assert read(check(root)) == {
        "leak": [(("train/cat/0001.jpg", "val/cat/leak.jpg"), "same bytes"), both],
        "contradiction": [(("train/cat/0002.jpg", "train/dog/wrong.jpg"), "same bytes"), both],
        "copies": [(("train/cat/0000.jpg", "train/cat/copy.jpg"), "same bytes")],
    }


def test_equal_pixels_in_other_files_are_found(root: Path) -> None:
    alter(root / "train/cat/0000.jpg", root / "train/cat/same.png", lambda picture: picture)
    alter(root / "train/dog/0001.jpg", root / "val/dog/same.bmp", lambda picture: picture)
    data = (root / "train/dog/0002.jpg").read_bytes()
    (root / "val/cat/comment.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x04hi" + data[2:])
    wrong = (("train/dog/0002.jpg", "val/cat/comment.jpg"), "same pixels")
    assert read(check(root)) == {
        "leak": [(("train/dog/0001.jpg", "val/dog/same.bmp"), "same pixels"), wrong],
        "contradiction": [wrong],
        "copies": [(("train/cat/0000.jpg", "train/cat/same.png"), "same pixels")],
    }


def test_altered_copies_look_alike(root: Path) -> None:
    train = root / "train/cat"
    alter(
        train / "0000.jpg", train / "small.jpg", lambda p: p.resize((p.width // 2, p.height // 2))
    )
    alter(train / "0001.jpg", root / "val/cat/cut.jpg", lambda p: p.crop((3, 2, p.width, p.height)))
    alter(
        train / "0002.jpg",
        root / "train/dog/light.jpg",
        lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    )
    found = read(check(root, tiny=0))
    assert {kind: [paths for paths, _ in items] for kind, items in found.items()} == {
        "leak-alike": [("train/cat/0001.jpg", "val/cat/cut.jpg")],
        "contradiction-alike": [("train/cat/0002.jpg", "train/dog/light.jpg")],
        "alike": [("train/cat/0000.jpg", "train/cat/small.jpg")],
    }
    scores = [float(detail.removeprefix("alike, ")) for ((_, detail),) in found.values()]
    assert min(scores) >= 0.93


def test_a_group_is_told_where_it_grows(root: Path) -> None:
    copy(root, "train/cat/0000.jpg", "train/cat/a.jpg")
    alter(root / "train/cat/0000.jpg", root / "train/cat/b.png", lambda picture: picture)
    alter(root / "train/cat/0000.jpg", root / "val/cat/c.jpg", lambda p: p.convert("L"))
    found = read(check(root))
    pair = ("train/cat/0000.jpg", "train/cat/a.jpg")
    assert found["copies"] == [(pair, "same bytes"), ((*pair, "train/cat/b.png"), "same pixels")]
    ((paths, _),) = found["leak-alike"]
    assert paths == (*pair, "train/cat/b.png", "val/cat/c.jpg")


def test_bad_pictures_are_an_error_above_one_in_a_hundred(root: Path) -> None:
    (root / "train/cat/0003.jpg").write_bytes(b"<html>not found</html>")
    (root / "train/dog/empty.jpg").write_bytes(b"")
    report = check(root)
    (page, reason), (empty, why) = read(report)["bad"]
    assert (page, empty) == (("train/cat/0003.jpg",), ("train/dog/empty.jpg",))
    assert "an HTML page (perhaps a failed download)" in reason
    assert why == "the file is empty"
    assert severity(report, "bad") == "error"


def test_one_bad_picture_in_a_hundred_is_a_warning(tmp_path: Path) -> None:
    make_pictures(tmp_path, classes=CLASSES, per_class=50)
    (tmp_path / "cat/0000.jpg").write_bytes(b"\xff\xd8")
    report = check(tmp_path)
    assert [finding.kind for finding in report.findings] == ["bad"]
    assert severity(report, "bad") == "warning"


def test_pictures_that_are_all_bad_are_reported(tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"same")
    report = check(tmp_path)
    assert [finding.kind for finding in report.findings] == ["bad"]
    assert report.sides == (0, 0, 0)


def test_remarkable_pictures_are_named(root: Path) -> None:
    random = np.random.default_rng(5)
    noise = Image.fromarray(random.integers(0, 256, (90, 90, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 8
    cat = root / "train/cat"
    noise.resize((200, 50)).save(cat / "long.png")
    noise.rotate(90).convert("CMYK").save(cat / "print.jpg")
    noise.rotate(180).convert("RGBA").save(cat / "clear.png")
    noise.transpose(Image.Transpose.TRANSPOSE).save(cat / "turned.jpg", exif=exif)
    noise.crop((0, 0, 70, 70)).save(cat / "really.jpg", "PNG")
    Image.new("RGB", (80, 80), (3, 90, 200)).save(cat / "blue.png")
    assert read(check(root)) == {
        "tiny": [(("train/cat/long.png",), "200 x 50")],
        "long": [(("train/cat/long.png",), "200 x 50")],
        "cmyk": [(("train/cat/print.jpg",), "")],
        "transparent": [(("train/cat/clear.png",), "")],
        "rotated": [(("train/cat/turned.jpg",), "")],
        "misnamed": [(("train/cat/really.jpg",), "a PNG")],
        "flat": [(("train/cat/blue.png",), "")],
    }


def test_pictures_of_one_colour_do_not_look_alike(root: Path) -> None:
    for number in range(3):
        Image.new("RGB", (80, 80), (number, 90, 200)).save(root / f"train/cat/{number}.png")
    assert set(read(check(root))) == {"flat"}


def test_classes_that_cannot_be_learned_or_measured_are_named(tmp_path: Path) -> None:
    make_pictures(tmp_path / "train", classes=("cat", "dog", "eel"), per_class=11)
    make_pictures(tmp_path / "train", classes=("fox",), per_class=1, seed=2)
    make_pictures(tmp_path / "val", classes=("cat", "dog", "fox", "owl"), per_class=2, seed=1)
    (tmp_path / "train/hen").mkdir()
    report = check(tmp_path)
    assert read(report) == {
        "empty-class": [(("hen",), "0 pictures")],
        "only-in-validation": [(("owl",), "2 in validation")],
        "only-in-train": [(("eel",), "11 in train")],
        "few": [(("fox",), "1 picture")],
        "imbalance": [(("fox", "cat"), "1 and 11 pictures")],
    }
    assert report.classes["eel"] == (11, 0)
    assert report.count() == {"error": 2, "warning": 3, "note": 0}


def test_one_class_is_an_error(pictures: MakePictures) -> None:
    report = check(pictures(classes=("cat",), per_class=12))
    assert read(report) == {"one-class": [(("cat",), "the only class")]}


def test_strays_order_and_other_folders_are_noted(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "val", "test")):
        make_pictures(tmp_path / name, classes=("9", "10"), per_class=12, seed=seed)
    (tmp_path / "train/9/.hidden").write_bytes(b"x")
    (tmp_path / "train/9/notes.txt").write_bytes(b"x")
    found = read(check(tmp_path))
    ((paths, note),) = found.pop("remark")
    assert paths == ()
    assert "code-point order" in note
    assert found == {
        "left-out": [(("train/9/notes.txt",), "suffix .txt, 1 byte")],
        "unused-folder": [(("test",), "")],
        "hidden": [(("train/9/.hidden",), "")],
    }


def test_a_list_of_files_is_checked_and_nothing_beside_it(pictures: MakePictures) -> None:
    root = pictures(classes=CLASSES, per_class=12)
    copy(root, "cat/0000.jpg", "dog/wrong.jpg")
    train = [
        f"{name}/{number:04d}.jpg {CLASSES.index(name)}" for name in CLASSES for number in range(10)
    ]
    (root / "train.txt").write_text("\n".join([*train, "dog/wrong.jpg 1"]))
    (root / "val.txt").write_text("cat/0010.jpg 0\ndog/0010.jpg 1\ndog/0000.jpg 1")
    found = read(check(root))
    assert [paths for paths, _ in found.pop("remark")] == [(), ()]
    assert found == {
        "leak": [(("train/dog/0000.jpg", "validation/dog/0000.jpg"), "same bytes")],
        "contradiction": [(("train/cat/0000.jpg", "train/dog/wrong.jpg"), "same bytes")],
    }


def test_of_pictures_without_files_the_pixels_are_compared(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (24, 7, 7), dtype=np.uint8)
    pixels = blocks.repeat(4, axis=1).repeat(4, axis=2)
    for name, chosen in (("train", pixels), ("t10k", pixels[[3, 5]])):
        labels = np.array([0, 1] * (len(chosen) // 2), np.uint8)
        labels = np.ones(2, np.uint8) if name == "t10k" else labels
        head = struct.pack(">4I", 0x803, len(chosen), 28, 28)
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(head + chosen.tobytes())
        head = struct.pack(">2I", 0x801, len(chosen))
        (tmp_path / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    report = check(tmp_path, tiny=28)
    found = read(report)
    assert [detail for _, detail in found.pop("leak")] == ["same pixels"] * 2
    assert found.pop("only-in-train") == [(("0",), "12 in train")]
    assert set(found) == {"remark"}
    assert report.sides == (28, 28, 28)


def test_a_search_that_stops_is_noted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.data.copies.MOST_PAIRS", -1)
    monkeypatch.setattr("alexnet.data.copies.SPARE_PAIRS", 0)
    alter(
        root / "train/cat/0000.jpg",
        root / "train/cat/small.jpg",
        lambda p: p.crop((2, 2, p.width, p.height)),
    )
    ((paths, detail),) = read(check(root))["search-stopped"]
    assert paths == ()
    assert detail.endswith("pairs were compared")


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no class folders"):
        check(tmp_path)


def test_json_holds_everything_and_is_plain(root: Path) -> None:
    stream = io.StringIO()
    copy(root, "train/cat/0000.jpg", "train/cat/copy.jpg")
    value = check(root).to_json()
    print(value, file=stream)
    assert value["sets"] == {"train": 25, "val": 6}
    assert value["classes"] == {"cat": [13, 3], "dog": [12, 3]}
    assert value["shorter_sides"] == {"least": 96, "median": 96, "greatest": 96}
    assert "int64" not in stream.getvalue()
