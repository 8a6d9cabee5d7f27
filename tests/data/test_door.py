"""One door: each form is told by its sign and opens as its own reader opens it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.door import (
    CLASS_FOLDERS,
    Joined,
    Relabelled,
    Some,
    among,
    name_form,
    open_all,
    open_split,
)
from alexnet.data.folder import DataError, split_folder
from alexnet.data.image import Picture
from alexnet.data.pictures import Pictures
from alexnet.data.tar_file import END, member_bytes
from tests.conftest import MakePictures
from tests.data import test_cifar, test_idx


def pixels(pictures: Pictures) -> list[tuple[str, bytes]]:
    """Return the class and the content of every picture."""
    return [
        (pictures.classes[label], pictures.pixels(index, at_least=8).tobytes())
        for index, label in enumerate(pictures.labels)
    ]


def lists(root: Path, folder: Path) -> Path:
    """Write a data set of lists over pictures that lie elsewhere."""
    split = split_folder(folder)
    root.mkdir()
    for name, part in (("train", split.train), ("val", split.validation)):
        pairs = zip(part.paths, part.labels, strict=True)
        (root / f"{name}.txt").write_text("".join(f"{folder / p} {k}\n" for p, k in pairs))
    (root / "labels.txt").write_text("\n".join(split.train.classes))
    return root


def tar(path: Path, folder: Path) -> Path:
    names = sorted(each.relative_to(folder).as_posix() for each in folder.rglob("*.jpg"))
    members = [member_bytes(name, (folder / name).read_bytes()) for name in names]
    path.write_bytes(b"".join(members) + END)
    return path


def test_every_form_is_told_and_opened(tmp_path: Path, pictures: MakePictures) -> None:
    folder = pictures()
    (tmp_path / "cifar").mkdir()
    test_cifar.cifar10_binary(tmp_path / "cifar")
    test_idx.write(tmp_path / "idx", zipped=True)
    places = {
        CLASS_FOLDERS: folder,
        "shards": tar(tmp_path / "set.tar", folder),
        "CIFAR-10 or CIFAR-100": tmp_path / "cifar",
        "IDX, as MNIST": tmp_path / "idx",
        "a list of files": lists(tmp_path / "lists", folder),
    }
    expected = split_folder(folder)
    for title, place in places.items():
        assert name_form(place) == title
        split, whole = open_split(place), open_all(place)
        assert whole.classes == split.train.classes
        assert sorted(pixels(whole)) == sorted(pixels(split.train) + pixels(split.validation))
        assert len(set(whole.paths)) == len(whole)
        if title.startswith(("a ", "sh")):  # the same pictures, in other clothes
            assert sorted(pixels(split.validation)) == sorted(pixels(expected.validation))


def test_a_list_alone_keeps_its_order(tmp_path: Path, pictures: MakePictures) -> None:
    lines = (lists(tmp_path / "lists", pictures()) / "train.txt").read_text().splitlines()
    (tmp_path / "all.txt").write_text("\n".join(reversed(lines)))
    found = open_all(tmp_path / "all.txt")
    assert list(found.paths) == [line.rpartition(" ")[0] for line in reversed(lines)]


def test_a_folder_with_two_parts_is_all_of_it(tmp_path: Path, pictures: MakePictures) -> None:
    pictures("set/train", per_class=3)
    pictures("set/val", per_class=1, seed=1)
    found = open_all(tmp_path / "set")
    assert [path.partition("/")[0] for path in found.paths] == ["train"] * 9 + ["val"] * 3
    assert pixels(found)[-1] == pixels(open_split(tmp_path / "set").validation)[-1]


def test_a_tar_beside_class_folders_is_not_the_set(tmp_path: Path, pictures: MakePictures) -> None:
    folder = pictures()
    tar(folder / "old.tar", folder)
    assert name_form(folder) == CLASS_FOLDERS
    (tmp_path / "shards").mkdir()
    tar(tmp_path / "shards" / "a.tar", folder)
    assert name_form(tmp_path / "shards") == "shards"


@pytest.mark.parametrize("form", ["folder", "lists", "cifar", "idx"])
def test_classes_of_another_order_are_matched_by_name(
    tmp_path: Path, pictures: MakePictures, form: str
) -> None:
    if form == "cifar":
        tmp_path = tmp_path / "set"
        tmp_path.mkdir()
        test_cifar.cifar10_binary(tmp_path)
    elif form == "idx":
        test_idx.write(tmp_path := tmp_path / "set")
    else:
        folder = pictures()
        tmp_path = folder if form == "folder" else lists(tmp_path / "lists", folder)
    plain = open_all(tmp_path)
    asked = [*reversed(plain.classes), "more"]
    found = open_all(tmp_path, classes=asked)
    assert found.classes == tuple(asked)
    assert sorted(pixels(found)) == sorted(pixels(plain))
    if form != "folder":  # whose order is that of the classes
        assert found.paths == plain.paths
        assert found.labels == tuple(len(plain.classes) - 1 - label for label in plain.labels)
    with pytest.raises(DataError, match=f"class '{asked[0]}' is not among"):
        open_all(tmp_path, classes=asked[1:])


class Plain:
    """Pictures of one colour each."""

    def __init__(self, classes: Sequence[str], paths: Sequence[str], labels: Sequence[int]) -> None:
        self.classes, self.paths, self.labels = tuple(classes), tuple(paths), tuple(labels)
        self.notes = ("made up",)

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        return np.full((1, 1, 3), 10 * len(self) + index, np.uint8)


def test_joined_pictures_follow_each_other_and_keep_their_names_apart() -> None:
    parts = (
        Plain("xy", ["a", "b"], [0, 1]),
        Plain("xy", [], []),
        Plain("xy", ["a", "c", "d"], [1, 1, 0]),
    )
    joined = Joined(parts, ("told",))
    assert joined.paths == ("a", "b", "a (2)", "c", "d")
    assert joined.labels == (0, 1, 1, 1, 0)
    assert joined.notes == ("told",)
    found = [int(joined.pixels(index, at_least=1)[0, 0, 0]) for index in range(len(joined))]
    assert found == [20, 21, 30, 31, 32]


def test_relabelled_pictures_are_the_same_pictures() -> None:
    plain = Plain("xy", ["a", "b", "c"], [0, 1, 0])
    assert among(plain, ("x", "y"), place="here") is plain
    found = among(plain, ("y", "z", "x"), place="here")
    assert isinstance(found, Relabelled)
    assert (found.labels, found.paths) == ((2, 0, 2), plain.paths)
    assert found.notes == ("made up",)
    assert found.pixels(1, at_least=1)[0, 0, 0] == 31
    with pytest.raises(DataError, match=r"here: class 'x' is not among the 2 classes asked for"):
        among(plain, ("y", "z"), place="here")


def test_what_is_no_data_set_is_told_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("x")
    (tmp_path / "set.tar.gz").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    signs = "a data set is a folder with a sub-folder .*; shards: a .tar file.*CIFAR.*IDX.*a list"
    for name, message in (
        ("note.md", f"note.md is a file of no form that is known; {signs}"),
        ("set.tar.gz", f"set.tar.gz is a file of no form that is known; unpack it first; {signs}"),
        ("empty", f"empty has no class folders and nothing else that is known; {signs}"),
    ):
        with pytest.raises(DataError, match=message):
            open_split(tmp_path / name)
        with pytest.raises(DataError, match=message):
            open_all(tmp_path / name)
    with pytest.raises(DataError, match="emtpy does not exist"):
        open_split(tmp_path / "emtpy")


def test_a_published_folder_one_below_is_named(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-bin").mkdir()
    test_cifar.cifar10_binary(tmp_path / "cifar-10-batches-bin")
    with pytest.raises(DataError, match=r"is no data set itself, but .*batches-bin is; give that"):
        open_split(tmp_path)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0])
def test_a_share_that_is_none_is_refused(tmp_path: Path, fraction: float) -> None:
    for place in (tmp_path, tmp_path / "all.txt"):
        with pytest.raises(ValueError, match=f"fraction {fraction} is not between 0 and 1"):
            open_split(place, fraction=fraction)


def test_a_gray_picture_of_a_class_folder_is_opened_too(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("L", (4, 4), 50 * number).save(tmp_path / name / f"{number}.png")
    assert len(open_all(tmp_path)) == 4


def test_some_pictures_of_a_set_are_the_sets_own(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("RGB", (4, 4), (40 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    whole = open_all(tmp_path)
    some = Some.spread(whole, 4)
    assert some.chosen == (0, 2, 5, 7)
    assert len(some) == 4
    assert some.paths == ("x/0.png", "x/2.png", "y/0.png", "y/2.png")
    assert (some.classes, some.labels, some.notes) == (("x", "y"), (0, 0, 1, 1), whole.notes)
    assert [int(some.pixels(place, at_least=1)[0, 0, 0]) for place in range(4)] == [0, 80, 0, 80]
    assert Some.spread(whole, 99).paths == whole.paths
