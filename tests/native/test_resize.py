"""Pictures scaled: beside the equation in numpy, and bit for bit beside torch's own operation."""

import numpy as np
import numpy.typing as npt
import pytest

from alexnet.native import library
from alexnet.native.resize import Window, resize, resize_twin

SIZES = [
    *((375, 500, 256, 341), (500, 375, 341, 256), (256, 341, 256, 341), (7, 9, 30, 40)),
    *((1, 1, 3, 5), (5, 1, 2, 1), (1, 40, 1, 7), (33, 17, 32, 16), (200, 3, 9, 2), (90, 61, 4, 3)),
]


def noise(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def weights(old: int, new: int) -> npt.NDArray[np.float64]:
    """Return the filter along an axis as a matrix, (new, old), from its equation."""
    scale = old / new
    centres = (np.arange(new)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(old)[None] + 0.5 - centres) / max(scale, 1.0)
    triangle = np.maximum(1 - distances, 0)
    found: npt.NDArray[np.float64] = triangle / triangle.sum(axis=1, keepdims=True)
    return found


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("sizes", SIZES)
def test_a_picture_is_scaled_as_the_equation_says(sizes: tuple[int, int, int, int]) -> None:
    height, width, new_height, new_width = sizes
    pixels = noise(height, width)
    rows = np.einsum("xw,hwc->hxc", weights(width, new_width), pixels)
    expected = np.einsum("yh,hxc->yxc", weights(height, new_height), rows)
    found = resize(pixels, (new_height, new_width), Window(0, 0, new_height, new_width))
    # Two roundings to bytes, each by half a level, and weights of 15 bits.
    assert np.abs(found - expected).max() <= 1.1


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("sizes", SIZES)
def test_each_window_has_the_bytes_of_torchs_whole_picture(
    sizes: tuple[int, int, int, int],
) -> None:
    height, width, new_height, new_width = sizes
    random = np.random.default_rng(1)
    pixels = noise(height, width, seed=2)
    sides = (new_height, new_width)
    whole = resize_twin(pixels, sides, Window(0, 0, *sides))
    for _ in range(4):
        tall, wide = (int(random.integers(1, side + 1)) for side in sides)
        top, left = (
            int(random.integers(new_height - tall + 1)),
            int(random.integers(new_width - wide + 1)),
        )
        found = resize(pixels, sides, Window(top, left, tall, wide))
        assert found.flags.c_contiguous
        assert np.array_equal(found, whole[top : top + tall, left : left + wide])


@pytest.mark.usefixtures("kernels")
def test_drawn_sizes_have_the_bytes_of_torch() -> None:
    random = np.random.default_rng(3)
    for draw in range(150):
        height, width, new_height, new_width = (int(side) for side in random.integers(1, 90, 4))
        pixels, sides = noise(height, width, seed=draw), (new_height, new_width)
        window = Window(new_height // 3, new_width // 4, *(side - side // 3 for side in sides))
        expected = resize_twin(pixels, sides, window)
        assert np.array_equal(resize(pixels, sides, window), expected)


@pytest.mark.usefixtures("kernels")
def test_a_view_and_a_read_only_picture_are_scaled_as_their_copies() -> None:
    pixels, window = noise(40, 60), Window(1, 2, 20, 25)
    turned = pixels[:, ::-1]
    expected = resize(turned.copy(), (30, 45), window)
    assert np.array_equal(resize(turned, (30, 45), window), expected)
    frozen = turned.copy()
    frozen.flags.writeable = False
    assert np.array_equal(resize(frozen, (30, 45), window), expected)
    assert np.array_equal(resize_twin(frozen, (30, 45), window), expected)


def test_without_kernels_torch_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, window = noise(40, 60), Window(3, 4, 5, 6)
    expected = resize(pixels, (20, 30), window)
    monkeypatch.setattr(library, "library", lambda: None)
    assert np.array_equal(resize(pixels, (20, 30), window), expected)
