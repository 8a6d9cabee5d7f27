"""Max and average pooling, against numpy window by window, torch's own, and Caffe's kinds."""

import re
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution.pooling import Rounding, average_pool, max_pool
from alexnet.text.pooling import AveragePooling, MaxPooling, Pane, Panes
from tests.oracles import pooling as oracle

ROUNDINGS: tuple[Rounding, ...] = ("floor", "ceil", "caffe", "cuda-convnet", "same")
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
SIDES = (11, 9, 7)


class Drawn(NamedTuple):
    """A pooling of any kind."""

    rounding: Rounding
    size: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def firsts(self, dilation: tuple[int, ...]) -> list[list[int]]:
        clipped = self.rounding == "caffe" and any(self.padding)
        rounding = "ceil" if clipped else self.rounding
        every = zip(self.size, self.window, dilation, self.stride, self.padding, strict=True)
        return [oracle.starts(h, d * (r - 1) + 1, s, pad, rounding) for h, r, d, s, pad in every]


@st.composite
def poolings(draw: st.DrawFn) -> Drawn:
    """Draw a pooling that is not refused, but for windows that do not fit."""
    axes = draw(st.integers(1, 3))
    rounding = draw(st.sampled_from(ROUNDINGS))
    window = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    widest = [each if rounding == "cuda-convnet" else 5 for each in window]
    most = [0 if rounding == "same" else each - 1 for each in window]
    return Drawn(
        rounding,
        tuple(draw(st.integers(1, 9 - 2 * axes)) for _ in range(axes)),
        window,
        tuple(draw(st.integers(1, each)) for each in widest),
        tuple(draw(st.integers(0, each)) for each in most),
    )


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def whole(*shape: int) -> Tensor:
    """Return small whole numbers, among which many are equal."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-2, 3, shape, generator=generator).double()


def close(ours: Tensor | None, exact: Tensor | oracle.Array) -> None:
    assert ours is not None
    # Float64 sums and quotients in another order.
    torch.testing.assert_close(ours, torch.as_tensor(exact), rtol=1e-13, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(drawn=poolings(), gap=st.integers(1, 2))
def test_drawn_max_poolings_equal_the_equation(drawn: Drawn, gap: int) -> None:
    dilation = (gap,) * len(drawn.size)
    firsts = drawn.firsts(dilation)
    assume(all(firsts))
    x = whole(2, 2, *drawn.size).requires_grad_()
    y = max_pool(
        *(x, drawn.window),
        stride=drawn.stride,
        padding=drawn.padding,
        dilation=dilation,
        rounding=drawn.rounding,
    )
    y.sum().backward()
    exact, dx = oracle.max_pool(x.detach().numpy(), firsts, drawn.window, dilation)
    if drawn.rounding == "caffe":
        exact = np.maximum(exact, np.finfo(np.float64).min)
    assert torch.equal(y.detach(), torch.from_numpy(exact))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.from_numpy(dx))


@settings(max_examples=60, deadline=None)
@given(drawn=poolings(), inside=st.booleans())
def test_drawn_average_poolings_equal_the_equation(drawn: Drawn, inside: bool) -> None:
    firsts = drawn.firsts((1,) * len(drawn.size))
    assume(all(firsts))
    x = draw(2, 2, *drawn.size).requires_grad_()
    y = average_pool(
        *(x, drawn.window),
        stride=drawn.stride,
        padding=drawn.padding,
        rounding=drawn.rounding,
        counts="inside" if inside else "window",
    )
    y.sum().backward()
    every = zip(drawn.size, firsts, drawn.window, drawn.stride, drawn.padding, strict=True)
    behind = {"cuda-convnet": 0, "same": 9}  # none; as far as the last window
    ends = [size + behind.get(drawn.rounding, pad) for size, _, _, _, pad in every]
    exact, dx = oracle.average_pool(x.detach().numpy(), firsts, drawn.window, ends, inside=inside)
    close(y.detach(), exact)
    close(x.grad, dx)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("window", "stride", "padding", "dilation"), [(2, 2, 0, 1), (3, 2, 1, 1), (3, 3, 1, 2)]
)
def test_floor_and_ceil_are_torchs_with_its_gradient_among_equals(
    axes: int, window: int, stride: int, padding: int, dilation: int, *, ceil: bool
) -> None:
    x = whole(2, 3, *SIDES[:axes]).requires_grad_()
    rounding: Rounding = "ceil" if ceil else "floor"
    y = max_pool(*(x, window), stride=stride, padding=padding, dilation=dilation, rounding=rounding)
    theirs = MAX[axes](x, window, stride, padding, dilation, ceil)
    assert torch.equal(y, theirs)
    dy = draw(*y.shape)
    (ours,) = torch.autograd.grad(y, x, dy)
    (same,) = torch.autograd.grad(theirs, x, dy)
    close(ours, same)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize("counts", ["window", "inside"])
@pytest.mark.parametrize(("window", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, 3, 1)])
def test_the_mean_is_torchs_with_and_without_the_padding(
    axes: int, window: int, stride: int, padding: int, *, ceil: bool, counts: str
) -> None:
    x = draw(2, 3, *SIDES[:axes]).requires_grad_()
    y = average_pool(
        *(x, window),
        stride=stride,
        padding=padding,
        rounding="ceil" if ceil else "floor",
        counts="inside" if counts == "inside" else "window",
    )
    theirs = AVERAGE[axes](x, window, stride, padding, ceil, counts == "window")
    close(y, theirs)
    dy = draw(*y.shape)
    (ours,) = torch.autograd.grad(y, x, dy)
    (same,) = torch.autograd.grad(theirs, x, dy)
    close(ours, same)


@pytest.mark.parametrize(("window", "stride", "pad"), [(3, 2, 0), (3, 2, 1), (2, 3, 0), (2, 3, 1)])
@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_caffe_is_the_kind_pooling_of_caffes_nets(
    window: int, stride: int, pad: int, size: int
) -> None:
    x = draw(2, 3, size, size + 1).float()
    pane = Pane(window, stride, pad, ceil=True, clips=pad > 0)
    panes = Panes(pane, pane)
    ours = max_pool(x, window, stride=stride, padding=pad, rounding="caffe")
    assert torch.equal(ours, MaxPooling(panes, mask=False)(x))
    ours = average_pool(x, window, stride=stride, padding=pad, rounding="caffe")
    theirs = AveragePooling(panes)(x)
    # Windows with nothing in them are 0 / 0 there where they begin just behind the picture.
    torch.testing.assert_close(ours, theirs.nan_to_num(0.0), rtol=1e-6, atol=1e-6)


def test_three_roundings_of_the_papers_pooling() -> None:
    # 3 by 3 with stride 2 over 55: 27 windows however one rounds; over 56 ceil adds a 28th.
    counts = {
        size: [
            max_pool(torch.zeros(1, 1, size), 3, stride=2, rounding=each).shape[2]
            for each in ROUNDINGS
        ]
        for size in (55, 56)
    }
    assert counts == {55: [27, 27, 27, 27, 28], 56: [27, 28, 28, 28, 28]}


def test_cuda_convnet_pads_in_front_only_and_same_as_little_as_it_can() -> None:
    x = torch.tensor([[[4.0, 1.0, 2.0, 3.0]]])
    assert max_pool(x, 2, padding=1, rounding="cuda-convnet").tolist() == [[[4, 2, 3]]]
    assert max_pool(x, 2, padding=1, rounding="floor").tolist() == [[[4, 2, 3]]]
    assert max_pool(x[..., :3], 2, padding=1, rounding="cuda-convnet").tolist() == [[[4, 2]]]
    mean = average_pool(x, 2, padding=1, rounding="cuda-convnet", counts="inside")
    assert mean.tolist() == [[[4, 1.5, 3]]]
    # Two elements in front and behind would be 6 in all for the last of 4 windows: 0 and 1 are.
    same = average_pool(x, 2, stride=1, rounding="same", counts="inside")
    assert same.tolist() == [[[2.5, 1.5, 2.5, 3]]]
    assert average_pool(x, 2, stride=1, rounding="same").tolist() == [[[2.5, 1.5, 2.5, 1.5]]]


def test_the_stride_is_the_window_unless_it_is_given() -> None:
    x = draw(2, 3, 7, 9)
    assert torch.equal(max_pool(x, (2, 3)), F.max_pool2d(x, (2, 3)))
    close(average_pool(x, (2, 3)), F.avg_pool2d(x, (2, 3)))


def test_a_number_that_is_none_is_the_largest_and_infinities_count() -> None:
    x = torch.tensor([[[1.0, torch.nan, 3.0, -torch.inf, -torch.inf, -1.0]]])
    assert str(max_pool(x, 2).tolist()) == "[[[nan, 3.0, -1.0]]]"
    assert max_pool(x[..., 3:5], 2).tolist() == [[[-torch.inf]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_halves_are_added_in_float32(dtype: torch.dtype) -> None:
    x = draw(2, 3, 40, 40).to(dtype)
    y = average_pool(x, 40)
    assert y.dtype == dtype
    # One rounding to the type at the end; 1600 sums in halves are off by 5 % of some means here.
    torch.testing.assert_close(
        *(y.double(), x.double().mean((2, 3), keepdim=True)),
        rtol=torch.finfo(dtype).eps / 2,
        atol=1e-6,
    )
    assert torch.equal(max_pool(x, 3), F.max_pool2d(x.float(), 3).to(dtype))


def test_derivatives_equal_differences_and_memory_may_lie_in_any_order() -> None:
    x = torch.randperm(2 * 2 * 5 * 7, generator=torch.Generator().manual_seed(0)).double()
    x = x.view(2, 2, 5, 7).requires_grad_()  # no two alike, which gradcheck's steps could swap
    assert torch.autograd.gradcheck(lambda x: max_pool(x, 3, stride=2, padding=1), (x,))
    assert torch.autograd.gradcheck(
        lambda x: average_pool(x, 3, stride=2, padding=1, counts="inside"), (x,)
    )
    for other in (x.contiguous(memory_format=torch.channels_last), x.mT.contiguous().mT):
        assert torch.equal(max_pool(other, 3, stride=2), F.max_pool2d(x, 3, 2))
        close(average_pool(other, 3, stride=2), F.avg_pool2d(x, 3, 2))


def test_no_pictures_give_none() -> None:
    x = torch.empty(0, 3, 7, 7)
    assert max_pool(x, 3, stride=2).shape == F.max_pool2d(x, 3, 2).shape
    assert average_pool(x, 3, stride=2).shape == F.avg_pool2d(x, 3, 2).shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": draw(3, 7)}, "x has shape (3, 7) and type torch.float64; it needs a batch"),
        ({"x": draw(1, 3, 0, 7)}, "two or three axes, of which only the batch may be 0"),
        ({"x": draw(1, 3, 7, 7).long()}, "type torch.int64; it needs a batch, channels and one"),
        (
            {"rounding": "ceiling"},
            "rounding is 'ceiling' (did you mean 'ceil'?); it must be one of",
        ),
        ({"window": 0}, "window is 0; it must be one number or 2, each at least 1"),
        ({"stride": (1, 2, 3)}, "stride is (1, 2, 3); it must be one number or 2, each at least 1"),
        ({"dilation": 0}, "dilation is 0; it must be one number or 2, each at least 1"),
        ({"padding": -1}, "padding is -1; it must be one number or 2, each at least 0"),
        ({"padding": 3}, "padding is 3, which must be below the 3 that a window reaches over"),
        ({"padding": 1, "rounding": "same"}, "padding is 1 with rounding 'same', which finds it"),
        (
            {"stride": 4, "rounding": "cuda-convnet"},
            "stride is 4 with rounding 'cuda-convnet', which refuses one above the window of 3",
        ),
        (
            {"window": (3, 8)},
            "a window that reaches over 8 does not fit into 7 padded to 7; pad more, take a small",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, object], message: str) -> None:
    arguments = {"x": draw(1, 3, 7, 7), "window": 3} | given
    with pytest.raises(ValueError, match=re.escape(message)):
        max_pool(**arguments)  # type: ignore[arg-type]


def test_an_unknown_count_is_refused() -> None:
    with pytest.raises(ValueError, match="counts is 'all'; it must be one of window, inside"):
        average_pool(draw(1, 1, 4), 2, counts="all")  # type: ignore[arg-type]
