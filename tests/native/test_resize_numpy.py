"""Pictures scaled by numpy: bit for bit beside the compiled kernel or torch's own operation."""

import numpy as np
import pytest

from alexnet.native.resize import Window, resize
from alexnet.native.resize_numpy import describe, resize_numpy
from tests.native.test_resize import SIZES, noise


@pytest.mark.parametrize("sizes", SIZES)
def test_numpy_scales_to_the_same_bytes(sizes: tuple[int, int, int, int]) -> None:
    height, width, new_height, new_width = sizes
    pixels = noise(height, width)
    whole = Window(0, 0, new_height, new_width)
    wanted = resize(pixels, (new_height, new_width), whole)
    np.testing.assert_array_equal(resize_numpy(pixels, (new_height, new_width), whole), wanted)


def test_a_window_is_that_part_of_the_scaled_picture() -> None:
    pixels = noise(90, 120)
    window = Window(3, 11, 20, 31)
    wanted = resize(pixels, (40, 53), window)
    found = resize_numpy(pixels, (40, 53), window)
    np.testing.assert_array_equal(found, wanted)
    assert found.flags["C_CONTIGUOUS"]


def test_the_weights_of_each_place_add_up_to_one() -> None:
    for old, new in ((375, 256), (10, 30), (3000, 7)):
        axis = describe(old, new)
        sums = axis.weights.sum(1) / (1 << axis.precision)
        np.testing.assert_allclose(sums, 1.0, atol=axis.weights.shape[1] * 2.0**-axis.precision)
