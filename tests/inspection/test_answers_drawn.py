"""Figure 4: bars in order, and neighbours of other classes marked."""

import numpy as np
import pytest
import torch

from alexnet.inspection.answers_drawn import (
    Shown,
    draw_answers,
    draw_neighbours,
)

GRAY = np.full((4, 4, 3), 128, dtype=np.uint8)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_bars_are_the_likeliest_classes_in_order(classes: int) -> None:
    pytest.importorskip("matplotlib")
    names = [f"class {n}" for n in range(classes)]
    p = torch.linspace(1, 2, classes)[None]
    figure = draw_answers([Shown(GRAY, 0)], p / p.sum(), names, "a net")
    texts = [text.get_text().split("  ")[0] for axes in figure.axes for text in axes.texts]
    assert texts == names[::-1][:5]


def test_neighbours_of_another_class_are_marked() -> None:
    pytest.importorskip("matplotlib")
    rows = [(Shown(GRAY, 0), [(Shown(GRAY, 0), 1.5), (Shown(GRAY, 1), 2.5)])]
    axes = draw_neighbours(rows, ("cat", "dog"), "a net").axes
    assert [each.get_xlabel() for each in axes] == ["cat", "cat\n1.5", "* dog\n2.5"]
