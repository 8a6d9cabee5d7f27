"""What lies beside the pictures: hidden, left out, nested, and names that lead astray."""

from pathlib import Path

from alexnet.data.findings import Item
from alexnet.data.strays import find_strays


def write(root: Path, *paths: str, data: bytes = b"x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def test_a_tidy_folder_has_no_strays(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    assert find_strays(tmp_path, [""], ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]) == {}


def test_files_that_are_not_listed_are_left_out_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", "cat/list.txt", "loose.PNG", data=b"12345")
    write(tmp_path, "cat/README", data=b"")
    (tmp_path / "cat/lost.jpg").symlink_to("nowhere")
    assert find_strays(tmp_path, [""], ["cat/1.jpg"])["left-out"] == [
        Item(("loose.PNG",), "not in a class's folder, 5 bytes"),
        Item(("cat/README",), "no suffix, 0 bytes"),
        Item(("cat/list.txt",), "suffix .txt, 5 bytes"),
        Item(("cat/lost.jpg",), "no such file or directory"),
    ]


def test_hidden_files_and_folders_are_named_and_not_entered(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg", ".DS_Store", "cat/.1.jpg.part", "__MACOSX/cat/._1.jpg")
    found = find_strays(tmp_path, [""], ["cat/1.jpg"])
    assert found == {
        "hidden": [Item((".DS_Store",)), Item(("__MACOSX",)), Item(("cat/.1.jpg.part",))]
    }


def test_pictures_deeper_than_their_class_are_counted_by_folder(tmp_path: Path) -> None:
    listed = [
        "train/cat/1.jpg",
        "train/cat/new/2.jpg",
        "train/cat/new/3.jpg",
        "train/cat/x/y/4.jpg",
    ]
    write(tmp_path, *listed)
    assert find_strays(tmp_path, ["train"], listed) == {
        "nested": [
            Item(("train/cat/new",), "2 pictures"),
            Item(("train/cat/x/y",), "1 picture"),
        ]
    }


def test_without_sets_a_folder_in_a_class_is_nested_too(tmp_path: Path) -> None:
    write(tmp_path, "cat/new/2.jpg")
    found = find_strays(tmp_path, [""], ["cat/new/2.jpg"])
    assert found == {"nested": [Item(("cat/new",), "1 picture")]}


def test_names_that_differ_in_case_spaces_or_unicode_form_are_similar(tmp_path: Path) -> None:
    listed = ["Cat/1.jpg", "cat/1.jpg", "cat/1 .jpg", "cat/caf\u00e9.jpg", "cat/cafe\u0301.jpg"]
    write(tmp_path, *listed, "dog/1.JPG", "dog/1.jpg")
    found = find_strays(tmp_path, [""], [*listed, "dog/1.JPG", "dog/1.jpg"])
    assert found["similar-names"] == [
        Item(("Cat", "cat"), "'Cat' 'cat'"),
        Item(("cat/1 .jpg", "cat/1.jpg"), "'1 .jpg' '1.jpg'"),
        Item(("cat/cafe\u0301.jpg", "cat/caf\u00e9.jpg"), r"'cafe\u0301.jpg' 'caf\xe9.jpg'"),
        Item(("dog/1.JPG", "dog/1.jpg"), "'1.JPG' '1.jpg'"),
    ]
    assert found["spaces"] == [Item(("cat/1 .jpg",), "'1 .jpg'")]


def test_a_link_that_leads_back_up_is_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "cat/1.jpg")
    (tmp_path / "cat/again").symlink_to(tmp_path / "cat")
    (tmp_path / "cat/itself").symlink_to(tmp_path / "cat/itself")
    assert find_strays(tmp_path, [""], ["cat/1.jpg"]) == {
        "left-out": [Item(("cat/itself",), "too many levels of symbolic links")]
    }
