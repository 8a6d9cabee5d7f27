"""Folders of pictures: what is listed, what is refused and why, and the split's promises."""

import os
import random
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.folder import DataError, Listing, Split, list_folder, split_folder


def fill(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files; listing and splitting look at bytes, never at pixels."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def numbered(*classes: str, count: int = 20) -> dict[str, str]:
    return {f"{c}/{i:03}.jpg": f"{c} {i}" for c in classes for i in range(count)}


def refused(root: Path, message: str, *, classes: list[str] | None = None) -> None:
    with pytest.raises(DataError, match=message):
        list_folder(root, classes=classes)


def contents(listing: Listing) -> list[tuple[str, bytes]]:
    """Return class and content of every picture, without its name."""
    return sorted(
        (listing.classes[label], (listing.root / path).read_bytes())
        for path, label in zip(listing.paths, listing.labels, strict=True)
    )


# ---- Listing ------------------------------------------------------------------------------------


def test_classes_and_pictures_are_sorted_by_code_point(tmp_path: Path) -> None:
    names = ["b/2.jpg", "b/10.jpg", "b/B.jpg", "a/x.png", "Z/y.gif", "b/10/z.bmp"]
    listing = list_folder(fill(tmp_path, dict.fromkeys(names, "")))
    assert listing.classes == ("Z", "a", "b")
    assert listing.paths == ("Z/y.gif", "a/x.png", "b/10.jpg", "b/10/z.bmp", "b/2.jpg", "b/B.jpg")
    assert listing.labels == (0, 1, 2, 2, 2, 2)
    assert listing.root == tmp_path
    assert len(listing) == 6


def test_pictures_are_known_by_suffix_and_other_files_are_counted(tmp_path: Path) -> None:
    shown = ["a.jpg", "b.JPEG", "c.Jpe", "d.png", "e.bmp", "f.webp", "g.GIF", "deep/er/h.jpg"]
    others = ["notes.txt", "i.tif", "jpg", "deep/k.jpg.part"]
    hidden = [".DS_Store", "._a.jpg", ".cache/l.jpg"]
    fill(tmp_path, {f"cat/{name}": "" for name in shown + others + hidden})
    fill(tmp_path, {"README.md": "", "loose.jpg": "", ".git/m.jpg": "", "__MACOSX/n.jpg": ""})
    listing = list_folder(tmp_path)
    assert listing.paths == tuple(sorted(f"cat/{name}" for name in shown))
    assert listing.classes == ("cat",)
    assert listing.ignored == len(others) + 2


def test_a_class_name_is_normalised_and_its_folder_found(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    fill(tmp_path, {f"{decomposed}/1.jpg": ""})
    assert list_folder(tmp_path).classes == (composed,)
    listing = list_folder(tmp_path, classes=[composed])
    assert (listing.root / listing.paths[0]).exists()
    fill(tmp_path, {f"{composed}/2.jpg": ""})
    refused(tmp_path, r"'cafe\\u0301' and 'caf\\xe9' are the same class name.*; merge the folders")


def test_given_classes_keep_their_order_and_match_by_name(tmp_path: Path) -> None:
    fill(tmp_path, {"cat/1.jpg": "", "dog/2.jpg": ""})
    (tmp_path / "fox").mkdir()
    listing = list_folder(tmp_path, classes=["fox", "dog", "owl", "cat"])
    assert listing.classes == ("fox", "dog", "owl", "cat")
    assert listing.paths == ("dog/2.jpg", "cat/1.jpg")
    assert listing.labels == (1, 3)


def test_a_class_that_is_not_among_the_given_is_refused_with_the_nearest(tmp_path: Path) -> None:
    fill(tmp_path, {"cat /1.jpg": "", "dog/2.jpg": ""})
    message = r"class 'cat ' is not among 'cat', 'dog' \(did you mean 'cat'\?\); rename or remove"
    refused(tmp_path, message, classes=["cat", "dog"])


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", {"cat/1.jpg": "", "cat/in/2.jpg": ""})
    fill(tmp_path / "other", {"3.jpg": ""})
    (root / "cat" / "in" / "loop").symlink_to(root / "cat")
    (root / "cat" / "in" / "self").symlink_to("self")
    (root / "cat" / "out").symlink_to(tmp_path / "other")
    (root / "cat" / "4.jpg").symlink_to(tmp_path / "other" / "3.jpg")
    listing = list_folder(root)
    assert listing.ignored == 1
    assert listing.paths == ("cat/1.jpg", "cat/4.jpg", "cat/in/2.jpg", "cat/out/3.jpg")


def test_doubling_links_do_not_double_the_work(tmp_path: Path) -> None:
    fill(tmp_path, {"cat/40/1.jpg": ""})
    for level in range(40):
        (tmp_path / f"cat/{level}").mkdir()
        for name in "ab":
            (tmp_path / f"cat/{level}/{name}").symlink_to(tmp_path / f"cat/{level + 1}")
    assert len(list_folder(tmp_path)) == 1


def test_a_missing_folder_is_refused_with_the_nearest(tmp_path: Path) -> None:
    fill(tmp_path, {"photos/cat/1.jpg": ""})
    message = r"/photo does not exist; .* does, but has no 'photo' \(did you mean 'photos'\?\)"
    refused(tmp_path / "photo", message)
    refused(tmp_path / "phtos" / "train" / "x", r"has no 'phtos' \(did you mean 'photos'\?\)")
    refused(tmp_path / "far", r"does, but has no 'far'$")


def test_what_is_no_folder_of_class_folders_is_refused(tmp_path: Path) -> None:
    way_out = "; put the pictures of each class into a folder of its name"
    refused(tmp_path, f"is empty{way_out}")
    fill(tmp_path, {"1.jpg": "", "2.jpg": "", ".hidden/3.jpg": ""})
    refused(tmp_path, f"has 2 files but no class folders{way_out}")
    refused(tmp_path / "1.jpg", "is a file; give a folder with a sub-folder per class")


def test_class_folders_without_pictures_are_named(tmp_path: Path) -> None:
    fill(tmp_path, {"full/1.jpg": "", **{f"empty{i}/a.txt": "" for i in range(7)}})
    some = "'empty0', 'empty1', 'empty2', 'empty3', 'empty4' and 2 more"
    refused(tmp_path, rf"no pictures in {some}; add some \(.bmp, .gif.*\) or remove the folder")
    refused(tmp_path / "full" / "..", "no pictures in 'empty0', ")
    fill(tmp_path / "val", {"dog/a.txt": ""})
    refused(tmp_path / "val", "no pictures in 'dog'; add some", classes=["cat", "dog"])


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    refused(tmp_path, r"folder name 'caf\\udce9' is not printable text; rename it")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, {"cat/inner/1.jpg": ""})
    scan = os.scandir

    def scan_but_inner(path: Path) -> object:
        if path.name == "inner":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_but_inner)  # root may read everything
    refused(tmp_path, "/cat/inner cannot be read: Permission denied")


def test_a_natural_order_that_differs_is_noted(tmp_path: Path) -> None:
    fill(tmp_path, {f"{i}/a.jpg": "" for i in (1, 2, 9)})
    assert list_folder(tmp_path).notes == ()
    fill(tmp_path, {"10/a.jpg": ""})
    listing = list_folder(tmp_path)
    assert listing.classes == ("1", "10", "2", "9")
    note = "classes are in code-point order, with '10' before '2'; a list in numeric order gives"
    assert listing.notes[0].startswith(note)


# ---- Splitting ----------------------------------------------------------------------------------


def test_train_and_val_folders_are_used_as_they_are(tmp_path: Path) -> None:
    fill(tmp_path / "train", numbered("cat", "dog", "fox"))
    fill(tmp_path / "val", numbered("fox", "cat", count=3))
    split = split_folder(tmp_path)
    assert split.rule == "train/ and val/"
    assert split.train.classes == split.validation.classes == ("cat", "dog", "fox")
    assert split.validation.labels == (0, 0, 0, 2, 2, 2)
    assert (len(split.train), split.train.root) == (60, tmp_path / "train")
    assert split.notes == ("validation lacks 'dog'",)


@pytest.mark.parametrize("first", range(4))
def test_the_first_known_name_is_the_validation_folder(first: int, tmp_path: Path) -> None:
    fill(tmp_path / "train", numbered("cat"))
    for name in ("val", "valid", "validation", "test")[first:]:
        fill(tmp_path / name, numbered("cat", count=2))
    name = ("val", "valid", "validation", "test")[first]
    assert split_folder(tmp_path).rule == f"train/ and {name}/"
    assert split_folder(tmp_path).validation.root == tmp_path / name


def test_a_validation_class_that_train_lacks_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"train/cat/1.jpg": "", "train/dog/2.jpg": "", "val/cat /3.jpg": ""})
    with pytest.raises(DataError, match=r"val: class 'cat ' is not among .*mean 'cat'"):
        split_folder(tmp_path)


def test_validation_without_train_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"val/cat/1.jpg": "", "test/cat/2.jpg": ""})
    with pytest.raises(DataError, match=r"has val/ but no train/; rename a folder or give .*/val"):
        split_folder(tmp_path)


def test_train_without_class_folders_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"train/1.jpg": "", "val/cat/2.jpg": ""})
    with pytest.raises(DataError, match="train has 1 files but no class folders"):
        split_folder(tmp_path)


def test_train_and_test_may_be_classes_among_others(tmp_path: Path) -> None:
    fill(tmp_path, numbered("train", "test", "tram"))
    assert split_folder(tmp_path).train.classes == ("test", "train", "tram")


@pytest.mark.parametrize("place", ["", "train"])
def test_a_lone_folder_is_split_by_class(place: str, tmp_path: Path) -> None:
    fill(
        tmp_path / place, {**numbered("cat", count=40), **numbered("dog", count=7), "fox/1.jpg": ""}
    )
    split = split_folder(tmp_path)
    assert [split.train.labels.count(label) for label in range(3)] == [36, 6, 1]
    assert [split.validation.labels.count(label) for label in range(3)] == [4, 1, 0]
    assert split.train.root == split.validation.root == tmp_path / place
    assert set(split.train.paths).isdisjoint(split.validation.paths)
    assert len(split.train) + len(split.validation) == 48
    assert split.rule == "the first 10% of each class by SHA-256 of the file to validation"
    assert split.notes == ("validation lacks 'fox'",)


def test_the_split_does_not_depend_on_names_or_order(tmp_path: Path) -> None:
    first = fill(tmp_path / "a", numbered("cat", "dog", count=30))
    second = tmp_path / "b"
    pictures = list(numbered("cat", "dog", count=30).items())
    random.Random(0).shuffle(pictures)
    for number, (name, content) in enumerate(pictures):
        fill(second, {f"{name[:3]}/{number % 3}/{number}.png": content})
    one, other = split_folder(first, fraction=0.3), split_folder(second, fraction=0.3)
    assert contents(one.validation) == contents(other.validation)
    assert contents(one.train) == contents(other.train)


def test_the_split_is_the_same_on_every_machine(tmp_path: Path) -> None:
    split = split_folder(fill(tmp_path, numbered("cat")))
    assert split.validation.paths == ("cat/004.jpg", "cat/008.jpg")


def test_a_picture_of_several_classes_is_trained_on(tmp_path: Path) -> None:
    fill(tmp_path, {"cat/1.jpg": "same", "dog/2.jpg": "same", "cat/3.jpg": "x", "dog/4.jpg": "y"})
    split = split_folder(tmp_path)
    assert split.train.paths == ("cat/1.jpg", "dog/2.jpg")
    assert split.validation.paths == ("cat/3.jpg", "dog/4.jpg")
    assert split.notes == ("1 pictures stand in several classes",)


def test_a_file_that_cannot_be_read_is_left_to_the_loader(tmp_path: Path) -> None:
    fill(tmp_path, numbered("cat", count=3))
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "cat" / "lost.jpg").symlink_to("nowhere")
    split = split_folder(tmp_path)
    assert {"cat/pipe.jpg", "cat/lost.jpg"} <= {*split.train.paths, *split.validation.paths}


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fraction .* is not between 0 and 1; 0.1 is usual"):
        split_folder(tmp_path, fraction=fraction)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=30), min_size=1, max_size=4),
    st.floats(0.01, 0.99),
)
def test_every_split_keeps_its_promises(
    tmp_path_factory: pytest.TempPathFactory, classes: list[list[int]], fraction: float
) -> None:
    root = tmp_path_factory.mktemp("split")
    for label, numbers in enumerate(classes):
        fill(root, {f"{label}/{i}.jpg": f"{n}" for i, n in enumerate(numbers)})
    check_promises(split_folder(root, fraction=fraction), classes, fraction)


def check_promises(split: Split[Listing], classes: list[list[int]], fraction: float) -> None:
    train, held_out = contents(split.train), contents(split.validation)
    every = [(str(label), b"%d" % n) for label, numbers in enumerate(classes) for n in numbers]
    assert sorted(train + held_out) == sorted(every)
    assert {content for _, content in train}.isdisjoint({content for _, content in held_out})
    for label, numbers in enumerate(classes):
        distinct = {b"%d" % n for n in numbers}
        chosen = {content for name, content in held_out if name == str(label)}
        shared = {c for c in distinct if any((str(o), c) in every for o in range(4) if o != label)}
        wanted = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
        assert len(chosen) == min(wanted, len(distinct - shared))
