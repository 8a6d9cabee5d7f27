"""Pictures of one class each with the boxes of what they show, to train and test localization on.

Three forms: a data set with boxes.jsonl.gz, as `alexnet data imagenet` writes it; class folders
with an XML file of VOC's beside each picture, of the same name; and VOC's own folders, JPEGImages
and Annotations. In the last a picture is of the class of its largest box, and only the boxes of
that class are kept: ILSVRC's task 2 knows one class for a picture.
Pictures without a box are left out and counted; what is wrong with boxes is mended by the rules of
`alexnet.data.boxes`, and counted too.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.data.boxes import (
    Annotation,
    Box,
    PictureBoxes,
    fit_boxes,
    parse_annotation,
    read_boxes,
)
from alexnet.data.folder import SUFFIXES, DataError, Listing, Split, split_folder
from alexnet.data.image import ImageError, decode_file
from alexnet.data.imagenet import Stored

BOXES = "boxes.jsonl.gz"
PICTURES, ANNOTATIONS = "JPEGImages", "Annotations"
LISTS = "ImageSets/Main/train.txt", "ImageSets/Main/val.txt"


@dataclass(frozen=True)
class Boxed:
    """Labelled pictures and the boxes of their classes."""

    pictures: Listing
    """The pictures that have a box."""
    boxes: tuple[tuple[Box, ...], ...]
    """The boxes of each, in shares of its width and height."""
    sides: tuple[tuple[int, int], ...]
    """Width and height of each, pixels."""
    without: int = 0
    """Pictures that were left out: they have no box."""
    notes: tuple[str, ...] = ()
    """What was odd and has been mended or left out, for the user."""


def open_boxed(path: Path, *, fraction: float = 0.1) -> tuple[Boxed, Boxed]:
    """Open the pictures to train on and to validate with.

    Class folders are split as for a training; VOC's by ImageSets/Main/train.txt and val.txt, or
    else a `fraction` of the names, by their SHA-256, is held out.

    Raises:  DataError when there are no boxes, or as `split_folder` and `parse_annotation`.
    """
    if (path / PICTURES).is_dir() and (path / ANNOTATIONS).is_dir():
        train, validation = _open_voc(path, fraction)
    else:
        split: Split[Listing] = split_folder(path, fraction=fraction)
        file = path / BOXES
        known = {each.picture: each for each in read_boxes(file)} if file.is_file() else None
        train, validation = (
            _with_boxes(path, each, known) for each in (split.train, split.validation)
        )
    parts = {"to train on": train, "to validate with": validation}
    for name, part in parts.items():
        if not len(part.pictures):
            raise DataError(_why_none(path, name, train, validation))
    return train, validation


def _why_none(path: Path, name: str, train: Boxed, validation: Boxed) -> str:
    """Return what to say of a part that has no picture with a box."""
    count = len(train.pictures) + len(validation.pictures)
    listed = (path / LISTS[0]).is_file() and (path / PICTURES).is_dir()
    if count:
        way = (
            f"the names in {LISTS[0] if name == 'to train on' else LISTS[1]} must be those of its "
            "pictures, without a suffix"
            if listed
            else "give both parts some"
        )
        s = "s" if count > 1 else ""
        return f"{path} has {count} picture{s} with boxes, but none {name}; {way}"
    if notes := "; ".join((*train.notes, *validation.notes)):
        return f"{path} has no box {name} that can be used: {notes}"
    return (
        f"{path} has no boxes for the pictures {name}; it needs {BOXES}, an XML file of VOC's "
        f"beside each picture, or VOC's folders {PICTURES}/ and {ANNOTATIONS}/"
    )


def relabel(boxed: Boxed, classes: Sequence[str], *, place: str) -> Boxed:
    """Label pictures by a net's classes, matched by name.

    Raises:  DataError, naming `place`, for a class that the net has not.
    """
    position = {name: label for label, name in enumerate(classes)}
    pictures = boxed.pictures
    for name in sorted({pictures.classes[label] for label in pictures.labels}):
        if name not in position:
            raise DataError(
                f"{place}: the net has no class {name!r}; give pictures of its classes, such as "
                f"{classes[0]!r}"
            )
    labels = tuple(position[pictures.classes[label]] for label in pictures.labels)
    return replace(boxed, pictures=replace(pictures, classes=tuple(classes), labels=labels))


def _with_boxes(root: Path, listing: Listing, known: dict[str, PictureBoxes] | None) -> Boxed:
    kept: list[tuple[int, PictureBoxes]] = []
    odd: Counter[str] = Counter()
    for index, path in enumerate(listing.paths):
        file = listing.root / path
        if known is not None:
            found = known.get(file.relative_to(root).as_posix())
        else:
            xml = file.with_suffix(".xml")
            found = _read(xml, file, odd)[0] if xml.is_file() else None
        if found and found.boxes:
            kept.append((index, found))
    pictures = replace(
        listing,
        paths=tuple(listing.paths[i] for i, _ in kept),
        labels=tuple(listing.labels[i] for i, _ in kept),
    )
    boxed = _boxed(pictures, [found for _, found in kept])
    return replace(boxed, without=len(listing) - len(kept), notes=_in_words(odd))


def _open_voc(root: Path, fraction: float) -> tuple[Boxed, Boxed]:
    found: dict[str, tuple[str, PictureBoxes]] = {}
    odd: Counter[str] = Counter()
    without = 0
    for file in sorted((root / PICTURES).iterdir()):
        if file.suffix.lower() not in SUFFIXES:
            continue
        xml = root / ANNOTATIONS / f"{file.stem}.xml"
        boxes, name = _read(xml, file, odd, largest=True) if xml.is_file() else (None, "")
        if boxes and boxes.boxes:
            found[file.stem] = name, replace(boxes, picture=f"{PICTURES}/{file.name}")
        else:
            without += 1
    classes = tuple(sorted({name for name, _ in found.values()}))
    parts = []
    for names in _parts(root, list(found), fraction):
        chosen = [found[name] for name in names if name in found]
        labels = tuple(classes.index(name) for name, _ in chosen)
        listing = Listing(root, classes, tuple(each.picture for _, each in chosen), labels)
        boxed = _boxed(listing, [each for _, each in chosen])
        lacking = [name for name in names if name not in found]
        some = f"{len(lacking)} listed without a box, such as {lacking[0]}" if lacking else ""
        parts.append(replace(boxed, notes=tuple(filter(None, [some]))))
    notes = (*_in_words(odd), *parts[0].notes)
    return replace(parts[0], without=without, notes=notes), parts[1]


def _parts(root: Path, names: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """Return the names to train on and those to validate with.

    Raises: DataError for a name that is in both of VOC's lists.
    """
    files = [root / each for each in LISTS]
    if all(file.is_file() for file in files):
        train, held_out = (
            [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
            for file in files
        )
        if both := sorted(set(train) & set(held_out)):
            more = f", and so are {len(both) - 1} more" if len(both) > 1 else ""
            raise DataError(
                f"{root}: {both[0]} is in {LISTS[0]} and in {LISTS[1]}{more}; a picture that is "
                "trained on tells nothing in a test: keep it in one of them"
            )
        return train, held_out
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = max(1, round(fraction * len(names)))
    return sorted(order[count:]), sorted(order[:count])


def _read(
    xml: Path, picture: Path, odd: Counter[str], *, largest: bool = False
) -> tuple[PictureBoxes, str]:
    """Return a picture's boxes, all or those of the class of the largest, and that class.

    What had to be mended is counted in `odd`.
    """
    annotation = parse_annotation(xml.read_bytes(), xml.name, str(xml))
    name = ""
    if largest and annotation.boxes:
        areas: Counter[str] = Counter()
        for of, (x0, y0, x1, y1) in zip(annotation.names, annotation.boxes, strict=True):
            areas[of] = max(areas[of], abs(int((x1 - x0) * (y1 - y0))))
        name = areas.most_common(1)[0][0]
        pairs = zip(annotation.names, annotation.boxes, strict=True)
        annotation = replace(annotation, boxes=tuple(box for of, box in pairs if of == name))
    width, height = _size(annotation, picture)
    # Names of files and objects are ILSVRC's rules, which other sets need not follow.
    annotation = replace(annotation, width=width, height=height, oddities=())
    boxes, mended = fit_boxes(annotation, Stored(picture.name, 1, width, height, width, height))
    odd.update(mended if annotation.boxes else ["no object"])
    return boxes, name


def _in_words(odd: Counter[str]) -> tuple[str, ...]:
    times = {text: f"{count} times" if count > 1 else "once" for text, count in odd.items()}
    return tuple(f"in XML files, {times[text]}: {text}" for text in sorted(odd))


def _size(annotation: Annotation, picture: Path) -> tuple[int, int]:
    if min(annotation.width, annotation.height) > 0:
        return int(annotation.width), int(annotation.height)
    try:
        height, width = decode_file(picture).shape[:2]
    except ImageError as error:
        raise DataError(
            f"{picture}: {error}; its XML gives no size, so that its boxes have none: mend the "
            "picture, or take its XML away"
        ) from None
    return width, height


def _boxed(pictures: Listing, found: Sequence[PictureBoxes]) -> Boxed:
    shares = tuple(
        tuple(
            (x0 / each.width, y0 / each.height, x1 / each.width, y1 / each.height)
            for x0, y0, x1, y1 in each.boxes
        )
        for each in found
    )
    return Boxed(pictures, shares, tuple((each.width, each.height) for each in found))
