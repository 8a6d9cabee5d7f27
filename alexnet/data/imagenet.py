"""Write ILSVRC's pictures as a data set: train/WNID/NAME.JPEG, val/WNID/NAME.JPEG, classes.json.

Pictures keep their bytes, or become JPEG of a given shorter side, each decoded once for good. A
class's tar, or 1,000 pictures in turn of the others, is a block: when all its files are in place
it gets a record below .progress/, and the next run passes over it if they still have the lengths
written there. A block without a record is done again, to the same bytes.
Source:  Krizhevsky 2012, section 2 (shorter side 256; there the centre is cut out, here a net's
         own preprocessing does it). Files that need care: pytorch/vision issue 7741 lists the 22
         CMYK pictures of 2012; one picture of 2010 is gzipped, and patch_images.tar replaces some.
"""

import fcntl
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import simplejpeg

from alexnet.data.exif import read_orientation
from alexnet.data.folder import DataError
from alexnet.data.ilsvrc import Devkit
from alexnet.data.ilsvrc_archives import WNID, Entry, files, gunzip, training_classes
from alexnet.data.image import DEFAULT_LIMITS, ImageError, decode, resize_shorter_side
from alexnet.data.kinds import kind_of
from alexnet.nearest import nearest
from alexnet.store import write_atomically

RECORDS = ".progress"
"""The folder of the records, hidden from those who list pictures."""
SUMMARY = "imagenet.json"
"""The file that says how the data set was made, and what came of it."""
BLOCK = 1000
"""Pictures of a block where there are no classes' tars."""

_PICTURE = re.compile(r"[A-Za-z0-9_.-]+\.(jpe?g|png)", re.IGNORECASE)
_NUMBERED = re.compile(r"ILSVRC(20[0-9]{2})_(val|test)_([0-9]{8})\.JPEG")
_BETWEEN_STOPS = 64  # pictures


@dataclass(frozen=True)
class Form:
    """How pictures are stored."""

    size: int = 0
    """Shorter side in pixels; 0 leaves all files as they are, and no picture is enlarged."""
    quality: int = 95
    """Quality of the JPEG, 1 to 100, where pictures are scaled."""

    def __post_init__(self) -> None:
        if self.size and not 16 <= self.size <= 4096:
            raise ValueError(f"size {self.size} is not 16 to 4096 pixels; 256 is the paper's")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality {self.quality} is not 1 to 100; 95 is usual")


@dataclass(frozen=True)
class Stored:
    """A picture that was written."""

    path: str
    """Where, below the data set, with '/'."""
    num_bytes: int
    """Length of the file."""
    width: int
    """Pixels of the file, 0 if it cannot be read."""
    height: int
    """Pixels of the file, 0 if it cannot be read."""
    original_width: int
    """Pixels of the published file, 0 if it cannot be read."""
    original_height: int
    """Pixels of the published file, 0 if it cannot be read."""
    turn: int = 1
    """The orientation of EXIF, 1 to 8, by which a scaled picture was turned; else 1."""
    remark: str = ""
    """What was unusual about the published file."""


@dataclass(frozen=True)
class Target:
    """The data set that is written, and how."""

    root: Path
    """Its folder."""
    form: Form = Form()
    """How pictures are stored."""
    threads: int = 1
    """Pictures that are decoded at a time."""
    stopped: Callable[[], bool] = lambda: False
    """Asked between pictures: whether to end the work here."""


class Stopped(RuntimeError):
    """The work was asked to stop; the same call goes on with it."""


Shape = tuple[int, int, int, int, int]
"""Width and height as stored, width and height as published, and the turn: as in `Stored`."""
Block = tuple[str, Sequence[tuple[str, Entry]]]
"""A block's name, and its pictures with their WNIDs."""
Replacements = dict[tuple[str, str], bytes]
"""Pictures of patch_images.tar, by part and name."""


def training_blocks(source: Path, devkit: Devkit, *, left_out: list[str]) -> Iterator[Block]:
    """Yield the pictures of each class; files that are none are added to `left_out`.

    Raises:  DataError when the development kit lacks a class, or a picture is of another class.
    """
    known = {synset.wnid for synset in devkit.classes}
    for wnid, entries in training_classes(source):
        if wnid not in known:
            raise DataError(
                f"{source} has the class {wnid}, which the development kit of {devkit.year} "
                f"lacks{nearest(wnid, known)}; give the kit of the same year"
            )
        found = list(_pictures_of(entries, left_out))
        for entry in found:
            if WNID.match(entry.name) and not entry.name.startswith(wnid):
                raise DataError(f"{entry.place} is in the class {wnid} by its place, not its name")
        yield f"train-{wnid}", [(wnid, entry) for entry in found]


def numbered_blocks(
    source: Path, devkit: Devkit, *, part: str, left_out: list[str]
) -> Iterator[Block]:
    """Yield the pictures of the part val or test by the thousand, with the classes they show.

    Raises:  DataError when a picture has no true label, or lies in another class's folder.
    """
    truth = {"val": devkit.validation, "test": devkit.test}[part]
    wnid_of = {synset.ilsvrc_id: synset.wnid for synset in devkit.classes}

    def labelled() -> Iterator[tuple[str, Entry]]:
        for entry in _pictures_of(files(source), left_out):
            found = _NUMBERED.fullmatch(entry.name)
            if found is None or found[1] != str(devkit.year) or found[2] != part:
                raise DataError(
                    f"{entry.place} is no picture of the part {part}, as "
                    f"ILSVRC{devkit.year}_{part}_00000001.JPEG; give the archive of that part"
                )
            number = int(found[3])
            if not 1 <= number <= len(truth):
                raise DataError(
                    f"{entry.place} has no line in the ground truth, which has {len(truth):,}; "
                    f"take another copy of the development kit"
                )
            wnid, folder = wnid_of[truth[number - 1]], entry.path.split("/")[-2:-1]
            if folder and WNID.fullmatch(folder[0]) and folder[0] != wnid:
                raise DataError(
                    f"{entry.place} shows {wnid} by the ground truth; give the pictures in "
                    f"one folder, as published"
                )
            yield wnid, entry

    everything = labelled()
    number = 0
    while block := list(islice(everything, BLOCK)):
        yield f"{part}-{number:03d}", block
        number += 1


def write_blocks(
    blocks: Iterable[Block],
    target: Target,
    *,
    part: str,
    replacements: Replacements,
    report: Callable[[int], None],
) -> Iterator[Stored]:
    """Write the pictures of a part, and yield what was written now or by an earlier run.

    `report` is told the number of pictures that were done with.
    Raises:  Stopped when asked to; DataError when two pictures have one name; OSError when the
             disk refuses, and then the same call goes on with the work.
    """
    seen: set[str] = set()
    with ThreadPoolExecutor(target.threads) as pool:
        for name, entries in blocks:
            paths = [f"{part}/{wnid}/{entry.name}" for wnid, entry in entries]
            for path in paths:
                if path in seen:
                    raise DataError(f"two pictures would be {path}; give a source without doubles")
                seen.add(path)
            stored = _read_record(target.root, name, paths)
            if stored is not None:
                report(len(stored))
                yield from stored
                continue
            for folder in sorted({path.rpartition("/")[0] for path in paths}):
                (target.root / folder).mkdir(parents=True, exist_ok=True)
            work = partial(_store, target=target, part=part, replacements=replacements)
            stored = []
            for start in range(0, len(paths), _BETWEEN_STOPS):
                if target.stopped():
                    raise Stopped(f"{target.root}: stopped in {name}")
                piece = slice(start, start + _BETWEEN_STOPS)
                stored += pool.map(work, paths[piece], [entry for _, entry in entries[piece]])
                report(len(paths[piece]))
            _write_record(target.root, name, stored)
            yield from stored


def read_replacements(source: Path) -> Replacements:
    """Read patch_images.tar of 2010, which has better files for pictures that show nothing.

    Raises:  DataError when it is no such archive.
    """
    found = {}
    for entry in _pictures_of(files(source), []):
        part = entry.path.split("/")[-2:-1]
        if part not in (["train"], ["val"], ["test"]):
            raise DataError(f"{entry.place} is in none of train/, val/ and test/; give 2010's own")
        found[part[0], entry.name] = entry.read(most=DEFAULT_LIMITS.max_bytes)
    return found


@contextmanager
def begun(target: Target, *, year: int, patched: bool) -> Iterator[None]:
    """Hold the folder of a data set that is new, or was begun in the same way.

    Raises:  DataError when it holds anything else, or another process is at work in it.
    """
    root, form = target.root, target.form
    wanted = {"year": year, "size": form.size, "quality": form.quality if form.size else 0}
    wanted["patched"] = int(patched)
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file; name a folder to write to")
    about, found = root / SUMMARY, {}
    if about.exists():
        found = _read_about(about)
        for key, value in wanted.items():
            if found[key] != value:
                raise DataError(
                    f"{root} was begun with {key} {found[key]}, not {value}; use that, or name "
                    f"another folder"
                )
    elif root.exists() and {path.name for path in root.iterdir()} - {RECORDS, f"{SUMMARY}.tmp"}:
        raise DataError(f"{root} holds something else than this data set; name another folder")
    (root / RECORDS).mkdir(parents=True, exist_ok=True)
    with open(root / RECORDS / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another process writes to {root}; wait for it") from None
        write_atomically(about, _json(found | wanted | {"finished": False}))
        yield


def finish(root: Path, parts: Mapping[str, Any], boxes: Mapping[str, Any] | None) -> None:
    """Add to imagenet.json what came of the work; what it says of other parts is kept."""
    about = _read_about(root / SUMMARY)
    about["parts"] = {**about.get("parts", {}), **parts}
    if boxes is not None:
        about["boxes"] = dict(boxes)
    write_atomically(root / SUMMARY, _json(about | {"finished": True}))


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def _pictures_of(entries: Iterable[Entry], left_out: list[str]) -> Iterator[Entry]:
    for entry in entries:
        if _PICTURE.fullmatch(entry.name):
            yield entry
        else:
            left_out.append(entry.place)


# ---- One picture --------------------------------------------------------------------------------


def published_bytes(entry: Entry, part: str, replacements: Replacements) -> tuple[bytes, str]:
    """Return a picture's file, patched and unpacked where it must be, and what was done to it.

    Raises:  DataError when it is too long, or gzipped and damaged.
    """
    data, remark = replacements.get((part, entry.name)), "replaced by patch_images.tar"
    if data is None:
        data, remark = entry.read(most=DEFAULT_LIMITS.max_bytes), ""
    if data.startswith(b"\x1f\x8b"):
        data, remark = gunzip(data, entry.place, most=DEFAULT_LIMITS.max_bytes), "gzipped"
    return data, remark


def _store(
    path: str, entry: Entry, *, target: Target, part: str, replacements: Replacements
) -> Stored:
    data, remark = published_bytes(entry, part, replacements)
    try:
        data, shape, kind = convert(data, target.form)
    except ImageError as error:
        shape, kind = (0, 0, 0, 0, 1), f"not readable, kept as it is: {error}"
    file = target.root / path
    temporary = file.with_name(file.name + ".tmp")
    try:
        temporary.write_bytes(data)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    # Not flushed to the disk, which would take hours: a power cut leaves a file too short, and
    # then the lengths in the block's record tell.
    temporary.replace(file)
    return Stored(path, len(data), *shape, kind or remark)


def convert(data: bytes, form: Form) -> tuple[bytes, Shape, str]:
    """Return a picture's bytes as stored, its shape, and what is unusual about it.

    Its colours are made RGB only where it is scaled; every reader of ours does that for the rest.

    Raises:  ImageError when it cannot be read.
    """
    kind = kind_of(data)
    remark = "" if kind == "JPEG" else f"{kind} by its content"
    if kind == "JPEG":
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        except (ValueError, KeyError) as error:  # KeyError: colours that it does not know
            raise ImageError(f"the JPEG is damaged: {error}") from error
        if colours in ("CMYK", "YCCK"):
            remark = "CMYK"
        if not form.size:
            return data, (width, height, width, height, 1), remark
    pixels = decode(data)
    if kind != "JPEG":
        height, width = pixels.shape[:2]
    if not form.size or min(width, height) <= form.size:
        return data, (width, height, width, height, 1), remark
    scaled = resize_shorter_side(pixels, form.size)
    # Half the colour's resolution each way, as cameras and ImageNet's own files have it.
    encoded: bytes = simplejpeg.encode_jpeg(
        scaled, quality=form.quality, colorspace="RGB", colorsubsampling="420"
    )
    exif = data.find(b"Exif\0\0", 0, 65_536) if kind == "JPEG" else -1
    turn = read_orientation(data[exif : exif + 65_536]) if exif >= 0 else 1
    return encoded, (scaled.shape[1], scaled.shape[0], width, height, turn), remark


# ---- Records ------------------------------------------------------------------------------------


def _write_record(root: Path, name: str, stored: Sequence[Stored]) -> None:
    rows = [list(asdict(each).values()) for each in stored]
    write_atomically(root / RECORDS / f"{name}.json", json.dumps(rows).encode())


def _read_record(root: Path, name: str, paths: Sequence[str]) -> list[Stored] | None:
    """Return what an earlier run wrote of a block, or nothing if it is not all in place."""
    stored = stored_in_block(root, name)
    if stored is None or [each.path for each in stored] != list(paths):
        return None
    for each in stored:
        try:
            if (root / each.path).stat().st_size != each.num_bytes:
                return None
        except OSError:
            return None
    return stored


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(path.read_bytes())
        lacking = {"year", "size", "quality", "patched"} - set(about)
    except (ValueError, TypeError):
        lacking = {"everything"}
    if lacking:
        raise DataError(f"{path} is damaged; remove it with its folder, or name another folder")
    return about


def stored_in_block(root: Path, name: str) -> list[Stored] | None:
    """Read the record of a block, or return nothing when there is none that is whole."""
    try:
        rows = json.loads((root / RECORDS / f"{name}.json").read_bytes())
        return [Stored(*row) for row in rows]
    except (OSError, ValueError, TypeError):
        return None
