"""`convert_imageset`: pictures of a list into a database of Datums.

Source:  BVLC Caffe, tools/convert_imageset.cpp and src/caffe/util/io.cpp. Keys and values are the
         same bytes, but for pictures that are encoded anew: a PNG then has the same pixels, a JPEG
         nearly the same.
Differs: --check_size compares channels, height and width, where Caffe compares their product and
         stops at the second encoded picture; a label that is no number is refused; a database
         appears when it is whole, and not at all if no picture could be read.
"""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.caffe.imageset_options import Options
from alexnet.caffe.log import LOG
from alexnet.caffe.new_database import backend_of, new_database
from alexnet.nearest import nearest
from alexnet.text.datum import make_datum, make_encoded_datum
from alexnet.text.image_list import Entry, read_list, read_resized
from alexnet.text.message import TextError
from alexnet.text.picture_files import read_bytes

_AT_ONCE = 256  # pictures decoded before they are written
_REPORT_EVERY = 1000
_JPEG_QUALITY = 95  # as cv::imencode
_TYPES = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "bmp": "BMP",
    "webp": "WEBP",
}

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Converted:
    """What became of a list."""

    written: int
    skipped: tuple[str, ...]
    """What was wrong with each picture that could not be read."""


@dataclass(frozen=True)
class _Item:
    value: bytes
    shape: tuple[int, ...]


def convert_imageset(
    root: str, list_file: Path, database: Path, *, options: Options, random: np.random.Generator
) -> Converted:
    """Write the pictures of a list into a new database, in the order of the list or shuffled.

    `root` stands before each path as it is: it ends in a slash. A picture that cannot be read is
    left out with a notice, as in Caffe.

    Raises:  TextError for a list that is refused, for no picture at all and with check_size for
             pictures of different sizes; ValueError for an unknown backend or encoding;
             DatabaseError if the database exists or cannot be written.
    """
    backend = backend_of(options.backend)
    entries = read_list(list_file)
    encodings = [_encoding(entry, options) for entry in entries]
    if options.shuffle:
        LOG.info("Shuffling data")
        order = random.permutation(len(entries)).tolist()
        entries, encodings = [entries[i] for i in order], [encodings[i] for i in order]
    LOG.info(f"A total of {len(entries)} images.")
    if options.encode_type and not options.encoded:
        LOG.info("encode_type specified, assuming encoded=true.")
    written, skipped = 0, []
    first: tuple[int, ...] | None = None
    with new_database(database, backend) as writer:
        items = _read_all(root, entries, encodings, options)
        for number, (entry, item) in enumerate(zip(entries, items, strict=True)):
            if isinstance(item, TextError):
                LOG.error(f"Left out: {item}")
                skipped.append(str(item))
                continue
            first = first or item.shape
            if options.check_size and item.shape != first:
                raise TextError(
                    f"{root}{entry.path} is {_by(item.shape)} (channels, height, width) and the "
                    f"first picture {_by(first)}; resize them, or leave out --check_size"
                )
            writer.put(os.fsencode(f"{number:08d}_{entry.path}"), item.value)
            written += 1
            if written % _REPORT_EVERY == 0:
                LOG.info(f"Processed {written} files.")
        if not written:
            raise TextError(f"none of the {len(entries)} pictures could be read; {skipped[0]}")
    if written % _REPORT_EVERY:
        LOG.info(f"Processed {written} files.")
    return Converted(written, tuple(skipped))


def _read_all(
    root: str, entries: Sequence[Entry], encodings: Sequence[str], options: Options
) -> Iterator[_Item | TextError]:
    """Yield the pictures in their order; some threads read ahead, but not far."""
    read = partial(_read, root, options=options)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(entries), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            yield from pool.map(read, entries[part], encodings[part])


def _read(root: str, entry: Entry, encoding: str, *, options: Options) -> _Item | TextError:
    path = root + entry.path
    height, width = options.resize_height, options.resize_width
    try:
        picture = read_resized(path, height, width, color=not options.gray)
        shape = (picture.shape[2], *picture.shape[:2])
        if not encoding:
            return _Item(make_datum(picture.transpose(2, 0, 1), entry.label), shape)
        as_it_is = height <= 0 and width <= 0 and _matches(path, encoding)
        data = read_bytes(path) if as_it_is else encode_picture(picture, encoding)
    except TextError as error:
        return error
    return _Item(make_encoded_datum(data, entry.label), shape)


def encode_picture(picture: Picture, encoding: str) -> bytes:
    """Return a picture as a PNG, JPEG (quality 95), BMP or WebP file, as cv::imencode.

    Shapes:  picture (H, W, 3) BGR or (H, W, 1)
    Raises:  ValueError for another encoding; the nearest is named.
    """
    kind = _TYPES.get(encoding)
    if kind is None:
        raise ValueError(_unknown(encoding))
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture[:, :, ::-1])
    file = io.BytesIO()
    if kind == "JPEG":
        # Pillow's JPEG and not simplejpeg's, which takes the inexact cosine transform below 96.
        image.save(file, kind, quality=_JPEG_QUALITY, subsampling="4:2:0")
    else:
        image.save(file, kind, lossless=True)  # which only WebP knows
    return file.getvalue()


def _encoding(entry: Entry, options: Options) -> str:
    """Return how a picture is stored: "" for raw pixels, else the ending of its file's name."""
    if options.encode_type:
        ending = options.encode_type.lower()
    elif not options.encoded:
        return ""
    else:
        ending = entry.path.rpartition(".")[2].lower()
    resized = options.resize_height > 0 or options.resize_width > 0
    if ending not in _TYPES and (options.encode_type or resized):
        raise ValueError(_unknown(ending))
    return ending


def _unknown(encoding: str) -> str:
    known = ", ".join(_TYPES)
    return f"encoding {encoding[:40]!r} is not known{nearest(encoding, _TYPES)}; one of {known}"


def _matches(path: str, encoding: str) -> bool:
    """Return whether a file has the wanted encoding already, by its name."""
    ending = path.rpartition(".")[2].lower()
    return ending == encoding or (encoding, ending) == ("jpg", "jpeg")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
