"""Opening sets of pictures whatever is wrong with them, and refusing where there are none."""

import shutil
from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.data.sets import Sets, open_sets
from tests.conftest import MakePictures


def names(sets: Sets) -> list[str]:
    return [name for name, _ in sets.parts]


def test_a_folder_of_classes_is_one_set(pictures: MakePictures) -> None:
    sets = open_sets(pictures(per_class=2))
    assert names(sets) == [""]
    assert [sets.path(index) for index in (0, 5)] == ["cross/0000.jpg", "square/0001.jpg"]
    assert sets.labels().tolist() == [0, 0, 1, 1, 2, 2]
    assert sets.numbers().tolist() == [0] * 6
    assert sets.sizes().tolist() == [[2], [2], [2]]


def test_train_and_test_are_two_sets_numbered_through(pictures: MakePictures) -> None:
    root = pictures("photos/train", per_class=2).parent
    pictures("photos/test", per_class=1, seed=1)
    sets = open_sets(root)
    assert names(sets) == ["train", "test"]
    assert [sets.path(index) for index in (5, 6, 8)] == [
        "train/square/0001.jpg",
        "test/cross/0000.jpg",
        "test/square/0000.jpg",
    ]
    assert sets.locate(8) == (sets.parts[1][1], 2)
    assert sets.numbers().tolist() == [0] * 6 + [1] * 3
    assert sets.sizes().tolist() == [[2, 1], [2, 1], [2, 1]]


def test_train_alone_is_one_set(pictures: MakePictures) -> None:
    sets = open_sets(pictures("photos/train", per_class=1).parent)
    assert names(sets) == ["train"]
    assert sets.path(0) == "train/cross/0000.jpg"


def test_a_class_called_train_is_a_class(pictures: MakePictures) -> None:
    sets = open_sets(pictures(classes=("bus", "train"), per_class=1))
    assert names(sets) == [""]
    assert sets.classes == ("bus", "train")


def test_classes_of_either_set_and_empty_ones_are_all_there(pictures: MakePictures) -> None:
    root = pictures("photos/train", classes=("cat", "dog"), per_class=2).parent
    pictures("photos/val", classes=("dog", "owl"), per_class=1, seed=1)
    (root / "train/empty").mkdir()
    sets = open_sets(root)
    assert sets.classes == ("cat", "dog", "empty", "owl")
    assert sets.sizes().tolist() == [[2, 0], [2, 1], [0, 0], [0, 1]]


def test_an_order_that_surprises_is_noted(pictures: MakePictures) -> None:
    (note,) = open_sets(pictures(classes=("9", "10"), per_class=1)).notes
    assert "classes are in code-point order, with '10' before '9'" in note


def test_shards_are_opened_as_pixels(tmp_path: Path, pictures: MakePictures) -> None:
    folder = tmp_path / "lists"
    shutil.copytree(pictures(classes=("cat", "dog"), per_class=2), folder)
    for name, number in (("train", 0), ("val", 1)):
        lines = [f"cat/000{number}.jpg 0", f"dog/000{number}.jpg 1"]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    sets = open_sets(folder)
    assert sets.form.startswith("a list of files (")
    assert names(sets) == ["train", "validation"]
    assert len(sets.labels()) == 4


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("", "photos does not exist"),
        ("photos/", "photos has no class folders and nothing else that is known"),
        ("photos", "photos is a file of no form that is known"),
        ("photos/cat/", "no pictures in 'cat'"),
        ("photos/1.jpg", "photos has no class folders and nothing else that is known"),
    ],
)
def test_a_path_without_pictures_is_refused(tmp_path: Path, made: str, message: str) -> None:
    path = tmp_path / made
    if made.endswith("/"):
        path.mkdir(parents=True)
    elif made:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with pytest.raises(DataError, match=message):
        open_sets(tmp_path / "photos")


def test_a_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "photos").mkdir()
    monkeypatch.setattr("alexnet.data.sets.name_form", lambda path: "a folder with a sub-folder")
    monkeypatch.setattr("alexnet.data.sets.CLASS_FOLDERS", "a folder with a sub-folder")
    monkeypatch.setattr("os.listdir", refuse)
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match="photos cannot be read: Permission denied"):
        open_sets(tmp_path / "photos")
