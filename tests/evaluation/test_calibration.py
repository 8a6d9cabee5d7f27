"""Calibration by numpy's histogram, and temperatures that are known beforehand."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.evaluation.calibration import (
    calibrate,
    expected_error,
    fit_temperature,
    reliability,
    with_temperature,
)


def true_answers(count: int, *, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Return logits and labels that are drawn from their softmax: calibrated by construction."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (count, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = [random.choice(classes, p=row) for row in p]
    return torch.from_numpy(logits), torch.tensor(labels)


def test_the_bins_are_those_of_a_histogram() -> None:
    logits, labels = true_answers(700)
    p = logits.softmax(1)
    bins = reliability(p, labels)
    sure, right = p.max(1).values.numpy(), (p.argmax(1) == labels).numpy()
    edges = np.linspace(0, 1, 16)
    place = np.digitize(sure, edges, right=True) - 1
    error = 0.0
    for i, each in enumerate(bins):
        inside = place == i
        assert each.pictures == inside.sum()
        assert (each.low, each.high) == pytest.approx((edges[i], edges[i + 1]))
        if inside.any():
            assert each.confidence == pytest.approx(sure[inside].mean())
            assert each.accuracy == pytest.approx(right[inside].mean())
            error += inside.sum() / 700 * abs(sure[inside].mean() - right[inside].mean())
    assert expected_error(bins) == pytest.approx(error, rel=1e-12)
    assert expected_error(bins) < 0.06  # true by construction, up to chance


def test_an_edge_belongs_to_the_bin_below_and_one_to_the_last() -> None:
    p = torch.tensor([[0.6, 0.4], [0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)
    bins = reliability(p, torch.tensor([0, 1, 0]), bins=10)
    assert [each.pictures for each in bins] == [0, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    assert [bins[i].accuracy for i in (4, 5, 9)] == [0, 1, 1]
    assert expected_error(bins) == pytest.approx((0.5 + 0.4 + 0) / 3)
    assert expected_error(()) == 0


def test_the_temperature_of_answers_that_were_made_too_sure_is_found() -> None:
    logits, labels = true_answers(4000)
    fitted = fit_temperature(logits.softmax(1), labels)
    assert fitted == pytest.approx(1, abs=0.06)
    for times in (0.5, 3.0):
        sure = (times * logits).softmax(1)
        assert fit_temperature(sure, labels) == pytest.approx(times * fitted, rel=1e-6)
        torch.testing.assert_close(with_temperature(sure, times), logits.softmax(1))


def test_a_temperature_makes_too_sure_answers_true_on_pictures_it_was_not_fitted_on() -> None:
    logits, labels = true_answers(2000)
    found = calibrate((3 * logits).softmax(1), labels)
    assert found.error > 0.15
    assert found.error_after < 0.05
    wanted = -logits.log_softmax(1).gather(1, labels[:, None]).mean()
    assert found.loss_after == pytest.approx(float(wanted), abs=0.01)
    written = json.loads(json.dumps(found.to_json()))
    assert sum(each["pictures"] for each in written["bins"]) == 2000
    assert written["temperature"] == found.temperature


def test_without_an_error_the_temperature_is_the_coldest() -> None:
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    assert fit_temperature(p, torch.tensor([0, 0])) == pytest.approx(0.01, rel=1e-6)
    with pytest.raises(ValueError, match=r"^1 pictures are too few"):
        calibrate(p[:1], torch.tensor([0]))
