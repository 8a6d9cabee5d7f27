"""Curves and confusion show the numbers that they are given."""

import numpy as np
import pytest
import torch

from alexnet.evaluation.metrics import Counts
from alexnet.inspection.curves import draw_confusion, draw_curves, most_confused


def test_curves_show_the_journal() -> None:
    pytest.importorskip("matplotlib")
    journal = [
        {"kind": "train", "step": 5, "loss": 2.0, "lr": 0.1},
        {"kind": "train", "step": 10, "loss": 1.0, "lr": 0.05},
        {"kind": "validation", "step": 10, "loss": 1.5, "top1_error": 0.5, "top5_error": 0.25},
    ]
    figure = draw_curves(journal, "a run")
    lines = {
        line.get_label(): np.asarray(line.get_ydata()).tolist()
        for axes in figure.axes
        for line in axes.lines
    }
    assert lines["training"] == [2.0, 1.0]
    assert lines["validation"] == [1.5]
    assert lines["top-1 error"] == [50]
    assert lines["top-5 error"] == [25]


def test_a_journal_without_training_is_refused() -> None:
    with pytest.raises(ValueError, match="no line of training yet, and so no curves"):
        draw_curves([{"kind": "data", "step": 0}], "a run")


def test_a_run_of_few_lines_shows_its_points_and_epochs() -> None:
    pytest.importorskip("matplotlib")
    line = {"kind": "train", "step": 30, "loss": 2.0, "lr": 0.1, "epoch": 1.5}
    figure = draw_curves([line], "a run")
    axes = figure.axes
    assert [axes[0].lines[0].get_marker(), axes[2].lines[0].get_marker()] == ["o", "o"]
    (above,) = (each for each in axes[0].child_axes if each.get_xlabel() == "epochs")
    figure.draw_without_rendering()
    low, high = above.get_xlim()
    assert (low, high) == pytest.approx((0, 1.12 * 1.5))
    many = [{**line, "step": step} for step in range(1, 8)]
    assert draw_curves(many, "a run").axes[0].lines[0].get_marker() in ("", "None")


def test_a_rollback_is_marked_and_named_once() -> None:
    pytest.importorskip("matplotlib")
    train = [{"kind": "train", "step": step, "loss": 2.0, "lr": 0.1} for step in (1, 9)]
    back = [{"kind": "rollback", "step": step} for step in (4, 6)]
    loss = draw_curves([*train, *back], "a run").axes[0]
    legend = loss.get_legend()
    assert legend is not None
    assert [each.get_text() for each in legend.get_texts()] == [
        "training",
        "validation",
        "rolled back",
    ]


def counts_of(classes: int, pairs: list[tuple[int, int]]) -> Counts:
    """Count pictures of a true class and an answer each."""
    counts = Counts(tuple(f"class {n}" for n in range(classes)))
    true, answers = (list(each) for each in zip(*pairs, strict=True))
    counts.add(torch.eye(classes)[answers], torch.tensor(true))
    return counts


def test_confusion_has_a_row_for_each_class() -> None:
    pytest.importorskip("matplotlib")
    axes = draw_confusion(counts_of(2, [(0, 0), (1, 1), (0, 1)]), "a run").axes[0]
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares.tolist() == [[0.5, 0.5], [0, 1]]
    assert [text.get_text() for text in axes.texts] == ["1", "1", "1"]


def test_of_many_classes_those_most_taken_for_each_other_are_shown_and_it_is_said() -> None:
    pytest.importorskip("matplotlib")
    mistakes = [(7, 900)] * 3 + [(900, 7)] * 2 + [(5, 5)] * 9 + [(7, 33), (7, 7)]
    spread = [(100 + n, 500 + n) for n in range(30)]
    figure = draw_confusion(counts_of(1000, mistakes + spread), "a run")
    assert figure.get_suptitle().replace("\n", " ") == (
        "a run. Of 1,000 classes the 20 most taken for each other"
    )
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:3] == ["class 7", "class 33", "class 100"]  # by their numbers, not by errors
    assert names[-1] == "class 900"
    assert len(names) == 20
    assert [text.get_text() for text in axes.get_xticklabels()] == [*names, "another class"]
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares[0, [0, 1, 19, 20]].tolist() == [0.2, 0.2, 0.6, 0]


def test_the_most_confused_are_those_of_the_largest_cells() -> None:
    cells = np.diag([5, 0, 9, 7, 0])
    cells[3, 1], cells[0, 2] = 4, 2
    assert most_confused(cells, 2) == [1, 3]
    assert most_confused(cells, 3) == [0, 1, 3]
    assert most_confused(cells, 5) == [0, 1, 2, 3]  # class 4 has no picture
