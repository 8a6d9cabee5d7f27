"""Strided convolutions by way of blocks, against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from alexnet.layers import fused
from alexnet.layers.space_to_depth import space_to_depth_convolution


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.integers(1, 5),
    padding=st.integers(0, 3),
    channels=st.integers(1, 4),
    size=st.tuples(st.integers(7, 17), st.integers(7, 17)),
    channels_last=st.booleans(),
)
def test_values_and_gradients_are_those_of_the_strided_convolution(
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    channels: int,
    size: tuple[int, int],
    channels_last: bool,
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    w = torch.randn(5, channels, *kernel, generator=generator, dtype=torch.float64)
    b = torch.randn(5, generator=generator, dtype=torch.float64)
    if channels_last:
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    leaves = [t.requires_grad_() for t in (x, w, b)]
    y = space_to_depth_convolution(x, w, b, stride=stride, padding=padding)
    expected = F.conv2d(x, w, b, stride, padding)
    torch.testing.assert_close(y, expected)
    dy = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(y, leaves, dy), torch.autograd.grad(expected, leaves, dy), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("layer", "taken"),
    [
        (nn.Conv2d(3, 8, 11, 4), True),
        (nn.Conv2d(3, 8, 11, 4, padding=2), True),
        (nn.Conv2d(3, 8, 3), False),
        (nn.Conv2d(8, 8, 3, 2), False),
        (nn.Conv2d(4, 8, 3, 2, groups=2), False),
        (nn.Conv2d(3, 8, 3, 2, dilation=2), False),
        (nn.Conv2d(3, 8, 3, (2, 1)), False),
        (nn.Conv2d(3, 8, 3, 2, padding=1, padding_mode="reflect"), False),
    ],
)
def test_first_layers_take_the_matrix_units(
    layer: nn.Conv2d, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def watched(*operands: torch.Tensor | None, stride: int, padding: int) -> torch.Tensor:
        calls.append(stride)
        x, w, b = operands
        assert x is not None
        assert w is not None
        return space_to_depth_convolution(x, w, b, stride=stride, padding=padding)

    monkeypatch.setattr(fused, "space_to_depth_convolution", watched)
    monkeypatch.setattr(fused, "has_matrix_units", lambda: True)
    layer = layer.bfloat16()
    x = torch.randn(2, layer.in_channels, 27, 27).bfloat16()
    (step,) = fused.fuse([layer])
    # one rounding to 8 bits on either side
    torch.testing.assert_close(step(x), layer(x), rtol=2**-7, atol=2**-7)
    assert len(calls) == int(taken)
    (step,) = fused.fuse([layer.float()])
    assert torch.equal(step(x.float()), layer(x.float()))
    assert len(calls) == int(taken)
