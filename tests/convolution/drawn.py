"""Convolutions drawn at random: small ones, of every kind, and what they must give."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from alexnet.convolution.problem import Problem
from tests.oracles import convolution as oracle


@st.composite
def problems(
    draw: st.DrawFn, *, axes: tuple[int, ...] = (1, 2, 3), dtype: torch.dtype = torch.float64
) -> Problem:
    """Draw a convolution along one of so many axes, whose outputs have at least one element."""
    count = draw(st.sampled_from(axes))
    most_taps, most_outputs = {1: (7, 9), 2: (4, 5), 3: (3, 3)}[count]

    def sizes(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(count))

    kernel = sizes(1, most_taps)
    stride, dilation = sizes(1, 3), sizes(1, 3)
    padding = tuple(zip(sizes(0, 3), sizes(0, 3), strict=True))
    outputs = sizes(1, most_outputs)
    # What sticks out behind the last window is up to one element short of another output.
    spare = tuple(draw(st.integers(0, s - 1)) for s in stride)
    every = zip(kernel, stride, dilation, padding, outputs, spare, strict=True)
    groups = draw(st.integers(1, 3))
    return Problem(
        batch=draw(st.integers(1, 3)),
        channels=groups * draw(st.integers(1, 3)),
        kernels=groups * draw(st.integers(1, 3)),
        size=tuple(
            max(1, (p - 1) * s + d * (r - 1) + 1 + more - before - behind)
            for r, s, d, (before, behind), p, more in every
        ),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        dtype=dtype,
    )


def tensors(problem: Problem, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return x, w and dy of a problem, each element normally distributed."""
    generator = torch.Generator().manual_seed(seed)
    x, w, dy = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(problem.dtype)
        for shape in (problem.x_shape, problem.w_shape, problem.y_shape)
    )
    return x, w, dy


def expected(
    problem: Problem, x: Tensor, w: Tensor, dy: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, dx and dw by the oracle, in float64."""
    stride, dilation, groups = problem.stride, problem.dilation, problem.groups
    padding = problem.padding
    x_, w_, dy_ = (each.double().numpy() for each in (x, w, dy))
    b_ = np.zeros(problem.kernels) if bias is None else bias.double().numpy()
    y = oracle.correlate(
        x_, w_, b_, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    dx = oracle.input_gradient(
        *(dy_, w_, problem.size),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    dw = oracle.weight_gradient(
        *(x_, dy_, problem.kernel),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return torch.from_numpy(y), torch.from_numpy(dx), torch.from_numpy(dw)
