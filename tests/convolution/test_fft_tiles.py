"""Transforms of tiles against numpy's, and tiles in and out against slices."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.convolution.fft_tiles import Cut, cut_tiles, inverse, put_tiles, transform

LENGTHS = [(1,), (2,), (20,), (6, 8), (1, 4), (8, 1), (4, 6, 10), (6, 1, 2)]


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize("length", LENGTHS, ids=str)
@pytest.mark.parametrize("missing", [0, 1, 3])
def test_transforms_are_numpys_of_tiles_filled_with_zeros(
    length: tuple[int, ...], missing: int
) -> None:
    window = tuple(max(1, t - missing) for t in length)
    tiles = draw(5, *window)
    axes = tuple(range(1, 1 + len(length)))
    expected = np.fft.rfftn(tiles.numpy(), length, axes)
    spectra = transform(tiles, length).numpy()
    assert spectra.shape == (5, math.prod(length[:-1]) * (length[-1] // 2 + 1))
    # The order of frequencies is free, as long as it is the same for all: each has its equal.
    for ours, true in zip(spectra, expected.reshape(5, -1), strict=True):
        np.testing.assert_allclose(np.sort_complex(ours.round(9)), np.sort_complex(true.round(9)))


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_the_inverse_gives_the_kept_elements_back(length: tuple[int, ...]) -> None:
    tiles = draw(3, *length)
    kept = tuple(slice(t // 3, t // 3 + max(1, t // 2)) for t in length)
    back = inverse(transform(tiles, length), length, kept)
    torch.testing.assert_close(back, tiles[(slice(None), *kept)], rtol=0, atol=1e-14)


def test_a_product_of_transforms_is_a_circular_convolution() -> None:
    a, b = draw(1, 4, 6), draw(2, 4, 6)[1:]
    product = transform(a, (4, 6)) * transform(b, (4, 6))
    ours = inverse(product, (4, 6), (slice(None), slice(None)))[0]
    expected = torch.zeros(4, 6, dtype=torch.float64)
    for i, j in itertools.product(range(4), range(6)):
        expected += b[0, i, j] * a[0].roll((i, j), (0, 1))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-13)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[tuple[int, ...], Cut]:
    """Draw sizes of a tensor, and tiles, of which some may lie outside of it."""
    axes = draw(st.integers(1, 3))
    numbers = [
        [draw(st.integers(*bounds)) for _ in range(axes)]
        for bounds in ((0, 7), (1, 4), (1, 4), (-4, 4), (0, 2), (1, 3))
    ]
    sizes, length, step, before, first, count = map(tuple, numbers)
    tiles = tuple(slice(a, a + b) for a, b in zip(first, count, strict=True))
    return sizes, Cut(slice(1, 3), tiles, length, step, before)


def tiles_by_slices(x: Tensor, cut: Cut) -> list[Tensor]:
    """Return a picture's tiles in their order, each (C, *length), out of many zeros around."""
    far = 30
    around = np.pad(x.numpy(), [(0, 0), *[(far, far)] * len(cut.length)])
    tiles = []
    for places in itertools.product(*(range(some.start, some.stop) for some in cut.tiles)):
        every = zip(places, cut.step, cut.before, cut.length, strict=True)
        where = (slice(far + at * s - b, far + at * s - b + n) for at, s, b, n in every)
        tiles.append(torch.from_numpy(around[(slice(None), *where)]))
    return tiles


@settings(max_examples=60, deadline=None)
@given(sizes_and_cut=cuts())
def test_tiles_are_slices_with_zeros_around(sizes_and_cut: tuple[tuple[int, ...], Cut]) -> None:
    sizes, cut = sizes_and_cut
    x = draw(3, 2, *sizes)
    expected = [tile for picture in x[1:] for tile in tiles_by_slices(picture, cut)]
    assert torch.equal(cut_tiles(x, cut), torch.cat(expected))


def test_tiles_of_halves_are_cut_as_float32() -> None:
    x = draw(3, 2, 5).bfloat16()
    tiles = cut_tiles(x, Cut(slice(0, 3), (slice(0, 2),), (3,), (2,), (0,)))
    assert tiles.dtype == torch.float32
    assert torch.equal(tiles[:2], x[0, :, :3].float())


@settings(max_examples=60, deadline=None)
@given(sizes_and_cut=cuts(), adds=st.booleans())
def test_tiles_put_are_found_where_they_were_cut(
    sizes_and_cut: tuple[tuple[int, ...], Cut], adds: bool
) -> None:
    sizes, cut = sizes_and_cut
    cut = cut._replace(length=cut.step, before=(0,) * len(sizes))
    y = draw(3, 2, *sizes)
    count = tuple(some.stop - some.start for some in cut.tiles)
    tiles = torch.arange(1.0, 1 + 2 * math.prod(count) * 2 * math.prod(cut.step)).double()
    tiles = tiles.view(2, *count, 2, *cut.step)
    expected = y.clone()
    for n, channel, *place in itertools.product(range(2), range(2), *map(range, count)):
        for inside in itertools.product(*map(range, cut.step)):
            every = zip(cut.tiles, place, cut.step, inside, strict=True)
            where = tuple((some.start + at) * s + i for some, at, s, i in every)
            if all(at < size for at, size in zip(where, sizes, strict=True)):
                value = tiles[(n, *place, channel, *inside)]
                expected[(1 + n, channel, *where)] *= adds
                expected[(1 + n, channel, *where)] += value
    put_tiles(tiles, y, cut, adds=adds)
    assert torch.equal(y, expected)
