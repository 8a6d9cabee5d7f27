"""Lists of pictures: the grammar of a line, where pictures and class names are found."""

from pathlib import Path

import pytest

from alexnet.data.folder import DataError, split_folder
from alexnet.data.listfile import is_list, open_list, read_listing


def fill(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_list(path, fraction=0.5)


def test_a_folder_of_two_lists_is_training_and_validation(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {
            "train.txt": "n02/a b.jpg 1\nn01/c.jpg   0\r\n",
            "val.txt": "d.jpg 1\n\n \n",
            "train/n02/a b.jpg": "ab",
            "train/n01/c.jpg": "c",
            "val/d.jpg": "d",
        },
    )
    assert is_list(tmp_path)
    split = open_list(tmp_path, fraction=0.1)
    assert split.train.root == tmp_path / "train"
    assert split.train.paths == ("n02/a b.jpg", "n01/c.jpg")
    assert split.train.labels == (1, 0)
    assert split.validation.root == tmp_path / "val"
    assert (split.validation.paths, split.validation.labels) == (("d.jpg",), (1,))
    assert split.train.classes == split.validation.classes == ("0", "1")
    assert split.rule == "the lists train.txt and val.txt"
    assert split.notes == (
        "classes have no names but their numbers; labels.txt can name them",
        "validation lacks '0'",
    )


def test_pictures_beside_the_list_come_before_the_folder_of_its_name(tmp_path: Path) -> None:
    fill(tmp_path, {"train.txt": "a.jpg 0", "a.jpg": "", "train/a.jpg": ""})
    assert read_listing(tmp_path / "train.txt").root == tmp_path
    fill(tmp_path, {"all.txt": f"{tmp_path}/train/a.jpg 0"})
    listing = read_listing(tmp_path / "all.txt")
    assert listing.root / listing.paths[0] == tmp_path / "train" / "a.jpg"


def test_one_list_is_split_by_content_as_a_folder_is(tmp_path: Path) -> None:
    pictures = {f"{c}/{i}.jpg": f"{c} {i}" for c in "ab" for i in range(10)}
    fill(tmp_path, {f"set/{name}": content for name, content in pictures.items()})
    lines = [f"set/{name} {'ab'.index(name[0])}" for name in pictures]
    fill(tmp_path, {"all.txt": "\n".join(lines), "classes.txt": "a\nb\n"})
    assert is_list(tmp_path / "all.txt")
    split = open_list(tmp_path / "all.txt", fraction=0.2)
    folder = split_folder(tmp_path / "set", fraction=0.2)
    assert split.validation.paths == tuple(f"set/{path}" for path in folder.validation.paths)
    assert split.train.labels == folder.train.labels
    assert (split.train.classes, split.rule) == (folder.train.classes, folder.rule)


@pytest.mark.parametrize(
    ("name", "text", "classes"),
    [
        ("synset_words.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish\n", "n01440764"),
        ("synsets.txt", "n01440764\nn01443537", "n01440764"),
        ("labels.txt", "a fish\r\nnormal fish\r\n", "a fish"),
    ],
)
def test_classes_are_named_by_the_file_beside_the_list(
    tmp_path: Path, name: str, text: str, classes: str
) -> None:
    fill(tmp_path, {"all.txt": "a.jpg 0", "a.jpg": "", name: text})
    listing = read_listing(tmp_path / "all.txt")
    assert (listing.classes[0], len(listing.classes)) == (classes, 2)
    assert listing.notes == (f"classes are named by {name}",)


def test_a_picture_that_is_listed_again_has_another_name_and_the_same_file(tmp_path: Path) -> None:
    fill(tmp_path, {"all.txt": "a.jpg 0\na.jpg 1\na.jpg 0\n", "a.jpg": "x"})
    listing = read_listing(tmp_path / "all.txt")
    assert listing.paths == ("a.jpg", "./a.jpg", "././a.jpg")
    assert listing.labels == (0, 1, 0)
    assert [(listing.root / path).read_bytes() for path in listing.paths] == [b"x"] * 3


def test_pictures_in_both_lists_are_counted(tmp_path: Path) -> None:
    lists = {"train.txt": "a.jpg 0\nb.jpg 1\n", "val.txt": "./a.jpg 0\nc.jpg 1\n"}
    fill(tmp_path, {**lists, "a.jpg": "", "b.jpg": "", "c.jpg": ""})
    split = open_list(tmp_path, fraction=0.1)
    assert split.notes[-1] == "1 pictures are in train.txt and val.txt both"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 0\nb.jpg\n", r"all.txt:2: 'b.jpg' is not a path, a blank and a whole number"),
        ("a.jpg 0\n\nb.jpg 1\n", "all.txt:2: '' is not a path"),
        ("a.jpg 0\na.jpg 1.5\n", "all.txt:2: 'a.jpg 1.5' is not a path"),
        ("a.jpg 0\n 1\n", "all.txt:2: ' 1' is not a path"),
        ("a.jpg 0\nb\0.jpg 1\n", "all.txt:2: .* is not a path"),
        ("a.jpg 0\na.jpg -1\n", "all.txt:2: the label -1 is not from 0 to 999999"),
        ("a.jpg 0\na.jpg 99999999999999\n", "all.txt:2: the label 99999999999999 is not from"),
        ("\n \n", "the list .*all.txt is empty; give lines of a path, a blank and a label"),
        ("x.jpg 0\n", "all.txt:1: the picture 'x.jpg' is neither in .* nor in .*all; put the li"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path: Path, text: str, message: str) -> None:
    fill(tmp_path, {"all.txt": text, "a.jpg": ""})
    refused(tmp_path / "all.txt", message)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a\n\nc\n", "labels.txt:2: the class name '' is empty; give each its own"),
        ("a\nb\na\n", "labels.txt:3: the class name 'a' stands on line 1 too"),
        ("a\n", "all.txt:2: label 1 has no name in .*labels.txt, which has 1; labels count from 0"),
        (b"\xff\xfea", "labels.txt is not text in UTF-8; save it so, or remove it"),
    ],
)
def test_wrong_class_names_are_refused(tmp_path: Path, names: str | bytes, message: str) -> None:
    fill(tmp_path, {"all.txt": "a.jpg 0\na.jpg 1", "a.jpg": "", "labels.txt": names})
    refused(tmp_path / "all.txt", message)


def test_a_label_that_only_validation_has_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"train.txt": "a.jpg 0", "test.txt": "a.jpg 3", "a.jpg": ""})
    refused(tmp_path, "test.txt has label 3, which train.txt has not")


def test_missing_lists_are_named(tmp_path: Path) -> None:
    fill(tmp_path, {"train.txt": "a.jpg 0", "a.jpg": ""})
    assert not is_list(tmp_path)
    refused(tmp_path, "has no val.txt beside train.txt; give the one list itself")
    refused(tmp_path / "trian.txt", r"trian.txt does not exist \(did you mean 'train.txt'\?\)")
    refused(tmp_path / "train.txt" / "x", "cannot be read: Not a directory")
    assert not is_list(tmp_path / "a.jpg")
    assert not is_list(tmp_path / "none.txt")


def test_a_byte_order_mark_and_bytes_that_are_not_text_pass(tmp_path: Path) -> None:
    fill(tmp_path, {"all.txt": b"\xef\xbb\xbf\xe4.jpg 0\n"})
    (Path(str(tmp_path)) / b"\xe4.jpg".decode(errors="surrogateescape")).write_bytes(b"x")
    listing = read_listing(tmp_path / "all.txt")
    assert (listing.root / listing.paths[0]).read_bytes() == b"x"
