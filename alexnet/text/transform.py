"""What a data layer's `transform_param` does to pictures: cut, mirror, subtract the mean, scale.

Source: BVLC Caffe, src/caffe/data_transformer.cpp; with the same cuts the result is equal to it in
every bit. Its random numbers are another stream of the same distribution: TRAIN cuts anywhere,
TEST in the centre, and `mirror` mirrors half of the pictures in both phases.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.nearest import nearest_beside
from alexnet.text.blobs import load_mean
from alexnet.text.kind import Phase, Shape
from alexnet.text.message import Message, TextError

Picture = NDArray[np.uint8] | NDArray[np.float32]
"""A picture as a Datum has it, (C, H, W)."""


@dataclass(frozen=True)
class Transform:
    """What is done to each picture of a batch."""

    scale: float = 1.0
    mirror: bool = False
    """Whether each picture is mirrored with probability 1/2."""
    crop_size: int = 0
    """Side of the square that is cut out; 0 keeps the whole picture."""
    anywhere: bool = False
    """Whether the square is cut anywhere, as in training, or from the centre."""
    mean: NDArray[np.float32] | None = None
    """(C, H, W): what is subtracted before the cut."""
    mean_values: NDArray[np.float32] | None = None
    """(1,) or (C,): what is subtracted from each channel."""

    def shape(self, picture: Shape) -> Shape:
        """Return the shape that a picture of shape (C, H, W) gets."""
        side = self.crop_size
        return (picture[0], side or picture[1], side or picture[2])

    def check(self, picture: Shape, name: object) -> None:
        """Raise TextError if a picture of shape (C, H, W) cannot be transformed."""
        channels, height, width = picture
        if min(height, width) < self.crop_size:
            raise TextError(
                f"{name} has {width} x {height} pixels; crop_size {self.crop_size} does not fit; "
                f"make it smaller or the pictures larger"
            )
        if self.mean is not None and self.mean.shape != picture:
            raise TextError(
                f"{name} is {_by(picture)} and mean_file {_by(self.mean.shape)} (channels, height, "
                f"width); both must be equal: resize the pictures, or give mean_value"
            )
        if self.mean_values is not None and len(self.mean_values) not in (1, channels):
            raise TextError(
                f"{name} has {channels} channels and transform_param {len(self.mean_values)} times "
                f"mean_value; give it once or once for each channel"
            )

    def apply(
        self, pictures: Sequence[Picture], names: Sequence[object], *, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return a batch of transformed pictures.

            y = (x - mean) * scale, cut and perhaps mirrored

        Shapes:  pictures N times (C, H, W) -> (N, C, h, w) float32
        Raises:  TextError if a picture cannot be transformed or comes out in another shape than the
                 first; `names` says which one.
        """
        shape = self.shape(pictures[0].shape)
        batch = np.empty((len(pictures), *shape), np.float32)
        draws = random.integers(2**32, size=(len(pictures), 3), dtype=np.uint32).tolist()
        known = None
        for number, (picture, row) in enumerate(zip(pictures, batch, strict=True)):
            if picture.shape != known:
                self._check_next(picture.shape, shape, names[number])
                known = picture.shape
            top, left = self._place(picture.shape, draws[number])
            part = picture[:, top : top + shape[1], left : left + shape[2]]
            mean = self.mean
            if self.mirror and draws[number][2] % 2:
                # torch mirrors bytes three times as fast as numpy does.
                part = torch.from_numpy(np.array(part)).flip(2).numpy()
                left = picture.shape[2] - shape[2] - left
                mean = self._mirrored_mean
            row[...] = part
            if mean is not None:
                row -= mean[:, top : top + shape[1], left : left + shape[2]]
            elif self._columns is not None:
                row -= self._columns
            if self.scale != 1:
                row *= self.scale
        return batch

    @cached_property
    def _mirrored_mean(self) -> NDArray[np.float32] | None:
        return None if self.mean is None else np.ascontiguousarray(self.mean[:, :, ::-1])

    @cached_property
    def _columns(self) -> NDArray[np.float32] | None:
        return None if self.mean_values is None else self.mean_values[:, None, None]

    def _place(self, picture: Shape, draws: Sequence[int]) -> tuple[int, int]:
        if not self.crop_size:
            return 0, 0
        free = (picture[1] - self.crop_size, picture[2] - self.crop_size)
        if self.anywhere:
            return draws[0] % (free[0] + 1), draws[1] % (free[1] + 1)
        return free[0] // 2, free[1] // 2

    def _check_next(self, picture: Shape, wanted: Shape, name: object) -> None:
        self.check(picture, name)
        if self.shape(picture) != wanted:
            raise TextError(
                f"{name} is {_by(picture)} (channels, height, width) and the first picture of its "
                f"batch gave {_by(wanted)}; make all pictures of one size, set crop_size, or take "
                f"batch_size 1"
            )


def read_transform(record: Message, phase: Phase) -> Transform:
    """Return what the `transform_param` of a data layer asks for.

    Raises: TextError if mean_file and mean_value are both given, or the file is missing or no mean.
    """
    parameter: Message = record["transform_param"]
    mean = None
    if "mean_file" in parameter:
        if "mean_value" in parameter:
            raise record.refuse("has mean_file and mean_value; give one of them")
        path = Path(parameter["mean_file"])
        if not path.is_file():
            raise record.refuse(f"mean_file {str(path)!r} is no file{nearest_beside(path)}")
        mean = load_mean(path)
    values = np.array(parameter["mean_value"], np.float32)
    return Transform(
        scale=parameter["scale"],
        mirror=parameter["mirror"],
        crop_size=parameter["crop_size"],
        anywhere=phase == "TRAIN",
        mean=mean,
        mean_values=values if len(values) else None,
    )


def stream(seed: int, name: str) -> np.random.Generator:
    """Return a layer's random numbers: others for another seed and for another name."""
    return np.random.default_rng([seed % 2**64, zlib.crc32(name.encode("utf-8", "replace"))])


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
