"""How far `auto` may be from the equation: within its tolerance, whatever it takes."""

import tempfile
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution import choose
from alexnet.convolution.convolve import convolve
from alexnet.measure import Lap, Rounds
from tests.oracles.convolution import correlate


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]:
    """Draw the shapes of x and w, and the constants of a convolution of them."""
    axes = draw(st.integers(1, 3))
    groups, kernel = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 2))
    least = dilation * (kernel - 1) + 1
    sizes = [draw(st.integers(least, least + 6)) for _ in range(axes)]
    x = (draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)), *sizes)
    w = (groups * draw(st.integers(1, 3)), x[1] // groups, *[kernel] * axes)
    stride, padding = draw(st.integers(1, 3)), draw(st.integers(0, 2))
    constants = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return x, w, constants


def always_another(
    laps: Mapping[str, Lap], *, repeats: int, warm_ups: int, turn_seconds: float
) -> Rounds:
    """Say of the last candidate that it is the quickest."""
    times = {name: (1.0 / number,) for number, name in enumerate(laps, start=1)}
    return Rounds(times, dict.fromkeys(laps, 1))


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@settings(deadline=None, max_examples=40)
@given(
    drawn=problems(),
    dtype=st.sampled_from((torch.float64, torch.float32, torch.bfloat16)),
    last=st.booleans(),
)
def test_auto_is_as_near_to_the_equation_as_it_says_whatever_it_takes(
    drawn: tuple[tuple[int, ...], tuple[int, ...], dict[str, int]], dtype: torch.dtype, last: bool
) -> None:
    x_shape, w_shape, constants = drawn
    x, w = draw(x_shape, 0, dtype), draw(w_shape, 1, dtype)
    if last:  # the channels: an order in memory that is nobody's
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("ALEXNET_CACHE", folder)
        patch.setattr(choose, "in_turn", always_another)
        patch.setattr(choose, "BEHIND", float("inf"))
        x, w = x.requires_grad_(), w.requires_grad_()
        y = convolve(x, w, None, **constants, algorithm="auto")
        dy = draw(tuple(y.shape), 2, dtype)
        dx, dw = torch.autograd.grad(y, (x, w), dy)
    wanted = correlate(x.detach().double().numpy(), w.detach().double().numpy(), None, **constants)
    run: Any = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(x_shape) - 2]
    exact = x.detach().double().requires_grad_(), w.detach().double().requires_grad_()
    gradients = torch.autograd.grad(run(*exact, None, **constants), exact, dy.double())
    # Native's own rounding comes on top: it is below the tolerance too, for sums as short as these.
    tolerance = 2 * choose.TOLERANCE[dtype]
    for ours, theirs in (
        (y.detach(), torch.from_numpy(wanted)),
        *zip((dx, dw), gradients, strict=True),
    ):
        assert float((ours.double() - theirs).abs().max()) <= tolerance * float(theirs.abs().max())
