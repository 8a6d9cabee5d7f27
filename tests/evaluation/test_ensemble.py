"""Mixtures of nets: the fitted weights against a search over all weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.evaluation.ensemble import alike, fit_weights, halves, mix, mix_fitted


def answers(count: int, skills: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Return probabilities of nets that differ in how well they know 4 classes, and labels."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, count)
    logits = random.normal(0, 1, (len(skills), count, 4))
    for net, skill in enumerate(skills):
        logits[net, np.arange(count), labels] += skill
    return torch.from_numpy(logits).softmax(2).float(), torch.from_numpy(labels)


def loss(p: Tensor, labels: Tensor) -> float:
    return -float(p.double().gather(1, labels[:, None]).log().mean())


def test_a_mixture_is_the_weighted_mean() -> None:
    p, _ = answers(5, (1.0, 0.0))
    found = mix(p, torch.tensor([0.25, 0.75]))
    np.testing.assert_allclose(found, 0.25 * p[0].numpy() + 0.75 * p[1].numpy(), rtol=1e-6)
    assert alike(5).tolist() == [0.2] * 5


def test_the_fitted_weights_have_the_smallest_loss_of_a_fine_grid() -> None:
    p, labels = answers(400, (1.0, 1.6, 0.2))
    weights = fit_weights(p, labels)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    grid = [(i / 50, j / 50, 1 - (i + j) / 50) for i in range(51) for j in range(51 - i)]
    losses = [loss(mix(p, torch.tensor(w, dtype=torch.float64)), labels) for w in grid]
    best = grid[int(np.argmin(losses))]
    assert loss(mix(p.double(), weights), labels) <= min(losses) + 1e-9
    np.testing.assert_allclose(weights, best, atol=0.021)  # the grid's step
    assert loss(mix(p, weights), labels) < loss(mix(p, alike(3)), labels)


def test_a_net_that_knows_nothing_gets_no_weight() -> None:
    p, labels = answers(300, (2.5, 0.0))
    p[1] = 0.25
    p[0, torch.arange(300), labels] = 0.9
    weights = fit_weights(p, labels)
    assert float(weights[0]) == pytest.approx(1, abs=1e-4)


def test_no_picture_has_a_part_in_its_own_weights() -> None:
    p, labels = answers(60, (1.0, 1.2))
    found = mix_fitted(p, labels)
    even, odd = halves(60)
    assert even.tolist() == list(range(0, 60, 2))
    expected = mix(p[:, even], fit_weights(p[:, odd], labels[odd]))
    torch.testing.assert_close(found[even], expected)
    changed = labels.clone()
    changed[even] = (changed[even] + 1) % 4
    torch.testing.assert_close(mix_fitted(p, changed)[even], found[even])
    assert not torch.equal(mix_fitted(p, changed)[odd], found[odd])
    with pytest.raises(ValueError, match=r"^1 pictures are too few to fit on one half of them"):
        mix_fitted(p[:, :1], labels[:1])
