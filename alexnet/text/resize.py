"""Resizing as OpenCV does: bilinear in fixed point, so that pictures keep Caffe's very bytes.

Source:  cv::resize with INTER_LINEAR on 8-bit pictures (OpenCV, modules/imgproc/src/resize.cpp):
         half-pixel centres, no smoothing before a reduction, weights of 11 bits, the sums cut in
         the order of its vector instructions. `alexnet.data.image` resizes better (it smooths);
         this is for data that must equal what Caffe's own tools made.
"""

import numpy as np
from numpy.typing import NDArray

from alexnet.text.message import TextError

_ONE = 2048  # 1.0 in OpenCV's weights of 11 bits
_MOST_PIXELS = 100_000_000


def resize(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture of the given size by OpenCV's bilinear rule.

        y[i, j] = sum(weight(u, i') * weight(v, j') * x[u, v]),  i' = (i + 1/2) * H / height - 1/2

    Shapes:  picture (H, W) or (H, W, C) uint8 -> (height, width[, C]); a picture that has the size
             already is returned as it is
    Source:  cv::resize; equal to it in every bit.
    Raises:  TextError if a side is not positive or the result would be absurdly large.
    """
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise TextError(
            f"a picture cannot be resized to {width} x {height} pixels; "
            f"give positive sides with at most {_MOST_PIXELS} pixels in all"
        )
    if picture.shape[:2] == (height, width):
        return picture
    if picture.shape[:2] == (2 * height, 2 * width):
        return _halve(picture)
    channels = picture.size // (picture.shape[0] * picture.shape[1])
    left, right, weights = _columns(picture.shape[1], width)
    upper, lower, heights = _rows(picture.shape[0], height)
    # A row is one line of numbers, channel after channel: taking single bytes of it is six times
    # quicker than taking pixels. Only the rows that are read are widened.
    used, place = np.unique(np.concatenate([upper, lower]), return_inverse=True)
    lines = picture.reshape(picture.shape[0], -1)[used]
    numbers = np.arange(channels)
    wide = np.zeros((len(used), width * channels), np.int32)
    for before, weight in zip((left, right), weights, strict=True):
        columns = (before[:, None] * channels + numbers).reshape(-1)
        wide += np.take(lines, columns, axis=1) * np.repeat(weight, channels)
    wide >>= 4  # of the 19 bits of these sums OpenCV drops 4 before it goes on
    total = np.full((height, width * channels), 2, np.int32)
    for rows, weight in zip((place[:height], place[height:]), heights, strict=True):
        total += (np.take(wide, rows, axis=0) * weight[:, None]) >> 16
    return (total >> 2).astype(np.uint8).reshape(height, width, *picture.shape[2:])


def _halve(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the means of two by two pixels: OpenCV takes INTER_AREA for exactly one half."""
    wide = picture.astype(np.uint16)
    total = wide[0::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 0::2] + wide[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def _positions(size: int, new_size: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return where each new pixel's centre lies: the pixel before it and the part beyond that."""
    scale = 1.0 / (new_size / size)  # in this order, as in OpenCV
    centres = ((np.arange(new_size) + 0.5) * scale - 0.5).astype(np.float32)
    before = np.floor(centres)
    return before.astype(np.intp), centres - before


def _weights(part: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the two weights of each pixel; np.rint rounds halves to even, as cvRound does."""
    one = np.float32(_ONE)
    return np.stack([np.rint((1 - part) * one), np.rint(part * one)]).astype(np.int32)


def _columns(
    width: int, new_width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    before, part = _positions(width, new_width)
    outside = (before < 0) | (before >= width - 1)
    before = before.clip(0, width - 1)
    part = np.where(outside, np.float32(0), part)
    return before, np.minimum(before + 1, width - 1), _weights(part)


def _rows(
    height: int, new_height: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32]]:
    # Unlike columns, rows beyond the border keep their weights: both then read the same row.
    before, part = _positions(height, new_height)
    return before.clip(0, height - 1), (before + 1).clip(0, height - 1), _weights(part)
