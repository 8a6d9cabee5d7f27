"""pycaffe's Classifier: a net and its preprocessing, from pictures to probabilities.

Source: BVLC Caffe, python/caffe/classifier.py. What differs: answers have two axes, (N, classes),
without oversampling too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alexnet.caffe.pictures import Transformer, oversample, resize_image
from alexnet.caffe.pycaffe import TEST, Net
from alexnet.nearest import nearest

Array = NDArray[np.float32]


class Constants(TypedDict, total=False):
    """Constants of the preprocessing; see `Transformer`."""

    mean: ArrayLike | None
    input_scale: float | None
    raw_scale: float | None
    channel_swap: Sequence[int] | None


class Classifier(Net):
    """A net that names pictures, as it stands in pycaffe.

    `image_dims` is the size to which pictures are resized before the crops, the net's input if not
    given.

    Raises: as Net and Transformer do; ValueError for an unknown constant, a net whose first input
            is no picture, and an `image_dims` smaller than that.
    """

    def __init__(
        self,
        model_file: str | Path,
        pretrained_file: str | Path,
        image_dims: Sequence[int] | None = None,
        **constants: Unpack[Constants],
    ) -> None:
        for name in constants:
            if name not in Constants.__annotations__:
                close = nearest(name, Constants.__annotations__)
                raise ValueError(f"Classifier takes no {name!r}{close}")
        super().__init__(model_file, TEST, weights=pretrained_file)
        in_ = self.inputs[0] if self.inputs else ""
        shape = self.blobs[in_].shape if in_ else ()
        if len(shape) != 4:
            raise ValueError(
                f"the first input {in_!r} has the shape {shape}; a classifier's is (N, K, H, W)"
            )
        self.transformer = Transformer({in_: shape})
        self.transformer.set_transpose(in_, (2, 0, 1))
        mean, swap = constants.get("mean"), constants.get("channel_swap")
        raw_scale, input_scale = constants.get("raw_scale"), constants.get("input_scale")
        if mean is not None:
            self.transformer.set_mean(in_, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(in_, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(in_, raw_scale)
        if swap is not None:
            self.transformer.set_channel_swap(in_, swap)
        self.crop_dims = shape[2:]
        self.image_dims = self.crop_dims if image_dims is None else tuple(image_dims)
        if len(self.image_dims) != 2 or any(
            size < crop for size, crop in zip(self.image_dims, self.crop_dims, strict=True)
        ):
            raise ValueError(
                f"image_dims is {self.image_dims}; give a height and a width of at least "
                f"{self.crop_dims}, the size of the net's input"
            )

    def predict(self, inputs: Sequence[ArrayLike], oversample: bool = True) -> Array:
        """Return the probabilities of pictures, the mean of ten crops or from the centre alone.

        Shapes:  inputs N of (H, W, K) -> (N, classes).
        Raises:  ValueError if there is no picture, or one has not the three axes or the channels.
        """
        arrays = [np.asarray(each, np.float32) for each in inputs]
        channels = self.blobs[self.inputs[0]].channels
        for array in arrays:
            if array.ndim != 3 or array.shape[2] != channels:
                raise ValueError(
                    f"a picture has the shape {array.shape}; this net takes (H, W, {channels})"
                )
        if not arrays:
            raise ValueError("there are no pictures to name; give a list of at least one")
        resized = [resize_image(array, self.image_dims) for array in arrays]
        crops = self._ten(resized) if oversample else self._centre(resized)
        in_ = self.inputs[0]
        batch = np.stack([self.transformer.preprocess(in_, crop) for crop in crops])
        answers: Array = self.forward_all(None, **{in_: batch})[self.outputs[0]]
        answers = answers.reshape(len(answers), -1)
        return answers.reshape(len(inputs), 10, -1).mean(1) if oversample else answers

    def _ten(self, pictures: list[Array]) -> Array:
        return oversample(pictures, self.crop_dims)

    def _centre(self, pictures: list[Array]) -> Array:
        tall, wide = self.crop_dims
        top, left = (int(d / 2 - c / 2) for d, c in zip(self.image_dims, (tall, wide), strict=True))
        return np.stack([picture[top : top + tall, left : left + wide] for picture in pictures])
