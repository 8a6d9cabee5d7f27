"""Pictures to what a net sees, and its logits to probabilities, by numpy alone.

The same function as `alexnet.data.augment.cut` at the centre, for runtimes that do without torch.
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.data.folder import DataError
from alexnet.data.image import Picture
from alexnet.export.onnx_file import OnnxHead

Numbers = NDArray[np.float32]
GREY = (0.299, 0.587, 0.114)
"""The share of red, green and blue in grey, as in alexnet.data.augment, which needs torch."""


def inputs_of(pictures: Picture, head: OnnxHead) -> Numbers:
    """Return the centre windows of pictures as the net sees them.

    Shapes:  (N, H, W, 3) uint8 -> (N, C, crop, crop) float32; C is 1 for grey, else 3.
    Raises:  DataError if the file lacks the mean picture that its net subtracts.
    """
    given = head.preprocessing
    size, side = int(given["crop_size"]), int(given["picture_size"])
    start = (side - size) // 2
    x = pictures[:, start : start + size, start : start + size].astype(np.float32)
    if given["subtract"] == "mean-image":
        x -= mean_image(head)[start : start + size, start : start + size]
    elif given["subtract"] == "mean-value":
        x -= np.asarray(given["mean_value"], dtype=np.float32)
    if given["divide_by"] != 1:
        x /= np.float32(given["divide_by"])
    x = x.transpose(0, 3, 1, 2)
    if given["colours"] == "bgr":
        x = x[:, ::-1]
    elif given["colours"] == "grey":
        red, green, blue = (x[:, i : i + 1] * np.float32(share) for i, share in enumerate(GREY))
        x = red + green + blue
    return np.ascontiguousarray(x)


def mean_image(head: OnnxHead) -> Numbers:
    """Return the mean picture, (H, W, 3).

    Raises: DataError if there is none, or one of another size.
    """
    side = int(head.preprocessing["picture_size"])
    try:
        mean = np.frombuffer(base64.b64decode(head.mean_image, validate=True), dtype="<f4")
    except ValueError:
        mean = np.zeros(0, dtype="<f4")
    if mean.size != side * side * 3:
        raise DataError(
            f"the file's mean picture has {mean.size:,} numbers instead of {side} x {side} x 3; "
            "export it again"
        )
    return mean.reshape(side, side, 3).astype(np.float32, copy=False)


def packed_mean(mean: Numbers) -> str:
    """Return a mean picture as it is kept in a file's metadata."""
    return base64.b64encode(np.ascontiguousarray(mean, dtype="<f4").tobytes()).decode()


def probabilities_of(logits: NDArray[Any]) -> Numbers:
    """Return the softmax of each row.

    Shapes:  (N, classes) -> same, float32.
    """
    powers = np.exp((logits - logits.max(1, keepdims=True)).astype(np.float32))
    found: Numbers = powers / powers.sum(1, keepdims=True)
    return found
