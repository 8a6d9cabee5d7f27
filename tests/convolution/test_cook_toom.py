"""Winograd's matrices: the identity they stand for, exactly, and the bounds of their errors."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from alexnet.convolution.cook_toom import (
    Transform,
    error_bound,
    expected_error,
    points,
    transform,
    transform_at,
    typical_growth,
    worst_growth,
)

Array = NDArray[np.float64]
Singles = NDArray[np.float32]

INTEGERS = tuple(Fraction(p) for p in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6))
HALVED = tuple(
    Fraction(p) for p in (0, 1, -1, 0.5, -0.5, 0.25, -0.25, 0.125, -0.125, 0.0625, -0.0625)
)
SPREAD = tuple(Fraction(p) for p in range(12))
LAVIN_A = [[1, 0], [1, 1], [1, -1], [0, -1]]
LAVIN_G = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
LAVIN_B = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
FLOAT32 = 2.0**-24


def in_numpy(each: Transform) -> tuple[Array, Array, Array]:
    """Return A, G and B^T in float64."""
    a, g, b = each.matrices(torch.float64, torch.device("cpu"))
    return a.numpy(), g.numpy(), b.numpy().T


def growths(each: Transform) -> tuple[float, float]:
    """Return the worst and the typical growth by their equations."""
    a, g, b = in_numpy(each)
    worst = np.einsum("ki,kj,kl->ij", abs(a), abs(g), abs(b)).max()
    typical = np.einsum("ki,kj,kl->i", a**2, g**2, b**2).max() / each.r
    return float(worst), math.sqrt(typical)


@pytest.mark.parametrize("m", range(1, 9))
@pytest.mark.parametrize("r", range(1, 8))
def test_a_tile_is_exactly_the_correlation(m: int, r: int) -> None:
    each = transform(m, r)
    assert each.t == m + r - 1
    for i, j, place in itertools.product(range(m), range(r), range(each.t)):
        rows = zip(each.a, each.g, each.b[place], strict=True)
        # What input `place` and tap j add to output i; 1 where they meet.
        assert sum(a[i] * g[j] * b for a, g, b in rows) == (place == i + j)


def test_f_2_3_is_the_published_one_but_for_scales_of_rows() -> None:
    ours = in_numpy(transform(2, 3))
    scales = []
    for mine, theirs in zip(ours, (LAVIN_A, LAVIN_G, LAVIN_B), strict=True):
        rows = zip(mine, np.array(theirs, float), strict=True)
        scale = np.array([(row @ other) / (other @ other) for row, other in rows])
        np.testing.assert_array_equal(mine, scale[:, None] * theirs)
        scales.append(scale)
    np.testing.assert_array_equal(np.prod(scales, axis=0), np.ones(4))


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (6, 3), (2, 5), (9, 7), (3, 11)])
def test_the_inputs_meet_whole_numbers_and_sums_of_outputs_none_above_one(m: int, r: int) -> None:
    each = transform(m, r)
    for row in each.b_rows:
        assert {entry.denominator for entry in row} == {1}
        assert math.gcd(*(int(entry) for entry in row)) == 1
    for row in each.a:
        assert 1 <= max(map(abs, row)) < 2


@pytest.mark.parametrize(("m", "r", "most"), [(2, 3, 1), (3, 3, 3), (4, 3, 5), (6, 3, 21)])
def test_the_whole_numbers_are_small_for_small_tiles(m: int, r: int, most: int) -> None:
    assert max(abs(entry) for row in transform(m, r).b for entry in row) == most


@pytest.mark.parametrize("count", [3, 5])
def test_along_an_axis_with_one_tap_or_one_output_it_is_the_definition(count: int) -> None:
    identity, ones = np.eye(count), np.ones((count, 1))
    for each, a, g in (
        (transform(1, count), ones, identity),
        (transform(count, 1), identity, ones),
    ):
        for mine, exact in zip(in_numpy(each), (a, g, identity), strict=True):
            np.testing.assert_array_equal(mine, exact)


def test_a_tile_needs_outputs_and_taps() -> None:
    with pytest.raises(ValueError, match=r"F\(0, 3\) has no outputs or no taps; both must be at"):
        transform(0, 3)
    with pytest.raises(ValueError, match=r"F\(2, 0\) has no outputs or no taps"):
        transform(2, 0)


def test_points_are_pairs_of_reciprocals_and_none_comes_twice() -> None:
    first = [0, 1, -1, 0.5, -2, -0.5, 2, 0.75, Fraction(-4, 3), -0.75, Fraction(4, 3)]
    assert list(points(11)) == first
    assert len(set(points(60))) == 60


@pytest.mark.parametrize("others", [INTEGERS, HALVED, SPREAD], ids=["whole", "halved", "spread"])
@pytest.mark.parametrize("t", range(4, 13))
def test_errors_grow_no_more_than_with_other_points(t: int, others: tuple[Fraction, ...]) -> None:
    for r in (2, 3, 5):
        if r < t:
            ours, theirs = transform(t + 1 - r, r), transform_at(others[: t - 1], t + 1 - r, r)
            assert worst_growth(ours) <= worst_growth(theirs)
            assert typical_growth(ours) <= typical_growth(theirs)


def test_f_4_3_has_little_more_than_half_of_the_errors_of_the_published_points() -> None:
    ours, theirs = transform(4, 3), transform_at(INTEGERS[:5], 4, 3)
    assert typical_growth(ours) < 0.6 * typical_growth(theirs)


@pytest.mark.parametrize(("m", "r"), [(1, 4), (4, 1), (2, 3), (4, 3), (3, 4), (8, 5), (3, 11)])
def test_growth_is_that_of_the_equations(m: int, r: int) -> None:
    each = transform(m, r)
    worst, typical = growths(each)
    # The equations in float64 here, in fractions there.
    assert worst_growth(each) == pytest.approx(worst, rel=1e-12)
    assert typical_growth(each) == pytest.approx(typical, rel=1e-12)


def test_the_definition_has_no_growth() -> None:
    for each in (transform(1, 7), transform(7, 1)):
        assert (worst_growth(each), typical_growth(each)) == (1, 1)


def test_the_bound_counts_each_rounding_once() -> None:
    # F(2, 3): rows of B^T add two numbers; of G three, halved, which is exact; of A^T three.
    roundings = 1 + (3 - 1 + 1 - 1) + 2 + 5
    expected = 4 * roundings * FLOAT32 / (1 - roundings * FLOAT32)
    assert error_bound((2,), (3,), terms=5, dtype=torch.float32) == pytest.approx(expected)
    # F(3, 3): a row of B^T adds four numbers times powers of two, or three of which one is times 3;
    # of G three in sixths, which float32 does not hold; of A^T four times powers of two.
    roundings = 3 + (2 + 1 + 1) + 3 + 5
    expected = 43 / 3 * roundings * FLOAT32 / (1 - roundings * FLOAT32)
    assert error_bound((3,), (3,), terms=5, dtype=torch.float32) == pytest.approx(expected)


def test_bounds_along_two_axes_multiply_growths_and_add_roundings() -> None:
    one = error_bound((2,), (3,), terms=5, dtype=torch.float64)
    two = error_bound((2, 2), (3, 3), terms=5, dtype=torch.float64)
    # 10 roundings and 4 of growth against 15 and 16; the second order is far below float64.
    assert two / one == pytest.approx(16 * 15 / (4 * 10), rel=1e-12)


def test_there_is_no_bound_where_roundings_may_lose_everything() -> None:
    assert error_bound((4,), (3,), terms=1000, dtype=torch.bfloat16) == math.inf


def test_the_error_to_expect_of_the_definition_is_that_of_its_sums() -> None:
    # One tap: the three matrices have one number a row; 64 terms are rounded 32 times at full size.
    exact = 0.42 * FLOAT32 * math.sqrt(64 / 2 + 1 + 3 / 2)
    assert expected_error((1,), (1,), terms=64, dtype=torch.float32) == pytest.approx(exact)


def computed(each: Transform, d: Array, g: Array) -> Array:
    """Return a tile's outputs in float32."""
    a, kernel, b = (matrix.astype(np.float32) for matrix in in_numpy(each))
    y: Array = (a.T @ ((kernel @ g.astype(np.float32)) * (b @ d.astype(np.float32)))).astype(float)
    return y


@given(
    m=st.integers(1, 10), r=st.integers(1, 7), seed=st.integers(0, 999), aligned=st.integers(0, 15)
)
@settings(max_examples=60, deadline=None)
def test_no_tile_of_float32_is_beyond_the_bound(m: int, r: int, seed: int, aligned: int) -> None:
    each = transform(m, r)
    generator = np.random.default_rng(seed)
    _, kernel, b = in_numpy(each)
    k = aligned % each.t
    # The signs of a row of B^T and of G: its sums cannot cancel, and A's must.
    d = np.where(b[k] < 0, -1, 1) * generator.uniform(0.5, 1, each.t).astype(np.float32)
    g = np.where(kernel[k] < 0, -1, 1) * generator.uniform(0.5, 1, r).astype(np.float32)
    exact = np.correlate(d, g, "valid")
    error = np.abs(computed(each, d, g) - exact).max()
    bound = error_bound((m,), (r,), terms=1, dtype=torch.float32)
    assert error <= bound * abs(d).max() * abs(g).sum()


def test_powers_of_two_in_the_rows_change_no_bit() -> None:
    each = transform(6, 3)
    a, g, b = (matrix.astype(np.float32) for matrix in in_numpy(each))
    generator = np.random.default_rng(0)
    d, w = generator.normal(size=(8, 500)), generator.normal(size=(3, 500))
    d, w = d.astype(np.float32), w.astype(np.float32)
    scale = np.float32(2.0) ** generator.integers(-9, 9, (8, 1)).astype(np.float32)

    def outputs(a: Singles, g: Singles, b: Singles) -> Singles:
        total: Singles = np.zeros((6, 500), np.float32)
        kernels = sum(g[:, j : j + 1] * w[j] for j in range(3))
        inputs = sum(b[:, j : j + 1] * d[j] for j in range(8))
        for row, product in zip(a, kernels * inputs, strict=True):
            total += row[:, None] * product
        return total

    scaled = outputs(a, g * scale, b / scale)
    np.testing.assert_array_equal(scaled, outputs(a, g, b))
