"""What the normalisations refuse, and how they say it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alexnet.layers.response_norm import (
    Convention,
    LocalResponseNorm,
    WithinChannelNorm,
    local_response_norm,
    within_channel_norm,
)
from tests.layers.test_response_norm import draw


@pytest.mark.parametrize("make", [LocalResponseNorm, WithinChannelNorm])
@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"window": 0}, "window 0 is below 1; give a number of elements >= 1"),
        ({"window": 4}, "window 4 is even and has no middle; use 3 or 5"),
        ({"alpha": float("nan")}, "alpha nan is not finite; give a number"),
        ({"beta": float("inf")}, "beta inf is not finite; give a number"),
        ({"bias": float("-inf")}, "bias -inf is not finite; give a number"),
    ],
)
def test_constants_out_of_range_are_refused_at_construction(
    make: Callable[..., torch.nn.Module], constants: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**constants)


@pytest.mark.parametrize("convention", ["paper", "caffe", "tf"])
def test_even_windows_are_refused_where_the_convention_has_none(convention: Convention) -> None:
    with pytest.raises(ValueError, match="window 2 is even and has no middle; use 1 or 3"):
        local_response_norm(draw(1, 3, 1), window=2, convention=convention)


def test_an_unknown_convention_names_the_nearest() -> None:
    message = r"'cafe' is not known \(did you mean 'caffe'\?\); the conventions are paper, caffe"
    with pytest.raises(ValueError, match=message):
        local_response_norm(draw(1, 3, 1), convention="cafe")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1, 1, 1, 1)])
def test_wrong_ranks_are_refused(shape: tuple[int, ...]) -> None:
    message = rf"x has {len(shape)} dimensions, not 3 or 4 or 5; reshape it to \(N, C, ...\)"
    with pytest.raises(ValueError, match=message):
        local_response_norm(draw(*shape))
    message = rf"x has {len(shape)} dimensions, not 4; reshape it to \(N, C, H, W\)"
    with pytest.raises(ValueError, match=message):
        within_channel_norm(draw(*shape))


@pytest.mark.parametrize("function", [local_response_norm, within_channel_norm])
def test_integers_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    message = r"x is torch.int64, not floating-point; convert it with x.float\(\)"
    with pytest.raises(ValueError, match=message):
        function(torch.ones(1, 2, 3, 4, dtype=torch.int64))


def test_columns_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="9 channels do not fall into 2 columns; use a multiple"):
        LocalResponseNorm(columns=2)(draw(2, 9, 5, 3))
