"""Curves and confusion show the numbers that they are given."""

import numpy as np
import pytest
import torch

from alexnet.evaluation.metrics import Counts
from alexnet.inspection.curves import draw_confusion, draw_curves


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


@pytest.mark.parametrize("classes", [2, 1000])
def test_confusion_has_a_row_for_each_class(classes: int) -> None:
    pytest.importorskip("matplotlib")
    counts = Counts(tuple(f"class {n}" for n in range(classes)))
    p = torch.eye(classes)[[0, 1, 1]]
    counts.add(p, torch.tensor([0, 1, 0]))
    axes = draw_confusion(counts, "a run").axes[0]
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares[0, :2].tolist() == [0.5, 0.5]
    assert shares[1, :2].tolist() == [0, 1]
    assert [text.get_text() for text in axes.texts] == (["1", "1", "1"] if classes == 2 else [])
