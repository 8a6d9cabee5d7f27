"""The sizes of a convolution: against torch's own, and everything that is refused."""

import re

import pytest
import torch
from torch.nn import functional as F

from alexnet.convolution.problem import (
    DTYPES,
    Cost,
    Padding,
    PerAxis,
    Problem,
    describe,
    per_axis,
    wide,
)


def sizes(
    x: tuple[int, ...] = (2, 4, 9, 8),
    w: tuple[int, ...] = (6, 4, 3, 3),
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Problem:
    return describe(
        *(torch.empty(x), torch.empty(w)),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


@pytest.mark.parametrize("stride", [1, 2, 3, (3, 1)])
@pytest.mark.parametrize("padding", [0, 1, (2, 0), 3])
@pytest.mark.parametrize("dilation", [1, 2, (1, 3)])
def test_the_output_has_the_size_of_torchs(
    stride: PerAxis, padding: PerAxis, dilation: PerAxis
) -> None:
    problem = sizes(
        (2, 4, 11, 8), (6, 2, 3, 2), stride=stride, padding=padding, dilation=dilation, groups=2
    )
    x, w = torch.empty(problem.x_shape), torch.empty(problem.w_shape)
    theirs = F.conv2d(x, w, None, stride, padding, dilation, 2)
    assert problem.y_shape == theirs.shape
    assert problem.x_shape == (2, 4, 11, 8)
    assert problem.w_shape == (6, 2, 3, 2)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_each_count_of_axes(axes: int) -> None:
    problem = sizes((2, 3, *(9, 8, 7)[:axes]), (5, 3, *(4, 3, 2)[:axes]), stride=2, dilation=2)
    assert problem.axes == axes
    assert problem.reach == (7, 5, 3)[:axes]
    assert problem.output == (2, 2, 3)[:axes]
    assert problem.stride == problem.dilation == (2,) * axes
    assert not problem.is_plain


def test_only_a_convolution_without_stride_and_dilation_is_plain() -> None:
    assert sizes(padding=1).is_plain
    assert not sizes(stride=(1, 2)).is_plain
    assert not sizes(dilation=(2, 1)).is_plain


def test_padding_is_a_number_numbers_pairs_or_a_word() -> None:
    assert sizes(padding=2).padding == ((2, 2), (2, 2))
    assert sizes(padding=[2, 1]).padding == ((2, 2), (1, 1))
    assert sizes(padding=[(0, 1), (3, 2)]).padding == ((0, 1), (3, 2))
    assert sizes(padding=[(0, 1), (3, 2)]).padded == (10, 13)
    assert sizes(padding="valid").padding == ((0, 0), (0, 0))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_same_keeps_the_size_with_the_spare_zero_behind_as_torch_has_it(
    kernel: int, dilation: int
) -> None:
    problem = sizes((1, 1, 13), (1, 1, kernel), padding="same", dilation=dilation)
    assert problem.output == (13,)
    x, w = torch.arange(1.0, 14).view(1, 1, 13), torch.ones(1, 1, kernel)
    theirs = F.conv1d(x, w, padding="same", dilation=dilation)
    ours = F.conv1d(F.pad(x, problem.padding[0]), w, dilation=dilation)
    assert torch.equal(ours, theirs)  # sums of small whole numbers are exact


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": (2, 4)}, "x has shape (2, 4) and w (6, 4, 3, 3); both need a batch or kernels"),
        ({"x": (2, 4, 9)}, "and the same one, two or three axes behind"),
        ({"x": (2,) * 6, "w": (2,) * 6}, "the same one, two or three axes behind"),
        ({"groups": 0}, "groups is 0, which must divide the 4 channels and 6 kernels"),
        ({"groups": 3}, "groups is 3, which must divide the 4 channels and 6 kernels"),
        ({"groups": 4}, "groups is 4, which must divide the 4 channels and 6 kernels"),
        ({"groups": 2}, "w reads 4 channels, but x has 4 in 2 group(s); w must read 2"),
        ({"w": (6, 3, 3, 3)}, "w reads 3 channels, but x has 4 in 1 group(s); w must read 4"),
        ({"w": (6, 4, 0, 3)}, "w has shape (6, 4, 0, 3); every number must be at least 1"),
        ({"w": (0, 4, 3, 3)}, "w has shape (0, 4, 3, 3); every number must be at least 1"),
        ({"x": (2, 0, 9, 8), "w": (6, 0, 3, 3)}, "w has shape (6, 0, 3, 3); every number must"),
        ({"x": (2, 4, 0, 8), "padding": 3}, "x has shape (2, 4, 0, 8); only the batch may be 0"),
        (
            {"dilation": 4},
            (
                "a kernel that reaches over (9, 9) does not fit into an input of (9, 8) padded to "
                "(9, 8); pad more or take a larger input"
            ),
        ),
        ({"stride": 0}, "stride is 0; it must be one number or 2, each at least 1"),
        ({"stride": (1, 2, 3)}, "stride is (1, 2, 3); it must be one number or 2, each at least 1"),
        ({"dilation": (1, 0)}, "dilation is (1, 0); it must be one number or 2, each at least 1"),
        ({"padding": -1}, "padding is -1; it must be one number or 2, or 2 pairs (before, behind)"),
        ({"padding": [(0, 1)]}, "padding is [(0, 1)]; it must be one number or 2, or 2 pairs"),
        ({"padding": [(0, 1, 2), 3]}, "padding is [(0, 1, 2), 3]; it must be one number or 2"),
        ({"padding": [(0, -1), 3]}, "none below 0"),
        (
            {"padding": "same", "stride": 2},
            (
                "padding is 'same' with stride (2, 2); it must be numbers, 'valid', or 'same', "
                "which needs stride 1"
            ),
        ),
        ({"padding": "full"}, "padding is 'full' with stride (1, 1); it must be numbers, 'valid'"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        sizes(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "w"),
    [
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.float16),
        (torch.int64, torch.int64),
        (torch.complex64, torch.complex64),
    ],
)
def test_types_that_differ_or_are_not_real_are_refused(x: torch.dtype, w: torch.dtype) -> None:
    message = f"x is {x} and w is {w}; both must be the same of float64, float32, bfloat16, float16"
    a, b = torch.empty(1, 1, 3, dtype=x), torch.empty(1, 1, 3, dtype=w)
    with pytest.raises(ValueError, match=re.escape(message)):
        describe(a, b, stride=1, padding=0, dilation=1, groups=1)


def test_one_number_stands_for_every_axis() -> None:
    assert per_axis("stride", 2, 3, least=1) == (2, 2, 2)
    assert per_axis("stride", [3, 1], 2, least=1) == (3, 1)


def test_halves_are_summed_in_float32() -> None:
    sums = [wide(dtype) for dtype in DTYPES]
    assert sums == [torch.float64, torch.float32, torch.float32, torch.float32]


def test_costs_add_up_but_what_is_held_is_held_in_turn() -> None:
    assert Cost(1, 2, 3, 40) + Cost(10, 20, 30, 4) == Cost(11, 22, 33, 40)
