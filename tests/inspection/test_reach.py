"""Which input pixels an output sees, against layers walked back output by output."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from alexnet.inspection.reach import (
    LONGEST_PERIOD,
    PICTURE,
    Reach,
    Windows,
    even,
    join,
    seen_by,
    through,
    whole,
)
from alexnet.text.pooling import (
    AveragePooling,
    GlobalPooling,
    MaxPooling,
    Pane,
    Panes,
    StochasticPooling,
)
from alexnet.text.spatial import Crop, Im2col
from alexnet.text.vision import Convolution
from alexnet.text.vision import Windows as ConvolutionWindows

X = torch.empty(1, 2, 40, 40, device="meta")


class Step(NamedTuple):
    """A layer along one side, on a line without ends."""

    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    transposed: bool = False

    def layer(self) -> nn.Module:
        kind = nn.ConvTranspose2d if self.transposed else nn.Conv2d
        with torch.device("meta"):
            return kind(
                2, 2, self.kernel, stride=self.stride, padding=self.pad, dilation=self.dilation
            )

    def reads(self, output: int) -> list[int]:
        """Return the inputs of an output, by the layer's equation."""
        taps = [r * self.dilation for r in range(self.kernel)]
        if not self.transposed:
            return [output * self.stride - self.pad + tap for tap in taps]
        places = [output + self.pad - tap for tap in taps]
        return [place // self.stride for place in places if place % self.stride == 0]


def walked_back(steps: Sequence[Step], output: int) -> set[int]:
    seen = {output}
    for step in reversed(steps):
        seen = {pixel for place in seen for pixel in step.reads(place)}
    return seen


def reach_of(steps: Sequence[Step]) -> Reach:
    reach = PICTURE
    for step in steps:
        reach = seen_by(step.layer(), X, reach)
    return reach


def span(reach: Reach, output: int) -> tuple[Fraction | int, Fraction | int]:
    return reach.first(output), reach.last(output)


strides, pads = st.integers(1, 4), st.integers(0, 3)
downwards = st.tuples(st.integers(1, 5), strides, pads, st.integers(1, 3)).map(lambda n: Step(*n))
# A kernel below the stride leaves outputs that read nothing, which is another test.
upwards = st.tuples(st.integers(0, 3), strides, pads).map(
    lambda n: Step(n[0] + n[1], n[1], n[2], transposed=True)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(downwards, upwards), min_size=1, max_size=4))
def test_an_output_sees_from_the_first_to_the_last_pixel_of_the_walk_back(
    steps: list[Step],
) -> None:
    reach = reach_of(steps)
    for output in range(-5, 20):
        seen = walked_back(steps, output)
        assert span(reach, output) == (min(seen), max(seen)), (steps, output)


@pytest.mark.parametrize("dilation", [2, 3, 4])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_dilated_transposed_convolution_reads_what_its_taps_reach(
    stride: int, dilation: int
) -> None:
    step = Step(7, stride, 2, dilation, transposed=True)
    reach = reach_of([step])
    for output in range(12):
        seen = walked_back([step], output)
        if seen:
            assert span(reach, output) == (min(seen), max(seen))


def test_outputs_that_read_nothing_count_as_their_neighbours() -> None:
    reach = reach_of([Step(3), Step(1, 3, transposed=True)])
    assert walked_back([Step(1, 3, transposed=True)], 1) == set()
    assert [span(reach, q) for q in range(4)] == [(0, 2), (0, 2), (0, 2), (1, 3)]
    assert reach.width == 3


def test_periods_that_are_too_long_give_even_spans_that_contain_all() -> None:
    stride = LONGEST_PERIOD + 1
    step = Step(2 * stride, stride, 5, transposed=True)
    steps = [Step(3, 2), step]
    reach = reach_of(steps)
    assert len(reach.firsts) == 1
    assert reach.stride == Fraction(2, stride)
    for output in range(0, 3 * stride, 37):
        seen = walked_back(steps, output)
        assert reach.first(output) <= min(seen)
        assert reach.last(output) >= max(seen)
    assert reach.width <= 3 + 2 * 2


def test_even_spans_contain_the_uneven_ones() -> None:
    reach = reach_of([Step(3), Step(4, 2, transposed=True)])
    spans = even(reach)
    assert spans.stride == reach.stride == Fraction(1, 2)
    for output in range(9):
        assert spans.first(output) <= reach.first(output)
        assert spans.last(output) >= reach.last(output)


@pytest.mark.parametrize(("first", "second"), [((3, 2), (5, 2)), ((4, 2), (6, 3))])
def test_blobs_that_meet_are_seen_by_what_reads_them(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    paths = [[Step(*each), Step(each[1] + 1, each[1], transposed=True)] for each in (first, second)]
    met = join([reach_of(path) for path in paths])
    for output in range(12):
        seen = set().union(*(walked_back(path, output) for path in paths))
        assert span(met, output) == (min(seen), max(seen))


def test_blobs_of_unequal_strides_give_the_larger_one_and_all_they_see() -> None:
    met = join([reach_of([Step(3, 2)]), reach_of([Step(5, pad=2)])])
    assert met == Reach((Fraction(-2),), (Fraction(2),), Fraction(2))


def test_what_reads_a_whole_side_is_the_same_for_all_outputs() -> None:
    reach = whole(reach_of([Step(3, 2, 1)]), 5)
    assert reach == Reach((Fraction(-1),), (Fraction(9),), Fraction(0))
    assert reach.width == 3 + 4 * 2
    assert through(reach, Windows(3, 2, 1)).width == reach.width
    assert whole(reach_of([Step(4, 2, transposed=True)]), 6).width == 4  # inputs -1 to 2


def test_windows_whose_stride_is_a_fraction_are_spread_evenly() -> None:
    with torch.device("meta"):
        mean = seen_by(nn.AdaptiveAvgPool2d(3), X, PICTURE)
    # 40 pixels in three windows: 0 to 13, 13 to 26, 26 to 39
    assert [span(mean, i) for i in range(3)] == [(0, 13), (13, 26), (26, 39)]
    third = Fraction(1, 3)
    assert through(PICTURE, Windows(2, third)).stride == third


COLUMNS = Pane(5, 3, 2, True, True)
CONVOLUTION = ConvolutionWindows((2, 5), (1, 3), (0, 2), (1, 2))


@pytest.mark.parametrize(
    ("layer", "width", "stride", "first"),
    [
        (MaxPooling(Panes(Pane(2, 1, 0, True, False), COLUMNS), mask=True), 5, 3, -2),
        (AveragePooling(Panes(Pane(2, 1, 0, True, False), COLUMNS)), 5, 3, -2),
        (StochasticPooling(Panes(Pane(2, 1, 0, True, False), COLUMNS)), 5, 3, -2),
        (GlobalPooling(mask=False), 40, 0, 0),
        (nn.AdaptiveAvgPool2d(1), 40, 0, 0),
        (nn.MaxPool2d((2, 3), (1, 2), (1, 0)), 3, 2, 0),
        (nn.AvgPool2d(3), 3, 3, 0),
        (Im2col(1, CONVOLUTION), 9, 3, -2),
        (Convolution(2, 2, windows=CONVOLUTION, group=1, axis=1, bias=False), 9, 3, -2),
        (
            Convolution(
                40, 2, windows=ConvolutionWindows((), (), (), ()), group=1, axis=3, bias=False
            ),
            40,
            0,
            0,
        ),
        (Crop(2, (3, 7)), 1, 1, 7),
        (nn.Conv1d(2, 2, 3, 2, 1), 3, 2, -1),
        (nn.Conv3d(2, 2, (1, 1, 5), (1, 1, 2), (0, 0, 2)), 5, 2, -2),
        (nn.ConvTranspose1d(2, 2, 4, 2), 2, Fraction(1, 2), -1),
        (nn.ConvTranspose3d(2, 2, (1, 1, 3), (1, 1, 1)), 3, 1, -2),
        (nn.ReLU(), 1, 1, 0),
    ],
)
def test_each_kind_reads_these_windows_along_the_last_axis(
    layer: nn.Module, width: int, stride: Fraction | int, first: int
) -> None:
    reach = seen_by(layer, X, PICTURE)
    assert (reach.width, reach.stride, reach.first(0)) == (width, Fraction(stride), Fraction(first))
