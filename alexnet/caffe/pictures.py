"""Pictures as pycaffe's scripts handle them: caffe.io's Transformer, load_image, oversample.

Pictures are (H, W, K) float32, RGB in [0, 1]; blobs are (K, H, W).

Source: BVLC Caffe, python/caffe/io.py. What differs: pictures come from the package's own decoder,
so that EXIF orientation is honoured; resizing is bilinear without the dark rim that scikit-image's
mode "constant" draws where a picture is enlarged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from alexnet.data.image import decode_file
from alexnet.nearest import nearest

Array = NDArray[np.float32]
GREY = np.array([0.2125, 0.7154, 0.0721], np.float32)
"""scikit-image's shares of red, green and blue."""


class Transformer:
    """Turn pictures into what a net's input takes, and back.

        blob = input_scale * (raw_scale * swap(transpose(resize(picture))) - mean)

    `inputs` gives the shape of each input blob, such as {"data": (10, 3, 227, 227)}.

    Raises: ValueError for an input that is not among them, and for constants that do not fit it.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: ArrayLike) -> Array:
        """Return the blob, (K, H, W), of one picture."""
        shape = self._shape(in_)
        picture = np.asarray(data, np.float32)
        if picture.shape[:2] != shape[2:]:
            picture = resize_image(picture, shape[2:])
        if in_ in self.transpose:
            picture = picture.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            picture = picture[list(self.channel_swap[in_])]
        picture = picture * np.float32(self.raw_scale.get(in_, 1.0))
        if in_ in self.mean:
            picture = picture - self.mean[in_]
        return np.ascontiguousarray(picture * np.float32(self.input_scale.get(in_, 1.0)))

    def deprocess(self, in_: str, data: ArrayLike) -> Array:
        """Return the picture of a blob: `preprocess` backwards."""
        self._shape(in_)
        picture: Array = np.array(data, np.float32).squeeze()
        picture = picture / np.float32(self.input_scale.get(in_, 1.0))
        if in_ in self.mean:
            picture = picture + self.mean[in_]
        picture = picture / np.float32(self.raw_scale.get(in_, 1.0))
        if in_ in self.channel_swap:
            picture = picture[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            picture = picture.transpose(np.argsort(self.transpose[in_]))
        return picture

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes: (2, 0, 1) makes (K, H, W) of a picture."""
        rank = len(self._shape(in_)) - 1
        if sorted(order) != list(range(rank)):
            raise ValueError(f"transpose is {tuple(order)}; give the axes 0 to {rank - 1} in order")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels: (2, 1, 0) makes BGR of RGB."""
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise ValueError(
                f"channel_swap names {len(order)} channels; input {in_!r} has {channels}"
            )
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean: 255 makes grey levels of [0, 1]."""
        self._shape(in_)
        self.raw_scale[in_] = float(scale)

    def set_mean(self, in_: str, mean: ArrayLike) -> None:
        """Set the mean: a value per channel, or a whole picture (K, H, W), which is resized."""
        shape = self._shape(in_)[1:]
        array = np.asarray(mean, np.float32)
        if array.ndim == 1:
            if len(array) not in (1, shape[0]):
                raise ValueError(
                    f"the mean has {len(array)} values; input {in_!r} has {shape[0]} channels"
                )
            self.mean[in_] = array[:, None, None]
            return
        if array.ndim == 2:
            array = array[None]
        if array.ndim != 3 or array.shape[0] != shape[0]:
            raise ValueError(
                f"the mean has the shape {array.shape}; input {in_!r} takes {shape}: "
                "give (K,) or (K, H, W)"
            )
        if array.shape[1:] != shape[1:]:
            array = resize_image(array.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = array

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean."""
        self._shape(in_)
        self.input_scale[in_] = float(scale)

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            close = nearest(in_, self.inputs) or f"; there is {', '.join(self.inputs)}"
            raise ValueError(f"no input is called {in_!r}{close}")
        return self.inputs[in_]


def load_image(filename: str, color: bool = True) -> Array:
    """Return a picture, (H, W, 3) RGB or (H, W, 1) grey, float32 in [0, 1].

    Raises: ImageError for a file that is no picture.
    """
    picture: Array = decode_file(Path(filename)).astype(np.float32) / np.float32(255)
    return picture if color else (picture @ GREY)[:, :, None]


def resize_image(im: ArrayLike, new_dims: Sequence[int], interp_order: int = 1) -> Array:
    """Resize a picture to (height, width): nearest (0) or bilinear (1), without smoothing first.

    Shapes:  im (H, W, K) -> (height, width, K) float32.
    Raises:  ValueError for another order.
    """
    if interp_order not in (0, 1):
        raise ValueError(f"interp_order is {interp_order}; 0 is nearest, 1 is bilinear")
    x = torch.from_numpy(np.array(im, np.float32)).permute(2, 0, 1)[None]
    size = [int(new_dims[0]), int(new_dims[1])]
    if interp_order == 0:
        y = F.interpolate(x, size, mode="nearest-exact")
    else:
        y = F.interpolate(x, size, mode="bilinear", align_corners=False)
    resized: Array = y[0].permute(1, 2, 0).contiguous().numpy()
    return resized


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> Array:
    """Cut the four corners and the centre of each picture, then the same five mirrored.

    Shapes:  images N of (H, W, K) -> (10 N, height, width, K).
    """
    height, width = int(crop_dims[0]), int(crop_dims[1])
    tall, wide = images[0].shape[:2]
    corners = [(top, left) for top in (0, tall - height) for left in (0, wide - width)]
    corners.append((int(tall / 2 - height / 2), int(wide / 2 - width / 2)))
    crops: list[Array] = []
    for image in images:
        five = [image[top : top + height, left : left + width] for top, left in corners]
        crops += [*five, *(crop[:, ::-1] for crop in five)]
    return np.stack(crops).astype(np.float32)
