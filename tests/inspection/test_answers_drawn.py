"""Figure 4: bars in order, and neighbours as a plain search finds them."""

import numpy as np
import pytest
import torch

from alexnet.inspection.answers_drawn import (
    Shown,
    draw_answers,
    draw_neighbours,
    hidden,
    neighbours,
)
from tests.conftest import TINY

GRAY = np.full((4, 4, 3), 128, dtype=np.uint8)


def test_neighbours_are_the_nearest_of_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    one, others = rng.normal(size=(2, 5)), rng.normal(size=(9, 5))
    distances, order = neighbours(torch.from_numpy(one), torch.from_numpy(others), 3)
    for row in range(2):
        away = np.sqrt(((others - one[row]) ** 2).sum(1))
        assert order[row].tolist() == np.argsort(away)[:3].tolist()
        np.testing.assert_allclose(distances[row].numpy(), np.sort(away)[:3], rtol=1e-6)


def test_the_last_hidden_layer_is_what_the_logits_are_made_of() -> None:
    net = TINY.build(classes=3)
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.randn(3, 3, 67, 67)
    found = hidden(net, x.split(2))
    layer = net.get_submodule("fc8")
    with torch.no_grad():
        torch.testing.assert_close(layer(found), net(x), rtol=1e-4, atol=1e-6)


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
