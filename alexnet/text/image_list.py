"""Lists of picture files with labels, "path label" a line, and the ImageData layer that reads one.

Source:  BVLC Caffe, src/caffe/layers/image_data_layer.cpp; tools/convert_imageset.cpp reads such
         lists too. The label stands behind the last blank, so paths may have blanks.
Differs: a label that is no whole number is refused, where Caffe takes 0; an empty last line is
         nothing. The order of shuffled pictures is another one of the same distribution.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.nearest import nearest_beside
from alexnet.text.ahead import Ahead
from alexnet.text.kind import Setting, Source
from alexnet.text.message import Message, TextError
from alexnet.text.picture_files import read_picture
from alexnet.text.resize import resize
from alexnet.text.transform import read_transform, stream

_LINE = re.compile(r"(.*) ([+-]?[0-9]+)\s*", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """A picture file of a list."""

    path: str
    """As it stands in the list; bytes that are not UTF-8 are surrogates."""
    label: int


def read_list(path: Path) -> list[Entry]:
    """Read a list of pictures.

    Raises: TextError, with the line, for one that is not "path label"; for a list that is missing
            (the nearest name is given), empty, or unreadable.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise TextError(f"the list {path} does not exist{nearest_beside(path)}") from None
    except OSError as error:
        raise TextError(f"the list {path} cannot be read: {error.strerror}") from None
    lines = os.fsdecode(text).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise TextError(f"the list {path} is empty; give lines of a path, a blank and a label")
    return [_entry(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]


def _entry(line: str, place: str) -> Entry:
    found = _LINE.fullmatch(line)
    if found is None:
        raise TextError(
            f"{place}: {line[:80]!a} is not a path, a blank and a whole number as label"
        )
    label = int(found[2]) if len(found[2]) < 12 else 2**31
    if not -(2**31) <= label < 2**31:
        raise TextError(f"{place}: the label {found[2][:20]} is beyond 32 bits")
    return Entry(found[1], label)


def read_resized(path: str, height: int, width: int, *, color: bool = True) -> NDArray[np.uint8]:
    """Read a picture, resized if both sides are positive, as ReadImageToCVMat.

    Shapes:  -> (H, W, 3) BGR or (H, W, 1) uint8
    Raises:  TextError when it cannot be read.
    """
    picture = read_picture(path, color=color)
    return resize(picture, height, width) if height > 0 and width > 0 else picture


class ImageSource(Source):
    """Reads batches of pictures that a list names, in its order or shuffled, without end."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record = setting.record
        self._parameter: Message = record["image_data_param"]
        self._record = record
        _check(record, self._parameter)
        try:
            self._entries = read_list(Path(self._parameter["source"]))
        except TextError as error:
            raise record.refuse(f"source: {error}") from None
        skipped = self._parameter["rand_skip"]
        if skipped > len(self._entries):
            raise record.refuse(
                f"rand_skip {skipped} is more than the {len(self._entries)} pictures of the list"
            )
        self._transform = read_transform(record, setting.phase)
        first = self._read(self._entries[0])
        try:
            self._transform.check(first.shape, self._entries[0].path)
        except TextError as error:
            raise record.refuse(str(error)) from None
        batch = self._parameter["batch_size"]
        self.shapes = ((batch, *self._transform.shape(first.shape)), (batch,))
        self._order: list[int] = []
        self._position = 0
        self._random = np.random.default_rng()
        self._ahead = Ahead(self._load, record["data_param"]["prefetch"])

    def seed(self, seed: int) -> None:
        """Let a number decide what is drawn; called before the first batch."""
        self._random = stream(seed, self._record["name"])

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the next pictures (N, C, H, W) and labels (N,), float32.

        Raises: TextError when a picture cannot be read, as in Caffe.
        """
        return self._ahead.take()

    def close(self) -> None:
        """End the thread that reads ahead."""
        self._ahead.close()

    def _load(self) -> tuple[Tensor, Tensor]:
        entries = [self._next() for _ in range(self.shapes[1][0])]
        pictures = [self._read(entry) for entry in entries]
        names = [entry.path for entry in entries]
        try:
            batch = self._transform.apply(pictures, names, random=self._random)
        except TextError as error:
            raise self._record.refuse(str(error)) from None
        labels = np.array([entry.label for entry in entries], np.float32)
        return torch.from_numpy(batch), torch.from_numpy(labels)

    def _next(self) -> Entry:
        if not self._order:
            self._shuffle()
            if self._parameter["rand_skip"]:
                self._position = int(self._random.integers(self._parameter["rand_skip"]))
        entry = self._entries[self._order[self._position]]
        self._position += 1
        if self._position == len(self._order):
            self._position = 0
            self._shuffle()
        return entry

    def _shuffle(self) -> None:
        count = len(self._entries)
        shuffled = self._parameter["shuffle"]
        order = self._random.permutation(count) if shuffled else np.arange(count)
        self._order = order.tolist()

    def _read(self, entry: Entry) -> NDArray[np.uint8]:
        parameter = self._parameter
        path = parameter["root_folder"] + entry.path
        try:
            picture = read_resized(
                path, parameter["new_height"], parameter["new_width"], color=parameter["is_color"]
            )
        except TextError as error:
            folder = parameter["root_folder"]
            hint = "" if not folder or folder.endswith("/") else "; root_folder ends without '/'"
            raise self._record.refuse(f"{parameter['source']}: {error}{hint}") from None
        return picture.transpose(2, 0, 1)


def _check(record: Message, parameter: Message) -> None:
    if "source" not in parameter:
        raise record.refuse("image_data_param has no source; give the list of pictures")
    if parameter["batch_size"] < 1:
        raise record.refuse("batch_size is 0; give a positive one")
    if (parameter["new_height"] > 0) != (parameter["new_width"] > 0):
        raise record.refuse("one of new_height and new_width is given alone; give both or neither")
