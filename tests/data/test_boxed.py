"""Pictures with boxes in three forms."""

import gzip
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from alexnet.data.boxed import open_boxed, relabel
from alexnet.data.folder import DataError
from tests.conftest import MakePictures
from tests.data.small_ilsvrc import voc_xml

Edges = tuple[float, float, float, float]


def xml_of(
    objects: Sequence[tuple[str, Edges]], *, size: tuple[int, int] | None = (80, 40)
) -> bytes:
    """Return an annotation of several objects."""
    parts = [voc_xml("x", [box], size=size, label=name).decode() for name, box in objects]
    first = parts[0].removesuffix("</annotation>") if parts else "<annotation>"
    more = [part[part.index("<object>") : -len("</annotation>")] for part in parts[1:]]
    return (first + "".join(more) + "</annotation>").encode()


def plain(boxes: Sequence[Sequence[Edges]]) -> list[list[list[float]]]:
    return [[list(box) for box in each] for each in boxes]


def test_boxes_of_the_data_sets_own_file_are_shares_of_the_picture(pictures: MakePictures) -> None:
    root = pictures("set/train", per_class=2).parent
    shutil.copytree(root / "train", root / "val")
    rows = [
        {"picture": path, "width": 80, "height": 40, "original_width": 80, "original_height": 40}
        | {"boxes": boxes}
        for path, boxes in (
            ("train/disc/0000.jpg", [[8, 4, 40, 20], [0, 0, 80, 40]]),
            ("train/cross/0001.jpg", [[0, 10, 20, 30]]),
            ("train/cross/0000.jpg", []),
            ("val/square/0000.jpg", [[40, 0, 80, 20]]),
        )
    ]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (root / "boxes.jsonl.gz").write_bytes(gzip.compress(data))
    train, validation = open_boxed(root)
    assert train.pictures.paths == ("cross/0001.jpg", "disc/0000.jpg")
    expected = [[[0, 0.25, 0.25, 0.75]], [[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]]]
    assert plain(train.boxes) == expected
    assert (train.sides, train.without) == (((80, 40), (80, 40)), 4)
    assert validation.pictures.classes == ("cross", "disc", "square")
    assert plain(validation.boxes) == [[[0.5, 0, 1, 0.5]]]
    assert validation.pictures.labels == (2,)


def test_xml_beside_a_picture_is_of_its_folders_class(pictures: MakePictures) -> None:
    root = pictures("set", per_class=6)
    for path in sorted(root.glob("*/*.jpg")):
        size = None if path.stem == "0000" else (80, 40)  # then the picture's own size is taken
        path.with_suffix(".xml").write_bytes(voc_xml(path.stem, [(0, 0, 20, 10)], size=size))
    (root / "disc" / "0003.xml").unlink()
    train, validation = open_boxed(root, fraction=0.3)
    assert len(train.pictures) + len(validation.pictures) == 17
    assert train.without + validation.without == 1
    for part in (train, validation):
        for sides, boxes in zip(part.sides, part.boxes, strict=True):
            width, height = sides
            assert boxes[0] == pytest.approx((0, 0, 20 / width, 10 / height))


@pytest.fixture
def voc(pictures: MakePictures, tmp_path: Path) -> Path:
    """Write five pictures as VOC has them; one has no XML, one no object."""
    root = tmp_path / "voc"
    source = pictures("source", classes=("disc",), per_class=5)
    shutil.copytree(source / "disc", root / "JPEGImages")
    (root / "JPEGImages" / "readme.md").write_text("not a picture")
    (root / "Annotations").mkdir()
    dog: tuple[str, Edges] = ("dog", (0, 0, 40, 20))
    cat: tuple[str, Edges] = ("cat", (0, 0, 10, 10))
    objects: dict[str, list[tuple[str, Edges]]] = {
        "0000": [cat, dog],
        "0001": [cat, ("cat", (40, 20, 80, 40)), ("dog", (0, 0, 9, 9))],
        "0002": [dog],
        "0003": [],
    }
    for name, each in objects.items():
        (root / "Annotations" / f"{name}.xml").write_bytes(xml_of(each))
    return root


def test_a_picture_of_voc_is_of_the_class_of_its_largest_box(voc: Path) -> None:
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "train.txt").write_text("0001 1\n0000 -1\n0004\n")
    (voc / "ImageSets" / "Main" / "val.txt").write_text("0002\n\n")
    train, validation = open_boxed(voc)
    assert train.pictures.classes == ("cat", "dog")
    assert train.pictures.paths == ("JPEGImages/0001.jpg", "JPEGImages/0000.jpg")
    assert train.pictures.labels == (0, 1)
    assert plain(train.boxes) == [[[0, 0, 0.125, 0.25], [0.5, 0.5, 1, 1]], [[0, 0, 0.5, 0.5]]]
    assert train.without == 2
    assert validation.pictures.paths == ("JPEGImages/0002.jpg",)
    assert train.pictures.pixels(0, at_least=1).shape[2] == 3


def test_without_lists_some_names_of_voc_are_held_out_whatever_else_there_is(voc: Path) -> None:
    parts = open_boxed(voc, fraction=0.4)
    names = [set(part.pictures.paths) for part in parts]
    assert (len(names[0]), len(names[1])) == (2, 1)
    assert not names[0] & names[1]


def test_labels_follow_the_nets_classes(voc: Path) -> None:
    train = open_boxed(voc)[0]
    found = relabel(train, ("zebra", "dog", "cat"), place="here")
    by_name = [train.pictures.classes[label] for label in train.pictures.labels]
    assert [found.pictures.classes[label] for label in found.pictures.labels] == by_name
    assert found.boxes == train.boxes
    message = r"^here: the net has no class '(cat|dog)'; give pictures of its classes, such as 'a'$"
    with pytest.raises(DataError, match=message):
        relabel(train, ("a", "b"), place="here")


def write_lists(voc: Path, train: str, validation: str) -> None:
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "train.txt").write_text(train)
    (voc / "ImageSets" / "Main" / "val.txt").write_text(validation)


def test_what_is_odd_about_boxes_is_mended_and_counted(voc: Path) -> None:
    objects: list[tuple[str, Edges]] = [("cat", (60, 20, 20, 90)), ("cat", (85, 5, 90, 9))]
    for name in ("0001", "0002"):
        (voc / "Annotations" / f"{name}.xml").write_bytes(xml_of(objects))
    write_lists(voc, "0000 0001 -1\n0001\n0003\n", "0002\n9999\n")
    train, validation = open_boxed(voc)
    assert plain(train.boxes)[1] == plain(validation.boxes)[0] == [[0.25, 0.5, 0.75, 1]]
    assert train.notes == (
        "in XML files, 2 times: a box had no area and was left out",
        "in XML files, 4 times: a box went past the edge and was cut",
        "in XML files, 2 times: edges had to change places",
        "in XML files, once: no object",
        "1 listed without a box, such as 0003",
    )
    assert validation.notes == ("1 listed without a box, such as 9999",)


def test_lists_that_share_a_picture_or_name_none_are_refused(voc: Path) -> None:
    write_lists(voc, "0000\n0001\n0002\n", "0001\n0002\n")
    message = (
        r"voc: 0001 is in ImageSets/Main/train.txt and in ImageSets/Main/val.txt, and so are 1 "
        "more; a picture that is trained on tells nothing in a test: keep it in one of them$"
    )
    with pytest.raises(DataError, match=message):
        open_boxed(voc)
    (voc / "ImageSets" / "Main" / "val.txt").write_text("0001.jpg\n")
    message = (
        r"voc has 3 pictures with boxes, but none to validate with; the names in "
        r"ImageSets/Main/val.txt must be those of its pictures, without a suffix$"
    )
    with pytest.raises(DataError, match=message):
        open_boxed(voc)


def test_too_few_boxes_for_two_parts_are_refused(voc: Path) -> None:
    for name in ("0001", "0002"):
        (voc / "Annotations" / f"{name}.xml").unlink()
    message = r"voc has 1 picture with boxes, but none to train on; give both parts some$"
    with pytest.raises(DataError, match=message):
        open_boxed(voc)
    (voc / "Annotations" / "0000.xml").write_bytes(xml_of([("cat", (90, 50, 99, 60))]))
    message = (
        "voc has no box to train on that can be used: in XML files, once: a box had no area "
        "and was left out; in XML files, once: a box went past the edge and was cut; in XML "
        "files, once: no object$"
    )
    with pytest.raises(DataError, match=message):
        open_boxed(voc)


def test_a_picture_whose_size_nobody_tells_is_named(voc: Path) -> None:
    (voc / "Annotations" / "0000.xml").write_bytes(xml_of([("cat", (0, 0, 9, 9))], size=None))
    assert open_boxed(voc)[0].notes == ("in XML files, once: no object",)
    (voc / "JPEGImages" / "0000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0000.jpg: this is no known picture .* XML gives no size"):
        open_boxed(voc)


def test_pictures_without_boxes_are_refused(pictures: MakePictures) -> None:
    message = r"has no boxes for the pictures to train on; it needs boxes.jsonl.gz, an XML file of"
    with pytest.raises(DataError, match=message):
        open_boxed(pictures())
