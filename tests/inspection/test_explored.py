"""Figures of a data set: the bars are the counts, the ramps the principal colours."""

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.data.explore import Colours
from alexnet.data.statistics import Statistics
from alexnet.inspection.explored import draw_class_sizes, draw_colours, draw_picture_sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

pytest.importorskip("matplotlib")


def steps(axes: "Axes") -> NDArray[np.float64]:
    """Return the heights of the first steps in axes."""
    from matplotlib.patches import StepPatch

    patch = axes.patches[0]
    assert isinstance(patch, StepPatch)
    return np.asarray(patch.get_data()[0], np.float64)


def test_up_to_forty_classes_have_a_bar_in_each_set_the_largest_first() -> None:
    sizes = np.array([[3, 1], [9, 0], [5, 2]])
    (axes,) = draw_class_sizes(("a", "b", "c"), sizes, ["train", "val"], "a title").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "c", "a"]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[9, 5, 3], [0, 2, 1]]
    legend = axes.get_legend()
    assert legend is not None
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["train, 17 pictures", "val, 3 pictures"]


def test_of_more_classes_the_sizes_are_a_line_and_the_ends_are_named() -> None:
    sizes = np.arange(100)[:, None]
    names = [f"class {number}" for number in range(100)]
    line, largest, smallest = draw_class_sizes(names, sizes, [""], "a title").axes
    assert steps(line).tolist() == list(range(99, -1, -1))
    assert line.get_yscale() == "symlog"
    assert [label.get_text() for label in line.get_yticklabels()][:4] == ["0", "1", "2", "5"]
    first, last = (
        [label.get_text() for label in axes.get_yticklabels()] for axes in (largest, smallest)
    )
    assert (first[0], first[-1]) == ("class 99", "class 88")
    assert (last[0], last[-1]) == ("class 11", "class 0")


def test_equal_classes_are_on_a_straight_axis() -> None:
    names = [f"class {number}" for number in range(50)]
    line, *_ = draw_class_sizes(names, np.full((50, 1), 500), [""], "a title").axes
    assert line.get_yscale() == "linear"


def test_widths_and_heights_are_marks_by_their_number() -> None:
    from matplotlib.collections import PathCollection

    sides = np.array([[375, 500]] * 3 + [[500, 333]])
    both, shorter, shape = draw_picture_sizes(sides, crop=227, size=256, title="a title").axes
    marks = both.collections[0]
    assert np.asarray(marks.get_offsets()).tolist() == [[500, 375], [333, 500]]
    assert isinstance(marks, PathCollection)
    assert np.asarray(marks.get_sizes()).tolist() == [6 + 150, 6 + 50]
    assert both.get_xscale() == "linear"
    corner = np.asarray(both.lines[0].get_xydata())
    assert corner[1].tolist() == [227, 227]
    assert steps(shorter).sum() == 4
    assert steps(shape).sum() == 4


def test_sizes_far_apart_are_on_logarithmic_axes_with_plain_numbers() -> None:
    sides = np.array([[20, 20], [2000, 3000]])
    both, shorter, shape = draw_picture_sizes(sides, crop=227, size=256, title="a title").axes
    assert [axes.get_xscale() for axes in (both, shorter, shape)] == ["log", "log", "linear"]
    ticks = [label.get_text() for label in both.get_xticklabels()]
    assert ticks == ["20", "50", "100", "200", "500", "1000", "2000"]


def test_one_picture_is_enough_for_all_figures() -> None:
    figure = draw_picture_sizes(np.array([[28, 28]]), crop=28, size=28, title="a title")
    assert steps(figure.axes[1]).sum() == 1


@pytest.mark.parametrize("lighting", [0.0, 0.1])
def test_ramps_go_two_deviations_to_either_side(lighting: float) -> None:
    vectors = torch.eye(3)
    found = Statistics(
        torch.full((4, 4, 3), 7.0),
        torch.tensor([100.0, 90.0, 80.0]),
        torch.tensor([40.0, 20.0, 10.0]),
        vectors,
    )
    levels = np.zeros((3, 256), np.int64)
    levels[:, 128], levels[:, 0] = 1, 3
    deviation = torch.full((4, 4, 3), 5.0)
    colours = Colours(found, deviation, torch.full((3,), 5.0), levels)
    figure = draw_colours(colours, lighting=lighting, title="a title")
    mean, spread, shares, *rest = figure.axes
    assert np.asarray(mean.images[0].get_array()).min() == 7
    assert np.asarray(spread.images[0].get_array()).max() == 5
    assert steps(shares)[[0, 32]].tolist() == [0.75, 0.25]
    ramps = [axes for axes in rest if axes.get_title().startswith("principal colour")]
    ends = [np.asarray(axes.images[0].get_array())[0, [0, -1]].tolist() for axes in ramps]
    assert ends == [
        [[20, 90, 80], [180, 90, 80]],
        [[100, 50, 80], [100, 130, 80]],
        [[100, 90, 60], [100, 90, 100]],
    ]
    assert ramps[0].get_title().endswith("(1.00, 0.00, 0.00), deviation 40.0, eigenvalue 1,600")
    assert len(ramps[0].lines) == (4 if lighting else 0)
