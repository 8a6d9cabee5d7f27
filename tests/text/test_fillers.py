"""Fillers draw from the original's distributions and refuse what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.text.fillers import fill
from alexnet.text.message import Message, TextError


def _filled(shape: tuple[int, ...], seed: int = 1, **values: Any) -> Tensor:
    tensor = torch.full(shape, torch.nan)
    fill(tensor, Message("FillerParameter", values), torch.Generator().manual_seed(seed))
    return tensor


def test_a_constant_is_its_value() -> None:
    torch.testing.assert_close(_filled((2, 3), value=1.5), torch.full((2, 3), 1.5))


def test_without_a_type_the_filler_is_the_constant_zero() -> None:
    torch.testing.assert_close(_filled((2, 3)), torch.zeros(2, 3))


def test_a_uniform_filler_reaches_from_min_to_max() -> None:
    x = _filled((100, 100), type="uniform", min=-3.0, max=5.0)
    assert -3 <= x.min() < -2.99
    assert 4.99 < x.max() <= 5
    # the mean of n draws of deviation 8 / sqrt(12) lies within 5 deviations of itself
    assert abs(x.mean() - 1) < 5 * 8 / math.sqrt(12 * x.numel())


def test_a_gaussian_filler_has_its_mean_and_deviation() -> None:
    x = _filled((100, 100), type="gaussian", mean=2.0, std=0.5)
    assert abs(x.mean() - 2) < 5 * 0.5 / 100
    assert abs(x.std() - 0.5) < 5 * 0.5 / math.sqrt(2 * x.numel())


def test_a_sparse_gaussian_filler_keeps_its_share_of_the_inputs() -> None:
    x = _filled((50, 400), type="gaussian", sparse=10)
    share = float((x != 0).float().mean())
    assert abs(share - 0.2) < 5 * math.sqrt(0.2 * 0.8 / x.numel())
    kept = x[x != 0]
    assert abs(kept.std() - 1) < 5 / math.sqrt(2 * kept.numel())


def test_the_inputs_of_a_positive_unitball_sum_to_one() -> None:
    x = _filled((4, 3, 2, 2), type="positive_unitball")
    assert x.min() >= 0
    assert x.std() > 0.01
    np.testing.assert_allclose(x.sum((1, 2, 3)), np.ones(4), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "norm", "n"),
    [
        ((40, 20, 3, 5), "FAN_IN", 300),
        ((40, 20, 3, 5), "FAN_OUT", 600),
        ((40, 20, 3, 5), "AVERAGE", 450),
        ((90, 70), "FAN_OUT", 90),
        ((5000,), "FAN_OUT", 5000),
        ((5000,), "FAN_IN", 1),
        ((5000,), "AVERAGE", 2500.5),
    ],
)
def test_xavier_and_msra_depend_on_the_fan(shape: tuple[int, ...], norm: str, n: float) -> None:
    bound = math.sqrt(3 / n)
    x = _filled(shape, type="xavier", variance_norm=norm)
    assert 0.99 * bound < x.abs().max() <= bound * (1 + 1e-6)
    y = _filled(shape, type="msra", variance_norm=norm)
    deviation = math.sqrt(2 / n)
    assert abs(y.std() - deviation) < 5 * deviation / math.sqrt(2 * y.numel())
    assert abs(y.mean()) < 5 * deviation / math.sqrt(y.numel())


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_bilinear_filler_is_the_kernel_of_interpolation(width: int) -> None:
    factor = math.ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    side = [1 - abs(x / factor - centre) for x in range(width)]
    wanted = np.broadcast_to(np.outer(side, side), (2, 3, width, width))
    np.testing.assert_allclose(_filled((2, 3, width, width), type="bilinear"), wanted, rtol=1e-6)


def test_a_bilinear_kernel_of_4_has_quarters() -> None:
    row = _filled((1, 1, 4, 4), type="bilinear")[0, 0, 1]
    np.testing.assert_allclose(row, [0.1875, 0.5625, 0.5625, 0.1875], rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "xavier", "positive_unitball", "bilinear"])
def test_another_memory_format_has_the_same_numbers(kind: str) -> None:
    plain, last = torch.empty(4, 3, 5, 5), torch.empty(4, 3, 5, 5)
    last = last.contiguous(memory_format=torch.channels_last)
    for each in (plain, last):
        filler = Message("FillerParameter", {"type": kind})
        fill(each, filler, torch.Generator().manual_seed(3))
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


def test_a_generator_repeats_a_filling_and_the_global_one_is_the_default() -> None:
    assert torch.equal(_filled((9,), type="msra"), _filled((9,), type="msra"))
    assert not torch.equal(_filled((9,), type="msra"), _filled((9,), 2, type="msra"))
    filler = Message("FillerParameter", {"type": "uniform"})
    first, second = torch.empty(9), torch.empty(9)
    for each in (first, second):
        torch.manual_seed(5)
        fill(each, filler, None)
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("shape", "values", "message"),
    [
        ((3,), {"type": "xaver"}, r"filler type 'xaver' is not known \(did you mean 'xavier'\?\)"),
        ((3,), {"type": "uniform", "sparse": 2}, "sparse is for type gaussian; leave it out for u"),
        ((), {"type": "msra"}, "filler type msra is not for a blob without axes; use constant"),
        ((3, 3), {"type": "bilinear"}, r"for four axes with a square kernel, not \(3, 3\)"),
        ((1, 1, 2, 3), {"type": "bilinear"}, r"a square kernel, not \(1, 1, 2, 3\)"),
        ((3,), {"type": "uniform", "min": 2.0}, "min is 2 and max 1; give two numbers that rise"),
        ((3,), {"type": "gaussian", "std": 0.0}, "std is 0; give a positive number, or type const"),
        ((3,), {"type": "gaussian", "sparse": 4}, "sparse is 4; give the mean number of inputs th"),
        ((3,), {"type": "gaussian", "sparse": -2}, "sparse is -2; give the mean number of inputs"),
    ],
)
def test_a_filler_that_cannot_fill_is_refused(
    shape: tuple[int, ...], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(TextError, match=message):
        _filled(shape, **values)
