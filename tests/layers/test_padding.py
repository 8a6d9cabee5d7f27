"""Padding to whole strides, against cuda-convnet's rule for the number of outputs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from alexnet.layers.padding import PadToStride


@settings(deadline=None, max_examples=100)
@given(
    kernel=st.integers(1, 12),
    stride=st.integers(1, 6),
    sizes=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_a_convolution_after_it_has_as_many_outputs_as_cuda_convnet(
    kernel: int, stride: int, sizes: tuple[int, int]
) -> None:
    height, width = (kernel + more for more in sizes)
    x = torch.zeros(1, 1, height, width, device="meta")
    y = functional.conv2d(
        PadToStride(kernel, stride)(x),
        torch.zeros(1, 1, kernel, kernel, device="meta"),
        stride=stride,
    )
    expected = [1 + math.ceil((size - kernel) / stride) for size in (height, width)]
    assert list(y.shape[2:]) == expected


def test_224_pixels_become_227_under_conv1() -> None:
    y = PadToStride(11, 4)(torch.empty(2, 3, 224, 224, device="meta"))
    assert y.is_meta
    assert y.shape == (2, 3, 227, 227)


def test_zeros_are_appended_at_the_right_and_at_the_bottom_only() -> None:
    y = PadToStride(2, 3)(torch.ones(1, 1, 3, 4))
    expected = torch.zeros(1, 1, 5, 5)
    expected[:, :, :3, :4] = 1
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


def test_it_is_the_identity_when_whole_strides_fit() -> None:
    x = torch.ones(1, 1, 227, 227)
    assert PadToStride(11, 4)(x) is x


def test_pictures_smaller_than_the_kernel_grow_to_the_kernel() -> None:
    assert PadToStride(5, 2)(torch.ones(1, 1, 2, 7)).shape == (1, 1, 5, 7)


def test_the_gradient_is_cut_back_to_the_picture() -> None:
    x = torch.ones(1, 1, 3, 4, requires_grad=True)
    y = PadToStride(2, 3)(x)
    (dx,) = torch.autograd.grad(y, x, torch.arange(25.0).view(1, 1, 5, 5))
    expected = torch.arange(25.0).view(1, 1, 5, 5)[:, :, :3, :4]
    torch.testing.assert_close(dx, expected, rtol=0, atol=0)


def test_channels_last_stays_channels_last() -> None:
    x = torch.ones(2, 3, 8, 8).to(memory_format=torch.channels_last)
    assert PadToStride(3, 4)(x).is_contiguous(memory_format=torch.channels_last)


def test_it_prints_kernel_and_stride() -> None:
    assert repr(PadToStride(11, 4)) == "PadToStride(kernel=11, stride=4)"


@pytest.mark.parametrize(("name", "sizes"), [("kernel", (0, 1)), ("stride", (3, 0))])
def test_sizes_below_one_are_refused(name: str, sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{name} 0 is below 1; give a number of pixels >= 1"):
        PadToStride(*sizes)


def test_three_dimensions_are_refused() -> None:
    message = r"x has 3 dimensions, not 4; reshape it to \(N, C, H, W\)"
    with pytest.raises(ValueError, match=message):
        PadToStride(3, 2)(torch.ones(3, 8, 8))
