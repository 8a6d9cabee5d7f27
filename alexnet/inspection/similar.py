"""The pictures that a net finds most like a given one.

Source:  Krizhevsky 2012, section 6.1 and figure 4, right: pictures whose feature activations in the
         last hidden layer, 4096 numbers, are separated by the smallest Euclidean distance.

The search is exact: each picture is compared. It reads each feature once, which for one question is
less than any index has to read to be built. Rows are read in pieces of 64 MiB, so that memory does
not grow with the set. Of fc7 a picture is 16 KiB: 1.28 million of ImageNet are 21 GB to read for
each question. For many questions a library of indices (Faiss) is the tool, on the .npy file that
`alexnet features` writes.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from alexnet.data.image import Picture
from alexnet.store import write_atomically

Metric = Literal["euclidean", "cosine"]
CHUNK_BYTES = 2**26
TINY = 1e-30
CELL, MARGIN, TEXT = 192, 12, 15
"""Sides of a picture on the sheet, of what lies between them, and of a line of text, in pixels."""
SUFFIXES = (".png", ".jpg", ".webp")


@dataclass(frozen=True)
class Neighbour:
    """A picture that was found."""

    index: int
    """Its position among those searched."""
    distance: float


@dataclass(frozen=True)
class Shown:
    """A picture of a sheet and what stands below it."""

    picture: Picture
    lines: tuple[str, ...]


class Nearest:
    """The nearest rows to a given one, among rows that come in any number of pieces.

        euclidean:  |f - q|,        cosine:  1 - f . q / (|f| |q|), 1 where f or q is all 0

    Sums are taken in float32. Of equal distances the lower position goes first.

    Shapes:  query (D,).
    """

    def __init__(self, query: Tensor, *, top: int, metric: Metric = "euclidean") -> None:
        self.query, self.top, self.metric = query.float(), top, metric
        self._distances = torch.empty(0)
        self._indices = torch.empty(0, dtype=torch.int64)

    def add(self, rows: Tensor, indices: Tensor) -> None:
        """Compare rows; pieces come in the order of their positions.

        Shapes:  rows (N, D), indices (N,) int64.
        """
        distances = torch.cat([self._distances, self._measure(rows.float())])
        every = torch.cat([self._indices, indices])
        order = distances.argsort(stable=True)[: self.top]
        self._distances, self._indices = distances[order], every[order]

    def found(self) -> list[Neighbour]:
        """Return the nearest so far, the nearest first."""
        pairs = zip(self._indices.tolist(), self._distances.tolist(), strict=True)
        return [Neighbour(index, distance) for index, distance in pairs]

    def _measure(self, rows: Tensor) -> Tensor:
        if self.metric == "euclidean":
            return (rows - self.query).square().sum(1).sqrt()
        # As half the squared distance of the directions: 1 - f . q would cancel for like pictures.
        direction = self.query / self.query.square().sum().sqrt().clamp_min(TINY)
        lengths = rows.square().sum(1, keepdim=True).sqrt()
        distances = (rows / lengths.clamp_min(TINY) - direction).square().sum(1) / 2
        there = (lengths[:, 0] > 0) & (self.query != 0).any()
        return torch.where(there, distances, torch.ones_like(distances))


def pieces(matrix: NDArray[np.floating]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield rows of a matrix on disk with their positions, as much at a time as memory has for."""
    step = max(1, CHUNK_BYTES // max(1, matrix[:1].nbytes))
    for start in range(0, len(matrix), step):
        rows = torch.from_numpy(np.array(matrix[start : start + step]))
        yield rows, torch.arange(start, start + len(rows))


def check_sheet(path: Path) -> None:
    """Raise ValueError if a sheet cannot be written under that name, OSError without its folder."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{path}: the suffix {path.suffix!r} is none of {', '.join(SUFFIXES)}; "
            f"the suffix says what is written"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist; make the folder first")


def write_sheet(path: Path, shown: Sequence[Shown], *, columns: int = 7) -> None:
    """Write pictures in rows, the one asked about first and framed, with lines below each.

    Raises: OSError if the disk refuses.
    """
    columns = min(columns, len(shown))
    height = CELL + MARGIN + TEXT * max(len(each.lines) for each in shown) + MARGIN
    rows = -(-len(shown) // columns)
    size = (columns * (CELL + MARGIN) + MARGIN, rows * height + MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, each in enumerate(shown):
        left = MARGIN + number % columns * (CELL + MARGIN)
        top = MARGIN + number // columns * height
        small = Image.fromarray(each.picture)
        scale = CELL / max(small.size)
        small = small.resize(
            (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
        )
        at = (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2)
        sheet.paste(small, at)
        if number == 0:
            draw.rectangle((left - 5, top - 5, left + CELL + 4, top + CELL + 4), None, "black", 2)
        for line, text in enumerate(each.lines):
            place = (left, top + CELL + MARGIN // 2 + line * TEXT)
            draw.text(place, _fitting(text, font), fill="black", font=font)
    data = io.BytesIO()
    kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[path.suffix.lower()]
    sheet.save(data, kind)
    write_atomically(path, data.getvalue())


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a text that is no wider than a picture; of a long one, its end."""
    if font.getlength(text) <= CELL:
        return text
    while text and font.getlength(f"...{text}") > CELL:
        text = text[1:]
    return f"...{text}"
