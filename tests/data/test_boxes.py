"""Boxes and what is known to be wrong with them; EXIF's turn judged by turning pixels."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.boxes import (
    Annotation,
    Box,
    PictureBoxes,
    fit_boxes,
    parse_annotation,
    read_boxes,
    write_boxes,
)
from alexnet.data.exif import upright
from alexnet.data.folder import DataError
from alexnet.data.imagenet import Form, Stored, Target
from tests.data.small_ilsvrc import BIRD, TENCH, Published, make, tar_of, voc_xml

NAME = f"{TENCH}_18"
PICTURE = Stored(f"train/{TENCH}/{NAME}.JPEG", 1, 32, 24, 32, 24)
WHOLE = (2.0, 3.0, 10.0, 12.0)


def fit(
    *boxes: Box, stored: Stored = PICTURE, size: tuple[int, int] | None = (32, 24)
) -> tuple[tuple[Box, ...], list[str]]:
    annotation = parse_annotation(voc_xml(NAME, boxes, size=size), f"{TENCH}/{NAME}.xml", "place")
    found, odd = fit_boxes(annotation, stored)
    return found.boxes, odd


def test_a_sound_annotation_is_kept_as_it_is() -> None:
    data = voc_xml(NAME, [WHOLE, (0, 0, 32, 24)])
    annotation = parse_annotation(data, f"{TENCH}/{NAME}.xml", "place")
    assert annotation == Annotation(NAME, 32, 24, (WHOLE, (0, 0, 32, 24)))
    found, odd = fit_boxes(annotation, PICTURE)
    assert found == PictureBoxes(PICTURE.path, 32, 24, 32, 24, (WHOLE, (0, 0, 32, 24)))
    assert odd == []


@pytest.mark.parametrize(
    ("box", "wanted", "odd"),
    [
        ((10, 3, 2, 12), [WHOLE], "edges had to change places"),
        ((2, 12, 10, 3), [WHOLE], "edges had to change places"),
        ((-5, 3, 10, 30), [(0, 3, 10, 24)], "a box went past the edge and was cut"),
        ((2, 3, 33, 12), [(2, 3, 32, 12)], "a box went past the edge and was cut"),
        ((2, 3, 2, 12), [], "a box had no area and was left out"),
        ((2.25, 3.5, 10, 12), [(2.25, 3.5, 10, 12)], None),
    ],
)
def test_boxes_are_mended_by_the_rules(box: Box, wanted: list[Box], odd: str | None) -> None:
    assert fit(box) == (tuple(wanted), [odd] if odd else [])


def test_a_box_beside_the_picture_is_cut_to_nothing_and_left_out() -> None:
    boxes, odd = fit((40, 3, 50, 12), WHOLE)
    assert boxes == (WHOLE,)
    assert odd == ["a box went past the edge and was cut", "a box had no area and was left out"]


def test_another_size_in_the_xml_keeps_the_relative_place() -> None:
    boxes, odd = fit((4, 6, 20, 24), size=(64, 48))
    assert boxes == (WHOLE,)
    assert odd == ["it gives another size than the picture has"]


@pytest.mark.parametrize("size", [None, (0, 0), (32, 0)])
def test_without_a_size_the_picture_has_it(size: tuple[int, int] | None) -> None:
    assert fit(WHOLE, size=size) == ((WHOLE,), ["it gives no size"])


def test_boxes_are_scaled_with_the_picture() -> None:
    scaled = Stored("x", 1, 16, 12, 32, 24)
    assert fit(WHOLE, stored=scaled) == (((1.0, 1.5, 5.0, 6.0),), [])


def test_boxes_of_an_unreadable_picture_stay() -> None:
    unreadable = Stored("x", 1, 0, 0, 0, 0)
    assert fit(WHOLE, stored=unreadable) == ((WHOLE,), [])
    assert fit(WHOLE, stored=unreadable, size=None) == ((WHOLE,), ["it gives no size"])


@pytest.mark.parametrize("turn", range(1, 9))
def test_boxes_turn_as_the_pixels_do(turn: int) -> None:
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[3:12, 2:10] = 1
    tag = np.array([0x0112, 3], ">u2").tobytes() + bytes([0, 0, 0, 1, 0, turn, 0, 0])
    turned = upright(pixels, b"MM\0*\0\0\0\x08\0\x01" + tag)
    rows, columns = np.nonzero(turned[..., 0])
    wanted = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    height, width = turned.shape[:2]
    boxes, odd = fit(WHOLE, stored=Stored("x", 1, width, height, 32, 24, turn))
    assert boxes == (wanted,)
    assert odd == []


def test_what_an_annotation_says_of_its_name_is_noted_and_ignored() -> None:
    data = voc_xml(NAME, [WHOLE], filename="%s", label="Scottish_deerhound")
    annotation = parse_annotation(data, f"a/{BIRD}/{NAME}.xml", "place")
    assert annotation.name == NAME
    assert annotation.oddities == (
        "the file name inside is another",
        "it lies in another class's folder",
        "an object's name is no WNID",
    )
    plain = parse_annotation(voc_xml(NAME, [], filename=f"{NAME}.JPEG"), f"{NAME}.xml", "place")
    assert plain == Annotation(NAME, 32, 24, ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"place is no XML \(no element found.*\); take another copy"),
        (b"<annotation><object>", r"place is no XML \("),
        (b"\x00\xff", r"place is no XML \("),
        (b"<?xml version='1.0' encoding='x'?><a/>", r"place is no XML \("),
        (b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>', r"place defines entities; VOC's XML has"),
        (voc_xml(NAME, [WHOLE]).replace(b">10.0<", b">ten<"), r"bndbox/xmax is 'ten', not a num"),
        (voc_xml(NAME, [WHOLE]).replace(b">10.0<", b">nan<"), r"bndbox/xmax is 'nan', not a num"),
        (voc_xml(NAME, [WHOLE]).replace(b"bndbox", b"box"), r"bndbox/xmin is None, not a number"),
        (voc_xml(NAME, []).replace(b">32<", b">wide<"), r"size/width is 'wide', not a number"),
    ],
)
def test_what_is_no_annotation_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_annotation(data, f"{NAME}.xml", "place")


def test_boxes_of_a_data_set_are_written_and_read(tmp_path: Path) -> None:
    published = Published()
    published.write(tmp_path)
    root = tmp_path / "out"
    make(tmp_path, Target(root, Form(size=18)))
    train = {
        f"{TENCH}/{TENCH}_5.xml": voc_xml(f"{TENCH}_5", [(8, 4, 16, 12), (0, 0, 32, 24)]),
        f"{TENCH}/{NAME}.xml": voc_xml(NAME, [(8, 4, 16, 12)], size=None),
        f"{BIRD}/{BIRD}_99.xml": voc_xml(f"{BIRD}_99", [WHOLE]),
        "n09999999/n09999999_1.xml": voc_xml("n09999999_1", [WHOLE]),
        "readme.txt": b"",
    }
    val = {"val/ILSVRC2012_val_00000004.xml": voc_xml("ILSVRC2012_val_00000004", [(8, 4, 16, 12)])}
    (tmp_path / "boxes.tar.gz").write_bytes(tar_of(train, gzipped=True))
    (tmp_path / "val.tgz").write_bytes(tar_of(val, gzipped=True))
    sources = [tmp_path / "boxes.tar.gz", tmp_path / "val.tgz"]
    read: list[int] = []
    num_boxes, odd = write_boxes(root, sources, report=read.append)
    assert num_boxes == 4
    assert sum(read) == 5
    assert odd == Counter({"the picture is not in the data set": 2, "it gives no size": 1})
    box = (6.0, 3.0, 12.0, 9.0)  # three quarters
    assert list(read_boxes(root / "boxes.jsonl.gz")) == [
        PictureBoxes(f"train/{TENCH}/{NAME}.JPEG", 24, 18, 32, 24, (box,)),
        PictureBoxes(f"train/{TENCH}/{TENCH}_5.JPEG", 24, 18, 32, 24, (box, (0, 0, 24, 18))),
        PictureBoxes(f"val/{BIRD}/ILSVRC2012_val_00000004.JPEG", 24, 18, 32, 24, (box,)),
    ]
    first = (root / "boxes.jsonl.gz").read_bytes()
    write_boxes(root, sources[:1], report=read.append)
    assert (root / "boxes.jsonl.gz").read_bytes() == first  # the validation pictures' have stayed
    (root / "boxes.jsonl.gz").unlink()
    write_boxes(root, reversed(sources), report=read.append)
    assert (root / "boxes.jsonl.gz").read_bytes() == first


def test_two_annotations_of_a_picture_are_refused(tmp_path: Path) -> None:
    Published().write(tmp_path)
    make(tmp_path, Target(tmp_path / "out"))
    for folder in ("a", "b"):
        (tmp_path / "xml" / folder).mkdir(parents=True)
        (tmp_path / "xml" / folder / f"{NAME}.xml").write_bytes(voc_xml(NAME, [WHOLE]))
    with pytest.raises(DataError, match=f"b/{NAME}.xml is the second XML file of its picture"):
        write_boxes(tmp_path / "out", [tmp_path / "xml"], report=lambda number: None)
    (tmp_path / "xml" / "b" / f"{NAME}.xml").write_bytes(bytes(1_000_001))
    with pytest.raises(DataError, match="has 1,000,001 bytes; the limit is 1,000,000"):
        write_boxes(tmp_path / "out", [tmp_path / "xml"], report=lambda number: None)


def test_many_classes_in_turn_are_found(tmp_path: Path) -> None:
    wnids = [f"n{number:08d}" for number in range(1, 71)]
    records = tmp_path / ".progress"
    records.mkdir()
    files = {}
    for wnid in wnids:
        row = f'[["train/{wnid}/{wnid}_1.JPEG", 1, 32, 24, 32, 24, 1, ""]]'
        (records / f"train-{wnid}.json").write_text(row)
        files[f"{wnid}/{wnid}_1.xml"] = voc_xml(f"{wnid}_1", [WHOLE])
    (tmp_path / "boxes.tar").write_bytes(tar_of(files))
    num_boxes, odd = write_boxes(tmp_path, [tmp_path / "boxes.tar"], report=lambda number: None)
    assert num_boxes == 70
    assert not odd


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "field"])
def test_damaged_boxes_are_refused(tmp_path: Path, damage: str) -> None:
    line = b'{"picture":"a","width":1,"height":1,"original_width":1,"original_height":1,"boxes":[]}'
    data = gzip.compress(line + b"\n" + line + b"\n", mtime=0)
    damaged = {
        "cut": data[:-9],
        "flip": data[:-6] + bytes([data[-6] ^ 1]) + data[-5:],
        "text": gzip.compress(line + b"\n{"),
        "field": gzip.compress(line + b"\n" + line.replace(b"width", b"breadth")),
    }
    path = tmp_path / "boxes.jsonl.gz"
    path.write_bytes(damaged[damage])
    with pytest.raises(
        DataError, match=r"is damaged in or after line [0-2] \(.*\); remove it, and"
    ):
        list(read_boxes(path))
