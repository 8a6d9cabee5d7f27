"""Pooling beyond the original's files: what is built, random choice, gradients, other sizes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.text.pooling import LOWEST, AveragePooling, MaxPooling, Pane
from alexnet.text.vision import KINDS
from tests.text.single_layer import draw, make


def _make(text: str, *, tops: int = 1, shape: tuple[int, ...] = (2, 2, 7, 6)) -> nn.Module:
    return make(KINDS, f'type: "Pooling" pooling_param {{ {text} }}', [shape], tops=tops)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("kernel_size: 3 stride: 2", nn.MaxPool2d(3, 2, 0, ceil_mode=True)),
        ("kernel_size: 3 stride: 2 pad: 1", nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
        ("kernel_size: 2 stride: 3 pad: 1", nn.MaxPool2d(2, 3, 1, ceil_mode=True)),
        ("kernel_size: 2 round_mode: FLOOR", nn.MaxPool2d(2, 1, 0, ceil_mode=False)),
        ("kernel_h: 3 kernel_w: 2", nn.MaxPool2d((3, 2), 1, 0, ceil_mode=True)),
        ("pool: AVE kernel_size: 3 stride: 2", nn.AvgPool2d(3, 2, 0, ceil_mode=True)),
        ("pool: AVE kernel_size: 7 stride: 1", nn.AvgPool2d(7, 1, 0, ceil_mode=True)),
        ("pool: AVE global_pooling: true", nn.AdaptiveAvgPool2d(1)),
    ],
)
def test_torch_pools_where_its_windows_are_the_same(text: str, wanted: nn.Module) -> None:
    assert repr(_make(text, shape=(2, 2, 8, 9))) == repr(wanted)


@pytest.mark.parametrize(
    "text", ["kernel_size: 2 stride: 3", "kernel_size: 3 stride: 2 pad: 2", "kernel_size: 2 pad: 1"]
)
def test_our_module_pools_where_torch_differs_or_refuses(text: str) -> None:
    own = "pad: 1" not in text  # torch takes a pad of half the kernel
    assert isinstance(_make(text), MaxPooling) is own
    assert isinstance(_make(f"pool: AVE {text}"), AveragePooling) is own


def test_a_window_behind_the_picture_has_the_lowest_float_and_no_place() -> None:
    module = _make("kernel_size: 1 stride: 3", tops=2, shape=(1, 1, 5, 4))
    y, mask = module(torch.arange(20.0).view(1, 1, 5, 4))
    np.testing.assert_array_equal(y[0, 0], [[0, 3], [12, 15], [LOWEST, LOWEST]])
    np.testing.assert_array_equal(mask[0, 0], [[0, 3], [12, 15], [-1, -1]])


@pytest.mark.parametrize(("kernel", "pad"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_count_of_windows_is_the_originals(kernel: int, stride: int, pad: int) -> None:
    for side in range(kernel, 14):
        count = int(np.ceil(np.float32(side + 2 * pad - kernel) / stride)) + 1
        if pad and (count - 1) * stride >= side + pad:
            count -= 1
        windows = Pane(kernel, stride, pad, True, bool(pad)).over(side)
        assert windows.count == count
        assert windows.missing + pad + side == (count - 1) * stride + kernel


@pytest.mark.parametrize(
    "text",
    [
        "kernel_size: 3 stride: 2 pad: 2",
        "pool: AVE kernel_size: 3 stride: 2 pad: 2",
        "pool: AVE kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 3",
        "global_pooling: true",
    ],
)
def test_gradients_of_pooling_are_the_slopes(text: str) -> None:
    assert torch.autograd.gradcheck(_make(text), (draw(2, 2, 7, 6),))


def test_a_pooling_takes_pictures_of_another_size() -> None:
    module = _make("kernel_size: 2 stride: 3", shape=(1, 2, 7, 6))
    wanted = _make("kernel_size: 2 stride: 3", shape=(4, 2, 9, 5))
    x = draw(4, 2, 9, 5)
    torch.testing.assert_close(module(x), wanted(x), rtol=0, atol=0)


def _windows(x: Tensor, kernel: int, stride: int) -> list[list[Tensor]]:
    """Return the elements of each window of a picture (H, W), clipped at its end."""
    height, width = x.shape
    rows = -(-(height - kernel) // stride) + 1
    columns = -(-(width - kernel) // stride) + 1
    return [
        [
            x[i * stride : i * stride + kernel, j * stride : j * stride + kernel].flatten()
            for j in range(columns)
        ]
        for i in range(rows)
    ]


def test_stochastic_pooling_in_evaluation_weighs_each_element_by_itself() -> None:
    module = _make("pool: STOCHASTIC kernel_size: 3 stride: 2").eval()
    x = draw(1, 1, 7, 6).detach().abs()
    x[0, 0, 4:, 4:] = 0
    wanted = [
        [float((w * w).sum() / w.sum()) if w.sum() > 0 else 0.0 for w in row]
        for row in _windows(x[0, 0], 3, 2)
    ]
    assert wanted[2][2] == 0
    # float64, and the same few terms in another order
    np.testing.assert_allclose(module(x)[0, 0], wanted, rtol=1e-12)


def test_stochastic_pooling_in_training_chooses_by_size() -> None:
    module = _make("pool: STOCHASTIC kernel_size: 2 stride: 2", shape=(1, 1, 2, 2)).train()
    torch.manual_seed(1)
    x = torch.tensor([[1.0, 3.0], [0.0, 4.0]]).repeat(20_000, 1, 1, 1)
    y = module(x)
    for value, share in ((1, 1 / 8), (3, 3 / 8), (4, 4 / 8)):
        found = float((y == value).float().mean())
        assert abs(found - share) < 5 * (share * (1 - share) / len(y)) ** 0.5


def test_stochastic_pooling_passes_gradients_to_what_it_chose() -> None:
    module = _make("pool: STOCHASTIC kernel_size: 3 stride: 2").train()
    x = draw(2, 2, 7, 6).detach().abs().requires_grad_()
    y = module(x)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    np.testing.assert_allclose((x.grad * x).sum().item(), y.sum().item(), rtol=1e-12)
    assert float(x.grad.sum()) == y.numel()


def test_stochastic_pooling_of_whole_pictures_gives_one_element_each() -> None:
    module = _make("pool: STOCHASTIC global_pooling: true").eval()
    x = draw(2, 2, 7, 6).detach().abs()
    wanted = x.square().sum((2, 3)) / x.sum((2, 3))
    torch.testing.assert_close(module(x)[..., 0, 0], wanted, rtol=1e-12, atol=0)
