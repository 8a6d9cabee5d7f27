"""Winograd's convolution by our kernels, against the definition in float64."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.native import library, winograd
from alexnet.native.winograd import SIDES, Tiles, forward, input_gradient, serves, weight_gradient
from tests.oracles import convolution as oracle

EVEN = ((1, 1), (1, 1))
TILES = Tiles(4, EVEN, 1)
ERRORS = {2: 2e-6, 4: 8e-6, 6: 4e-5}
"""Of the largest number, for each m: some ten times float32's roundoff times what the transforms
enlarge it by (1.3, 2.8 and 6.8 for random numbers, and more where few are added up)."""


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype)


def last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def numbers(x: Tensor) -> oracle.Array:
    return x.double().numpy()


def close(found: Tensor, expected: oracle.Array, m: int) -> None:
    assert found.shape == expected.shape
    largest = float(np.abs(expected).max())
    rounding = 2**-8 if found.dtype == torch.bfloat16 else 0  # of what is stored
    np.testing.assert_allclose(numbers(found), expected, rtol=rounding, atol=ERRORS[m] * largest)


def check(
    x: Tensor, kernels: int, *, m: int, padding: winograd.Pads = EVEN, groups: int = 1
) -> None:
    """Compare all three directions with their equations."""
    w = draw(kernels, x.shape[1] // groups, 3, 3, dtype=x.dtype, seed=1)
    bias = draw(kernels, dtype=x.dtype, seed=2)
    exact, pads, tiles = numbers(x), list(padding), Tiles(m, padding, groups)
    y = oracle.correlate(exact, numbers(w), numbers(bias), padding=pads, groups=groups)
    close(forward(x, w, bias, tiles), y, m)
    dy = last(draw(*y.shape, dtype=x.dtype, seed=3))
    size = x.shape[2], x.shape[3]
    dx = input_gradient(dy, w, size, tiles)
    close(dx, oracle.input_gradient(numbers(dy), numbers(w), size, padding=pads, groups=groups), m)
    dw = weight_gradient(x, dy, tiles)
    expected = oracle.weight_gradient(exact, numbers(dy), (3, 3), padding=pads, groups=groups)
    assert dw.dtype == torch.float32
    close(dw, expected, m)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("m", SIDES)
@pytest.mark.parametrize(
    ("c", "k", "groups"),
    [(32, 16, 1), (5, 7, 1), (1, 5, 1), (24, 36, 2), (6, 6, 6), (70, 34, 1)],
)
@pytest.mark.usefixtures("kernels")
def test_any_numbers_of_channels_and_kernels(
    c: int, k: int, groups: int, m: int, dtype: torch.dtype
) -> None:
    check(last(draw(2, c, 13, 11, dtype=dtype)), k, m=m, groups=groups)


@pytest.mark.parametrize("m", SIDES)
@pytest.mark.usefixtures("kernels")
def test_more_tiles_than_pass_together(m: int) -> None:
    check(last(draw(4, 5, 43, 38)), 6, m=m)


@pytest.mark.parametrize("m", SIDES)
@pytest.mark.parametrize(
    "padding",
    [((0, 0), (0, 0)), ((2, 2), (2, 2)), ((0, 1), (2, 0)), ((3, 0), (1, 9)), ((-1, 2), (0, -2))],
)
def test_any_padding_even_less_than_none(padding: winograd.Pads, m: int) -> None:
    x = last(draw(2, 5, 12, 9))
    if min(map(min, padding)) >= 0:
        check(x, 4, m=m, padding=padding)
    w = draw(4, 5, 3, 3, seed=1)
    (above, below), (left, right) = padding
    wide = torch.nn.functional.pad(x, (left, right, above, below))
    y = forward(x, w, None, Tiles(m, padding, 1))
    close(y, oracle.correlate(numbers(wide), numbers(w)), m)


@settings(max_examples=60, deadline=None)
@given(
    pictures=st.integers(1, 4),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    sides=st.tuples(st.integers(3, 15), st.integers(3, 15)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    m=st.sampled_from(SIDES),
)
def test_drawn_convolutions(
    pictures: int,
    groups: int,
    channels: tuple[int, int],
    sides: tuple[int, int],
    pads: tuple[int, int, int, int],
    m: int,
) -> None:
    x = draw(pictures, groups * channels[0], *sides)
    check(x, groups * channels[1], m=m, padding=(pads[:2], pads[2:]), groups=groups)


def test_tensors_of_any_layout_give_the_same() -> None:
    x, w, dy = draw(2, 8, 9, 7), draw(6, 8, 3, 3, seed=1), draw(2, 6, 9, 7, seed=2)
    y = forward(last(x), w, None, TILES)
    dx = input_gradient(last(dy), w, (9, 7), TILES)
    dw = weight_gradient(last(x), last(dy), TILES)
    sliced = torch.cat([x, x], 1)[:, :8]
    turned = w.transpose(2, 3).contiguous().transpose(2, 3)
    for other in (last(w), turned, torch.cat([w, w], 1)[:, :8]):
        assert torch.equal(forward(sliced, other, None, TILES), y)
        found = input_gradient(dy, other, (9, 7), TILES)
        assert torch.equal(found, dx)
    assert torch.equal(weight_gradient(sliced, dy, TILES), dw)
    ones = torch.ones(()).expand(2, 6, 9, 7)  # as the gradient of a sum comes
    assert torch.equal(
        weight_gradient(x, ones, TILES),
        weight_gradient(x, ones.contiguous(), TILES),
    )


def test_results_are_channels_last_and_of_the_inputs_type() -> None:
    x, w = draw(2, 8, 9, 7, dtype=torch.bfloat16), draw(6, 8, 3, 3)
    y = forward(x, w, None, TILES)
    assert y.dtype == torch.bfloat16
    assert y.is_contiguous(memory_format=torch.channels_last)
    dw = weight_gradient(x, y, TILES)
    assert dw.is_contiguous(memory_format=torch.channels_last)


def test_no_pictures_give_none_and_no_gradient() -> None:
    x, w, bias = draw(0, 4, 8, 8), draw(6, 4, 3, 3), draw(6)
    y = forward(x, w, bias, TILES)
    assert y.shape == (0, 6, 8, 8)
    dx = input_gradient(y, w, (8, 8), TILES)
    assert dx.shape == (0, 4, 8, 8)
    dw = weight_gradient(x, y, TILES)
    assert torch.equal(dw, torch.zeros(6, 4, 3, 3))


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("groups", [1, 2])
def test_threads_share_the_work_and_change_no_bit(groups: int) -> None:
    x, w = last(draw(3, 8, 30, 22)), draw(10, 8 // groups, 3, 3, seed=1)
    results, tiles = [], Tiles(4, EVEN, groups)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        y = forward(x, w, None, tiles)
        dx = input_gradient(y, w, (30, 22), tiles)
        results.append((y, dx, weight_gradient(x, y, tiles)))
    for found in results[1:]:
        for one, other in zip(results[0], found, strict=True):
            assert torch.equal(one, other)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("m", SIDES)
@pytest.mark.parametrize(
    ("channels", "kernels", "groups"), [(5, 40, 1), (24, 36, 3), (150, 140, 1)]
)
def test_the_workspace_is_as_long_as_is_told(
    channels: int, kernels: int, groups: int, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, blocks = [], []

    def record(name: str, described: library.Winograd, *tensors: Tensor, form: torch.dtype) -> None:
        held.append(4 * tensors[-1].numel())
        blocks.append(described.block)

    monkeypatch.setattr(library, "run", record)
    x, w = draw(2, channels, 90, 41), draw(kernels, channels // groups, 3, 3)
    directions: list[winograd.Direction] = ["forward", "input_gradient", "weight_gradient"]
    for count in (1, 3):
        torch.set_num_threads(count)
        for workspace in (0, 6_000_000, 2**30):
            tiles = Tiles(m, EVEN, groups, workspace)
            y = forward(x, w, None, tiles)
            input_gradient(y, w, (90, 41), tiles)
            weight_gradient(x, y, tiles)
            told = [winograd.workspace_bytes(each, x.shape, y.shape, tiles) for each in directions]
            assert held[-3:] == told
            for each, block in zip(held[-3:], blocks[-3:], strict=True):
                assert each <= workspace or block == 24
    assert max(blocks) > 24


@dataclass(frozen=True)
class Layer:
    channels: int = 6
    groups: int = 1
    size: tuple[int, ...] = (12, 12)
    output: tuple[int, ...] = (12, 12)
    kernel: tuple[int, ...] = (3, 3)
    stride: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)
    dtype: torch.dtype = torch.float32


@pytest.mark.parametrize(
    ("layer", "m", "device", "kernels", "expected"),
    [
        (Layer(), 4, "cpu", {}, True),
        (Layer(dtype=torch.bfloat16), 6, "cpu", {}, True),
        (Layer(dtype=torch.float64), 4, "cpu", {}, False),
        (Layer(), 3, "cpu", {}, False),
        (Layer(), 4, "meta", {}, False),
        (Layer(), 4, "cpu", None, False),
        (Layer(kernel=(3, 5)), 4, "cpu", {}, False),
        (Layer(size=(9,) * 3, output=(9,) * 3, kernel=(3,) * 3), 4, "cpu", {}, False),
        (Layer(stride=(1, 2)), 4, "cpu", {}, False),
        (Layer(dilation=(2, 1)), 4, "cpu", {}, False),
        (Layer(output=(12, 3)), 4, "cpu", {}, False),
        (Layer(size=(3, 12)), 4, "cpu", {}, False),
        (Layer(size=(3, 12)), 2, "cpu", {}, True),
        (Layer(channels=1), 4, "cpu", {}, True),
        (Layer(channels=12, groups=3), 4, "cpu", {}, True),
        (Layer(channels=12, groups=4), 4, "cpu", {}, False),
    ],
)
def test_it_serves_plain_3x3_of_at_least_a_tile(
    layer: Layer,
    m: int,
    device: str,
    kernels: dict[str, object] | None,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(library, "library", lambda: kernels)
    assert serves(layer, m, torch.device(device)) == expected
