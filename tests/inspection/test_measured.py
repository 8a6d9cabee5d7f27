"""What the figures of measurements show."""

import numpy as np
import pytest

from alexnet.inspection.measured import Difference, Line, draw_differences, draw_race

pytest.importorskip("matplotlib")


def test_a_row_shows_its_mean_its_interval_its_seeds_and_the_papers_number() -> None:
    rows = [
        Difference("no norm", 1.5, 0.6, (1.2, 1.8), 1.4),
        Difference("no lighting", -0.2, 0.0, (-0.2,), None),
    ]
    axes = draw_differences(rows, "title").axes[0]
    drawn = {
        (line.get_marker(), tuple(map(float, line.get_xdata())))  # type: ignore[arg-type]
        for line in axes.lines
        if len(line.get_xdata())  # type: ignore[arg-type]
    }
    expected = {("o", (1.5,)), ("|", (1.2, 1.8)), ("D", (1.4,)), ("o", (-0.2,)), ("|", (-0.2,))}
    assert expected <= drawn
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no norm", "no lighting"]
    (bar,) = axes.containers
    ((start, end),) = bar.lines[2][0].get_segments()  # type: ignore[attr-defined]
    assert (start[0], end[0]) == pytest.approx((0.9, 2.1))


def test_the_race_marks_where_the_target_was_reached() -> None:
    lines = [
        Line("relu", ((1.0, 0.5), (2.0, 0.2)), 1.8),
        Line("tanh", ((1.0, 0.6), (2.0, 0.5)), None),
    ]
    axes = draw_race(lines, 0.25, "title").axes[0]
    legend = axes.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["relu: 1.8 epochs to 25%", "tanh"]
    styles = [line.get_linestyle() for line in axes.lines if line.get_label() in texts]
    assert styles == ["-", "--"]
    points = [tuple(zip(*np.array(line.get_data()), strict=True)) for line in axes.lines]
    assert ((1.8, 0.25),) in points
    assert ((1.0, 0.6), (2.0, 0.5)) in points
