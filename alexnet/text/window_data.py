"""The WindowData layer: windows cut out of pictures, objects and background, for R-CNN.

Source:  BVLC Caffe, src/caffe/layers/window_data_layer.cpp; Girshick 2014. A list has, for each
         picture: `# number`, path, channels, height, width, count of windows, and for each window
         `label overlap x1 y1 x2 y2`; all of it may stand on any lines.
Differs: a picture that cannot be read ends the run, where Caffe goes on with a batch of zeros; with
         cache_images a file is kept when it is first read. The random numbers are another stream.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.nearest import nearest, nearest_beside
from alexnet.text.ahead import Ahead
from alexnet.text.kind import Setting, Source
from alexnet.text.message import Message, TextError
from alexnet.text.picture_files import decode_picture, read_bytes
from alexnet.text.resize import resize
from alexnet.text.transform import Transform, read_transform, stream

_HEAD = 7  # "#", number, path, channels, height, width and the count of windows
_CROP_MODES = ("warp", "square")


@dataclass(frozen=True)
class Windows:
    """The windows of all pictures of a list."""

    paths: list[str]
    """The pictures, as they stand in the list."""
    pictures: NDArray[np.int64]
    """Which picture each window is of."""
    labels: NDArray[np.int64]
    overlaps: NDArray[np.float32]
    boxes: NDArray[np.int64]
    """x1, y1, x2, y2 of each window, ends included, (N, 4)."""


class Patch(NamedTuple):
    """A window that is warped, and where it stands in the square that is made of it."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) BGR."""
    top: int
    left: int


def read_windows(path: Path) -> Windows:
    """Read a list of windows.

    Raises: TextError for a list that is missing (the nearest name is given), empty or cut short,
            and with the line for an entry that is not of the form above.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        hint = nearest_beside(path)
        raise TextError(f"the list {path} cannot be read: {error.strerror}{hint}") from None
    words, at = text.split(), 0
    paths: list[str] = []
    owners, numbers = [], []
    while at < len(words):
        head = words[at : at + _HEAD]
        wrong = _wrong_head(head, len(paths), len(words) - at - _HEAD)
        if wrong:
            raise TextError(f"{_place(path, text, at)}: {wrong}")
        count = int(head[6])
        rows = words[at + _HEAD : at + _HEAD + 6 * count]
        numbers.append(_numbers(rows, path, text, at + _HEAD))
        owners.append(np.full(count, len(paths), np.int64))
        paths.append(head[2])
        at += _HEAD + 6 * count
    if not paths:
        raise TextError(f"the list {path} is empty; give it windows")
    table = np.concatenate(numbers)
    whole = table.astype(np.int64)
    return Windows(
        paths=paths,
        pictures=np.concatenate(owners),
        labels=whole[:, 0],
        overlaps=table[:, 1].astype(np.float32),
        boxes=whole[:, 2:],
    )


def _wrong_head(head: list[str], number: int, words_left: int) -> str:
    """Return what is wrong with the first words of a picture, or nothing."""
    if len(head) < _HEAD or head[0] != "#" or not all(w.isdecimal() for w in head[3:]):
        found = " ".join(head)[:80]
        return f"a picture is '# number path channels height width windows', not {found!a}"
    if head[1] != str(number):
        return f"picture {number} has the number {head[1][:20]!a}; count from 0"
    if head[3] != "3":
        return f"{head[3][:20]} channels; pictures are read with 3 of them"
    if len(head[6]) > 9 or 6 * int(head[6]) > words_left:
        return f"{head[6][:20]} windows are promised; the list ends before that"
    return ""


def _numbers(rows: list[str], path: Path, text: str, at: int) -> NDArray[np.float64]:
    try:
        table = np.array(rows, np.float64).reshape(-1, 6)
    except ValueError:
        bad = next(n for n, word in enumerate(rows) if not _is_number(word))
        place = _place(path, text, at + bad)
        raise TextError(f"{place}: {rows[bad][:40]!a} is no number of a window") from None
    fits = np.isfinite(table).all(1) & (np.abs(table) < 2**31).all(1)
    fits &= (table[:, [0, 2, 3, 4, 5]] % 1 == 0).all(1)
    if not fits.all():
        bad = int(np.argmin(fits))
        raise TextError(
            f"{_place(path, text, at + 6 * bad)}: a window is 'label overlap x1 y1 x2 y2' with "
            f"whole numbers but for the overlap, not {' '.join(rows[6 * bad : 6 * bad + 6])[:80]!a}"
        )
    return table


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _place(path: Path, text: str, word: int) -> str:
    """Return "file:line" of a word, counted only when it is asked for."""
    seen = 0
    for number, line in enumerate(text.split("\n"), start=1):
        seen += len(line.split())
        if seen > word:
            return f"{path}:{number}"
    return str(path)


def cut_window(
    picture: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    *,
    side: int,
    context: int,
    square: bool,
    mirror: bool,
) -> Patch:
    """Cut a window out of a picture and warp it into a square of `side` pixels.

    With `context`, or where the window is made square first, it grows about its centre so that so
    many pixels of the square show what is around it; what lies outside of the picture stays empty.

    Shapes:  picture (H, W, 3) -> (h, w, 3), h and w at most `side`
    Source:  window_data_layer.cpp, load_batch: each step in float32 and rounded as there.
    Raises:  TextError when the window lies outside of the picture.
    """
    height, width = picture.shape[:2]
    columns, rows = _Span(box[0], box[2], side, 0, 0), _Span(box[1], box[3], side, 0, 0)
    if context > 0 or square:
        half_width, half_height = (np.float32((s.end - s.start + 1) / 2) for s in (columns, rows))
        centre_x, centre_y = (
            np.float32(columns.start) + half_width,
            np.float32(rows.start) + half_height,
        )
        if square:
            half_width = half_height = max(half_width, half_height)
        grow = np.float32(side) / np.float32(side - 2 * context)
        columns = _grown(centre_x, half_width * grow, width, side)
        rows = _grown(centre_y, half_height * grow, height, side)
    outside = columns.start < 0 or rows.start < 0 or columns.end >= width or rows.end >= height
    if outside or columns.end < columns.start or rows.end < rows.start:
        raise TextError(f"the window {box} is not in a picture of {width} x {height} pixels")
    top, left = rows.before, columns.after if mirror else columns.before
    new_height, new_width = min(rows.size, side - top), min(columns.size, side - left)
    part = picture[rows.start : rows.end + 1, columns.start : columns.end + 1]
    warped = resize(part, new_height, new_width)
    return Patch(warped[:, ::-1] if mirror else warped, top, left)


class _Span(NamedTuple):
    """A window along one axis: its ends in the picture, its size and margins in the square."""

    start: int
    end: int
    size: int
    before: int
    after: int


def _grown(centre: np.float32, half: np.float32, size: int, side: int) -> _Span:
    start, end = _round(centre - half), _round(centre + half)
    before, after = max(0, -start), max(0, end - size + 1)
    scale = np.float32(side) / np.float32(end - start + 1)
    start, end, length = start + before, end - after, end - start + 1 - before - after
    parts = (_round(np.float32(part) * scale) for part in (length, before, after))
    return _Span(start, end, *parts)


def _round(number: np.float32) -> int:
    """Round halves away from zero, as C does."""
    return int(math.copysign(math.floor(abs(float(number)) + 0.5), number))


class WindowSource(Source):
    """Draws batches of windows: a share of objects, the rest background."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record = setting.record
        self._record = record
        self._parameter: Message = record["window_data_param"]
        self._transform = _checked_transform(setting, self._parameter)
        try:
            self._windows = read_windows(Path(self._parameter["source"]))
        except TextError as error:
            raise record.refuse(f"source: {error}") from None
        overlaps = self._windows.overlaps
        chosen = overlaps >= np.float32(self._parameter["fg_threshold"])
        below = ~chosen & (overlaps < np.float32(self._parameter["bg_threshold"]))
        self._objects, self._background = np.flatnonzero(chosen), np.flatnonzero(below)
        if not len(self._objects) or not len(self._background):
            raise record.refuse(
                f"{self._parameter['source']} has {len(self._objects)} windows of objects and "
                f"{len(self._background)} of background; both are needed"
            )
        if self._windows.labels[self._objects].min() < 1:
            raise record.refuse(
                f"{self._parameter['source']} has an object of label "
                f"{self._windows.labels[self._objects].min()}; labels of objects begin at 1"
            )
        batch, side = self._parameter["batch_size"], self._transform.crop_size
        self.shapes = ((batch, 3, side, side), (batch,))
        self._files: dict[str, bytes] = {}
        self._random = np.random.default_rng()
        self._ahead = Ahead(self._load, record["data_param"]["prefetch"])

    def seed(self, seed: int) -> None:
        """Let a number decide what is drawn; called before the first batch."""
        self._random = stream(seed, self._record["name"])

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return windows (N, 3, crop_size, crop_size) and labels (N,), background first.

        Raises: TextError when a picture cannot be read or a window is not in it.
        """
        return self._ahead.take()

    def close(self) -> None:
        """End the thread that reads ahead."""
        self._ahead.close()

    def _load(self) -> tuple[Tensor, Tensor]:
        batch = np.zeros(self.shapes[0], np.float32)
        labels = np.zeros(self.shapes[1], np.float32)
        num_objects = int(np.float32(len(batch)) * np.float32(self._parameter["fg_fraction"]))
        for item, row in enumerate(batch):
            is_object = item >= len(batch) - num_objects
            pool = self._objects if is_object else self._background
            window = int(pool[self._random.integers(len(pool))])
            mirror = self._transform.mirror and bool(self._random.integers(2))
            self._fill(row, window, mirror)
            labels[item] = self._windows.labels[window] if is_object else 0
        return torch.from_numpy(batch), torch.from_numpy(labels)

    def _fill(self, row: NDArray[np.float32], window: int, mirror: bool) -> None:
        path = self._windows.paths[self._windows.pictures[window]]
        x1, y1, x2, y2 = self._windows.boxes[window].tolist()
        try:
            picture = self._read(self._parameter["root_folder"] + path)
            pixels, top, left = cut_window(
                picture,
                (x1, y1, x2, y2),
                side=self._transform.crop_size,
                context=self._parameter["context_pad"],
                square=self._parameter["crop_mode"] == "square",
                mirror=mirror,
            )
        except TextError as error:
            raise self._record.refuse(f"{self._parameter['source']}: {path}: {error}") from None
        height, width = pixels.shape[:2]
        part = row[:, top : top + height, left : left + width]
        part[...] = pixels.transpose(2, 0, 1)
        mean, values = self._transform.mean, self._transform.mean_values
        if mean is not None:
            # Caffe takes the margin of the width for both sides, and does not mirror the mean.
            margin = (mean.shape[2] - self._transform.crop_size) // 2
            top, left = top + margin, left + margin
            part -= mean[:, top : top + height, left : left + width]
        elif values is not None:
            part -= values[:, None, None]
        if self._parameter["scale"] != 1:
            part *= self._parameter["scale"]

    def _read(self, path: str) -> NDArray[np.uint8]:
        data = self._files.get(path)
        if data is None:
            data = read_bytes(path)
            if self._parameter["cache_images"]:
                self._files[path] = data
        return decode_picture(data, color=True, name=path)


def _checked_transform(setting: Setting, parameter: Message) -> Transform:
    record = setting.record
    transform = read_transform(record, setting.phase)
    side, context = transform.crop_size, parameter["context_pad"]
    if "source" not in parameter or parameter["batch_size"] < 1 or side < 1:
        raise record.refuse(
            "WindowData needs window_data_param's source and batch_size, and transform_param's "
            "crop_size; give all three"
        )
    if side <= 2 * context:
        raise record.refuse(f"context_pad {context} leaves nothing of crop_size {side}; reduce it")
    mode = parameter["crop_mode"]
    if mode not in _CROP_MODES:
        raise record.refuse(f"crop_mode is {mode!r}{nearest(mode, _CROP_MODES)}; warp or square")
    mean, values = transform.mean, transform.mean_values
    if mean is not None:
        channels, height, width = mean.shape
        if channels != 3 or width < side or height < (width - side) // 2 + side:
            raise record.refuse(
                f"mean_file is {channels} x {height} x {width}; a square of crop_size {side} must "
                f"lie in it, with 3 channels"
            )
    if values is not None and len(values) not in (1, 3):
        raise record.refuse(f"mean_value is given {len(values)} times; give it once or three times")
    if transform.scale != 1:
        warnings.warn(
            f"layer {record['name']!r}: WindowData does not read transform_param's scale, in Caffe "
            f"neither; {transform.scale:g} is left out",
            stacklevel=2,
        )
    return transform
