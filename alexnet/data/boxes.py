"""ILSVRC's bounding boxes for task 2: read from VOC's XML, kept in one file.

A line of boxes.jsonl.gz is a picture of the data set with its boxes in pixels as it is stored.
What is known to be wrong with the XML is mended by these rules, and counted:
    no size, or 0            the boxes are taken to be in pixels of the published picture
    another size             boxes keep their place relative to the size that the XML gives
    xmin > xmax              the two change places
    past the edge            cut at the edge
    no area                  left out
    a file name of its own   ignored; the XML file's own name tells the picture
    another class's folder   ignored, as is the name that an object carries
Pixels are counted as in the XML; nothing is said there on whether the first is 0 or 1. The XML
speaks of pictures before EXIF's turn; boxes of a picture that was scaled, and so turned, turn too.
Source:  ILSVRC2012_bbox_train_v2.tar.gz, nXXXXXXXX/nXXXXXXXX_Y.xml; ILSVRC2012_bbox_val_v3.tgz;
         the rules are those of tensorflow/models, research/slim, process_bounding_boxes.py.
"""

import gzip
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc_archives import files
from alexnet.data.imagenet import RECORDS, Stored, stored_in_block
from alexnet.store import write_atomically

_MOST_XML_BYTES = 1_000_000
_EDGES = ("xmin", "ymin", "xmax", "ymax")

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels."""


@dataclass(frozen=True)
class Annotation:
    """What an XML file says."""

    name: str
    """The picture's name without its suffix."""
    width: float
    """Width of the picture, 0 if it is not given."""
    height: float
    """Height of the picture, 0 if it is not given."""
    boxes: tuple[Box, ...]
    """The boxes as they stand there."""
    oddities: tuple[str, ...] = ()
    """What is unusual about the file, a few words each."""
    names: tuple[str, ...] = field(default=(), compare=False)
    """What each box is said to be of."""


@dataclass(frozen=True)
class PictureBoxes:
    """The boxes of a picture of the data set."""

    picture: str
    """Its path below the data set."""
    width: int
    """Pixels as it is stored; the boxes are in these."""
    height: int
    """Pixels as it is stored."""
    original_width: int
    """Pixels of the published picture."""
    original_height: int
    """Pixels of the published picture."""
    boxes: tuple[Box, ...]
    """The boxes, in the order of the XML."""


def parse_annotation(data: bytes, entry_path: str, place: str) -> Annotation:
    """Read an XML file; its path in the archive tells the picture.

    Raises:  DataError when it is not VOC's XML, has entities, or an edge that is no number.
    """
    folder, _, name = entry_path.removesuffix(".xml").rpartition("/")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise DataError(f"{place} defines entities; VOC's XML has none: take another copy")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{place} is no XML ({error}); take another copy") from error
    wnid, inside = name.partition("_")[0], folder.rpartition("/")[2]
    odd = []
    if root.findtext("filename", name) not in (name, f"{name}.JPEG"):
        odd.append("the file name inside is another")
    if re.fullmatch("n[0-9]{8}", inside) and re.match("n[0-9]{8}_", name) and inside != wnid:
        odd.append("it lies in another class's folder")
    width, height = (_number(root, f"size/{side}", 0.0, place) for side in ("width", "height"))
    boxes, names = [], []
    for thing in root.iter("object"):
        names.append(thing.findtext("name", "").strip())
        if not re.fullmatch("n[0-9]{8}", names[-1]):
            odd.append("an object's name is no WNID")
        x0, y0, x1, y1 = (_number(thing, f"bndbox/{edge}", None, place) for edge in _EDGES)
        boxes.append((x0, y0, x1, y1))
    return Annotation(name, width, height, tuple(boxes), tuple(odd), tuple(names))


def fit_boxes(annotation: Annotation, stored: Stored) -> tuple[PictureBoxes, list[str]]:
    """Bring the boxes into the pixels of the stored picture; also return what was mended.

    x = stored width * min(max(x_xml / width of the XML, 0), 1), turned as the picture was
    """
    odd = list(annotation.oddities)
    original = (stored.original_width, stored.original_height)
    given = (annotation.width, annotation.height)
    if not min(given) > 0:
        odd.append("it gives no size")
        given = original
    elif original != (0, 0) and given != original:
        odd.append("it gives another size than the picture has")
    # Of a picture that cannot be read the size is not known; its boxes stay as they are.
    size = (stored.width, stored.height) if stored.width else given
    boxes = []
    for xmin, ymin, xmax, ymax in annotation.boxes:
        if xmin > xmax or ymin > ymax:
            odd.append("edges had to change places")
        across, down = sorted((xmin, xmax)), sorted((ymin, ymax))
        if min(given) > 0:
            if min(across[0], down[0]) < 0 or across[1] > given[0] or down[1] > given[1]:
                odd.append("a box went past the edge and was cut")
            across = [min(max(x / given[0], 0.0), 1.0) for x in across]
            down = [min(max(y / given[1], 0.0), 1.0) for y in down]
            across, down = _turn(across, down, stored.turn)
            across, down = [x * size[0] for x in across], [y * size[1] for y in down]
        if across[0] < across[1] and down[0] < down[1]:
            x0, x1, y0, y1 = (round(edge, 2) for edge in (*across, *down))
            boxes.append((x0, y0, x1, y1))
        else:
            odd.append("a box had no area and was left out")
    found = PictureBoxes(stored.path, stored.width, stored.height, *original, tuple(boxes))
    return found, odd


def _turn(
    across: list[float], down: list[float], orientation: int
) -> tuple[list[float], list[float]]:
    """Turn a range in x and one in y, of [0, 1], as `alexnet.data.exif.upright` turns pixels."""
    if orientation in (2, 3, 7, 8):
        across = [1 - x for x in reversed(across)]
    if orientation in (3, 4, 6, 7):
        down = [1 - y for y in reversed(down)]
    return (down, across) if orientation >= 5 else (across, down)


def write_boxes(
    root: Path, sources: Iterable[Path], *, report: Callable[[int], None]
) -> tuple[int, Counter[str]]:
    """Write boxes.jsonl.gz beside the pictures, sorted by path; other pictures' boxes stay in it.

    `report` is told the number of XML files that were read. Returned are the number of boxes and
    how often each rule was needed; XML files of pictures that are not in the data set are counted.
    Raises:  DataError when an archive or an XML file is damaged, or a picture comes twice.
    """
    odd: Counter[str] = Counter()
    lines: dict[str, bytes] = {}
    num_boxes = 0
    pictures = _Pictures(root)
    for source in sources:
        for entry in files(source):
            if not entry.name.endswith(".xml"):
                continue
            data = entry.read(most=_MOST_XML_BYTES)
            annotation = parse_annotation(data, entry.path, entry.place)
            report(1)
            stored = pictures.find(annotation.name)
            if stored is None:
                odd["the picture is not in the data set"] += 1
                continue
            found, mended = fit_boxes(annotation, stored)
            if found.picture in lines:
                raise DataError(f"{entry.place} is the second XML file of its picture; keep one")
            odd.update(mended)
            num_boxes += len(found.boxes)
            lines[found.picture] = _line(found)
    file = root / "boxes.jsonl.gz"
    earlier = {each.picture: _line(each) for each in read_boxes(file)} if file.exists() else {}
    lines = earlier | lines
    content = b"".join(lines[path] for path in sorted(lines))
    write_atomically(file, gzip.compress(content, mtime=0))
    return num_boxes, odd


def _line(boxes: PictureBoxes) -> bytes:
    return json.dumps(asdict(boxes), separators=(",", ":")).encode() + b"\n"


def read_boxes(path: Path) -> Iterator[PictureBoxes]:
    """Read a boxes.jsonl.gz, picture by picture.

    Raises:  DataError when it is damaged, with the line.
    """
    number = 0
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            for line in file:
                number += 1
                row = json.loads(line)
                yield PictureBoxes(**row | {"boxes": tuple(tuple(box) for box in row["boxes"])})
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged in or after line {number} ({error}); "
            f"remove it, and alexnet data imagenet writes it anew"
        ) from error


class _Pictures:
    """The pictures of the data set by name; a few classes are kept in memory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbered: dict[str, Stored] | None = None
        self._of_class: dict[str, dict[str, Stored]] = {}

    def find(self, name: str) -> Stored | None:
        """Return the picture of that name, without a suffix."""
        if name.startswith("ILSVRC"):
            if self._numbered is None:
                records = (self._root / RECORDS).glob("[!t]*.json")
                blocks = sorted(path.stem for path in records)
                self._numbered = self._read(blocks)
            return self._numbered.get(name)
        wnid = name.partition("_")[0]
        if wnid not in self._of_class:
            if len(self._of_class) >= 64:  # an archive goes class by class
                self._of_class.clear()
            self._of_class[wnid] = self._read([f"train-{wnid}"])
        return self._of_class[wnid].get(name)

    def _read(self, blocks: Iterable[str]) -> dict[str, Stored]:
        stored = (each for block in blocks for each in stored_in_block(self._root, block) or [])
        return {Path(each.path).stem: each for each in stored}


def _number(root: ElementTree.Element, path: str, default: float | None, place: str) -> float:
    text = root.findtext(path)
    if text is None and default is not None:
        return default
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: {path} is {text!r}, not a number; take another copy")
    return number
