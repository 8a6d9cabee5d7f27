"""pycaffe's Classifier: a net and its preprocessing, from pictures to probabilities.

Source: BVLC Caffe, python/caffe/classifier.py.
"""

from collections.abc import Sequence
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alexnet.caffe.pictures import Transformer, oversample, resize_image
from alexnet.caffe.pycaffe import TEST, Net

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

    Raises: as Net and Transformer do.
    """

    def __init__(
        self,
        model_file: str,
        pretrained_file: str,
        image_dims: Sequence[int] | None = None,
        **constants: Unpack[Constants],
    ) -> None:
        super().__init__(model_file, pretrained_file, TEST)
        in_ = self.inputs[0]
        shape = self.blobs[in_].shape
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
        self.image_dims = tuple(image_dims or self.crop_dims)

    def predict(self, inputs: Sequence[ArrayLike], oversample: bool = True) -> Array:
        """Return the probabilities of pictures, the mean of ten crops or from the centre alone.

        Shapes:  inputs N of (H, W, K) -> (N, classes).
        """
        resized = [resize_image(np.asarray(each, np.float32), self.image_dims) for each in inputs]
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
