import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from alexnet.text.message import TextError
from alexnet.text.resize import resize


def oracle(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize pixel by pixel in whole numbers, as OpenCV's scalar code is written."""
    rows, columns = picture.shape[:2]
    scale_y, scale_x = 1.0 / (height / rows), 1.0 / (width / columns)
    result = np.empty((height, width, picture.shape[2]), np.uint8)
    for i in range(height):
        y = np.float32((i + 0.5) * scale_y - 0.5)
        top = math.floor(y)
        b1 = round(float((y - np.float32(top)) * np.float32(2048)))
        b0 = round(float((np.float32(1) - (y - np.float32(top))) * np.float32(2048)))
        upper, lower = min(max(top, 0), rows - 1), min(max(top + 1, 0), rows - 1)
        for j in range(width):
            x = np.float32((j + 0.5) * scale_x - 0.5)
            left = math.floor(x)
            part = x - np.float32(left)
            if left < 0 or left >= columns - 1:
                left, part = min(max(left, 0), columns - 1), np.float32(0)
            a1 = round(float(part * np.float32(2048)))
            a0 = round(float((np.float32(1) - part) * np.float32(2048)))
            right = min(left + 1, columns - 1)
            for c in range(picture.shape[2]):
                s0 = int(picture[upper, left, c]) * a0 + int(picture[upper, right, c]) * a1
                s1 = int(picture[lower, left, c]) * a0 + int(picture[lower, right, c]) * a1
                total = ((b0 * (s0 >> 4)) >> 16) + ((b1 * (s1 >> 4)) >> 16)
                result[i, j, c] = (total + 2) >> 2
    return result


SIDES = st.integers(1, 12)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([1, 3, 4]), st.integers(0, 2**31))
def test_every_pixel_equals_opencvs_whole_number_rule(
    rows: int, columns: int, height: int, width: int, channels: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    picture = random.integers(0, 256, (rows, columns, channels), dtype=np.uint8)
    if (rows, columns) == (2 * height, 2 * width):
        return  # another rule, tested below
    np.testing.assert_array_equal(resize(picture, height, width), oracle(picture, height, width))


def test_half_the_size_is_the_rounded_mean_of_four_pixels() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (14, 10, 3), dtype=np.uint8)
    four = picture.reshape(7, 2, 5, 2, 3).astype(np.float64).mean(axis=(1, 3))
    np.testing.assert_array_equal(resize(picture, 7, 5), np.floor(four + 0.5))


def test_a_picture_of_the_size_is_returned_as_it_is() -> None:
    picture = np.zeros((5, 4, 3), np.uint8)
    assert resize(picture, 5, 4) is picture


def test_a_picture_without_a_channel_axis_keeps_its_form() -> None:
    picture = np.arange(30, dtype=np.uint8).reshape(5, 6)
    np.testing.assert_array_equal(resize(picture, 7, 3), resize(picture[:, :, None], 7, 3)[..., 0])


def test_a_strided_picture_gives_the_same_as_its_copy() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 22, 3), dtype=np.uint8)
    part = picture[1::2, ::-3, ::-1]
    np.testing.assert_array_equal(resize(part, 9, 11), resize(part.copy(), 9, 11))


@pytest.mark.parametrize(("height", "width"), [(0, 4), (4, -1), (10**5, 10**5)])
def test_sides_that_make_no_picture_are_refused(height: int, width: int) -> None:
    with pytest.raises(TextError, match=rf"cannot be resized to {width} x {height} pixels"):
        resize(np.zeros((2, 2, 3), np.uint8), height, width)
