"""Deconvolution, Crop, SPP and Im2col against numpy, and what they refuse."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.autograd import gradcheck

from alexnet.text.kind import blobs
from alexnet.text.spatial import KINDS
from tests.text.single_layer import draw, make, refused

Array = NDArray[np.float64]


def deconvolve(x: Array, w: Array, stride: int, pad: int) -> Array:
    """Add each input's kernel, times the input, to the output where it stands."""
    n, _, h, width = x.shape
    _, k, r, s = w.shape
    y = np.zeros((n, k, stride * (h - 1) + r, stride * (width - 1) + s))
    for i in range(h):
        for j in range(width):
            part = np.einsum("nc,ckrs->nkrs", x[:, :, i, j], w)
            y[:, :, i * stride : i * stride + r, j * stride : j * stride + s] += part
    return y[:, :, pad : y.shape[2] - pad, pad : y.shape[3] - pad]


def pool_pyramid(x: Array, height: int, reduce: str) -> Array:
    """Pool window by window, with indices as in the original's loops."""
    n, c, h, w = x.shape
    found = []
    for level in range(height):
        bins = 2**level
        kh, kw = -(-h // bins), -(-w // bins)
        ph, pw = (kh * bins - h + 1) // 2, (kw * bins - w + 1) // 2
        part = np.zeros((n, c, bins, bins))
        for i in range(bins):
            for j in range(bins):
                top, left = i * kh - ph, j * kw - pw
                area = (min(top + kh, h + ph) - top) * (min(left + kw, w + pw) - left)
                window = x[:, :, max(top, 0) : top + kh, max(left, 0) : left + kw]
                if reduce == "MAX":
                    part[:, :, i, j] = window.max((2, 3))
                else:
                    part[:, :, i, j] = window.sum((2, 3)) / area
        found.append(part.reshape(n, -1))
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1), (3, 2)])
def test_deconvolution_adds_kernels_at_their_places(stride: int, pad: int) -> None:
    text = f"kernel_size: 5 stride: {stride} pad: {pad} num_output: 3 bias_term: false"
    layer = make(KINDS, f'type: "Deconvolution" convolution_param {{ {text} }}', [(2, 4, 5, 3)])
    x = draw(2, 4, 5, 3)
    expected = deconvolve(x.detach().numpy(), blobs(layer)[0].detach().numpy(), stride, pad)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_deconvolution_of_maps_is_the_module_of_torch() -> None:
    text = 'type: "Deconvolution" convolution_param { kernel_size: 3 num_output: 4 }'
    assert type(make(KINDS, text, [(1, 2, 5, 5)])) is nn.ConvTranspose2d


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ("kernel_size: 3", "num_output is missing or 0"),
        ("num_output: 4", "kernel_size is 0, 0; give a number from 1 up"),
        ("num_output: 4 kernel_size: 3 group: 4", "channels 6 is not divisible by group 4"),
        ("num_output: 4 kernel_size: 3 group: 3", "num_output 4 is not divisible by group 3"),
        ("num_output: 4 kernel_size: 3 axis: 2", "takes channels as axis 1 and one to three"),
        (
            "num_output: 4 kernel_size: 3 pad: 5",
            "axis 2: side 5, kernel 3, stride 1, dilation 1 and pad 5 make a side of -3; use a",
        ),
    ],
)
def test_deconvolution_refuses_numbers_that_do_not_fit(numbers: str, why: str) -> None:
    text = f'type: "Deconvolution" convolution_param {{ {numbers} }}'
    refused(KINDS, text, [(2, 6, 5, 5)], why=why)


def test_deconvolution_refuses_bottoms_of_two_shapes() -> None:
    text = 'type: "Deconvolution" convolution_param { kernel_size: 3 num_output: 4 }'
    why = "several bottoms need one shape and a top for each"
    refused(KINDS, text, [(1, 2, 5, 5), (1, 2, 5, 4)], why=why, tops=2)


def test_a_crop_is_a_part_and_its_gradient_lies_in_a_field_of_zeros() -> None:
    text = 'type: "Crop" crop_param { axis: 1 offset: 0 offset: 2 offset: 1 }'
    layer = make(KINDS, text, [(2, 3, 7, 5), (2, 2, 4, 3)])
    x = draw(2, 3, 7, 5)
    y = layer(x, torch.empty(2, 2, 4, 3))
    y.sum().backward()
    part = np.zeros((2, 3, 7, 5))
    part[:, 0:2, 2:6, 1:4] = 1
    assert torch.equal(y, x[:, 0:2, 2:6, 1:4])
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), part)


def test_a_crop_refuses_what_does_not_fit() -> None:
    text = 'type: "Crop" crop_param { %s }'
    why = "offset stands 3 times; give one, or one for each of the 2 axes from axis 2 on"
    refused(KINDS, text % "offset: 1 offset: 2 offset: 3", [(1, 2, 5, 5), (1, 2, 3, 3)], why=why)
    why = "axis 3 has 5 elements and is cropped to 3 from offset 3; they must fit"
    refused(KINDS, text % "offset: 0 offset: 3", [(1, 2, 5, 5), (1, 2, 3, 3)], why=why)
    why = "a blob of 4 axes is cropped to one of 2; give as many axes"
    refused(KINDS, text % "", [(1, 2, 5, 5), (3, 3)], why=why)
    refused(KINDS, text % "axis: 4", [(1, 2, 5, 5), (1, 2, 3, 3)], why="axis 4 is not in a blob")


def test_a_crop_of_other_sizes_than_the_net_was_built_for_is_checked_again() -> None:
    layer = make(KINDS, 'type: "Crop"', [(1, 2, 5, 5), (1, 2, 3, 3)])
    with pytest.raises(ValueError, match="axis 2 has 5 elements and is cropped to 6 from offset 0"):
        layer(torch.empty(1, 2, 5, 5), torch.empty(1, 2, 6, 3))


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(("h", "w"), [(8, 8), (13, 10), (12, 11), (16, 13)])
def test_a_pyramid_pools_whole_maps(pool: str, h: int, w: int) -> None:
    text = f'type: "SPP" spp_param {{ pyramid_height: 3 pool: {pool} }}'
    layer = make(KINDS, text, [(2, 3, h, w)])
    x = draw(2, 3, h, w)
    expected = pool_pyramid(x.detach().numpy(), 3, pool)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)


def test_a_pyramid_takes_maps_of_another_size_than_it_was_built_for() -> None:
    layer = make(KINDS, 'type: "SPP" spp_param { pyramid_height: 2 }', [(1, 2, 8, 8)])
    x = draw(1, 2, 5, 6)
    expected = pool_pyramid(x.detach().numpy(), 2, "MAX")
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="level 1 of the pyramid cuts a side of 1 into 2"):
        layer(draw(1, 2, 1, 6))


@pytest.mark.parametrize(
    ("numbers", "shape", "why"),
    [
        ("pyramid_height: 1", (1, 2, 5), "SPP takes (N, C, H, W) and has a blob (1, 2, 5)"),
        ("", (1, 2, 5, 5), "pyramid_height is missing or 0; give the number of levels"),
        ("pyramid_height: 1 pool: STOCHASTIC", (1, 2, 5, 5), "use MAX or AVE"),
        (
            "pyramid_height: 4000000000",
            (1, 2, 5, 5),
            "level 2 of the pyramid cuts a side of 5 into 4: windows of 2 need a pad of 2, which",
        ),
    ],
)
def test_a_pyramid_refuses_what_does_not_fit(
    numbers: str, shape: tuple[int, ...], why: str
) -> None:
    refused(KINDS, f'type: "SPP" spp_param {{ {numbers} }}', [shape], why=why)


def test_windows_as_channels_times_a_matrix_are_a_convolution() -> None:
    text = 'type: "Im2col" convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 }'
    layer = make(KINDS, text, [(2, 3, 6, 7)])
    x, w = draw(2, 3, 6, 7), draw(4, 3, 3, 2, seed=1)
    y = torch.einsum("km,nmpq->nkpq", w.flatten(1), layer(x))
    torch.testing.assert_close(y, torch.conv2d(x, w, stride=2, padding=1))
    assert gradcheck(layer, x)


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ("kernel_size: 3 axis: 3", "axis 3 is the last one of a blob (1, 2, 5, 4); axes must"),
        ("kernel_size: 3 kernel_h: 3", "kernel_size and kernel_h or kernel_w are both given"),
        ("kernel_size: 3 dilation: 2", "axis 3: a kernel of 3 with dilation 2 spans 5, and the"),
        ("kernel_size: 3 stride: 0", "stride is 0, 0; give a number from 1 up"),
    ],
)
def test_im2col_refuses_numbers_that_do_not_fit(numbers: str, why: str) -> None:
    refused(KINDS, f'type: "Im2col" convolution_param {{ {numbers} }}', [(1, 2, 5, 4)], why=why)
