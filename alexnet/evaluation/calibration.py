"""Whether probabilities mean what they say: that of answers given at 80 % four in five are right.

Source: Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern Neural Networks, sections 2
and 4.2: expected calibration error over 15 bins, and a temperature for all logits. The logarithms
of the (mean) probabilities stand for the logits, from which they differ by a constant per picture.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alexnet.evaluation.ensemble import check_enough, halves

BINS = 15
COLDEST, HOTTEST = 0.01, 100.0
"""The limits of a temperature; a set without one error has no best one above zero."""


@dataclass(frozen=True)
class Bin:
    """The pictures whose first answer has a probability in (low, high]."""

    low: float
    high: float
    pictures: int
    confidence: float
    """Mean probability of the first answers, 0 without pictures."""
    accuracy: float
    """Share of them that is right, 0 without pictures."""


@dataclass(frozen=True)
class Calibration:
    """How far probabilities and accuracy are apart."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error: the mean over pictures of |accuracy - confidence| of a bin."""
    temperature: float
    """What logits should be divided by, fitted on all pictures; above 1 the net is too sure."""
    error_after: float
    """The error when each half of the pictures has the temperature of the other half."""
    loss_after: float
    """Mean of -ln(probability of the true class), with the same temperatures."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "error": self.error,
            "temperature": self.temperature,
            "error_after": self.error_after,
            "loss_after": self.loss_after,
            "bins": [vars(each) for each in self.bins],
        }


def reliability(probabilities: Tensor, labels: Tensor, *, bins: int = BINS) -> tuple[Bin, ...]:
    """Sort the first answers into equal bins of probability.

    Shapes:  probabilities (N, C), labels (N,).
    """
    confidence, answers = probabilities.double().max(1)
    right = (answers == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    zeros = torch.zeros(bins, dtype=torch.float64)
    count = torch.bincount(place, minlength=bins)
    sums = (zeros.index_add(0, place, each) / count.clamp(min=1) for each in (confidence, right))
    rows = zip(count.tolist(), *(each.tolist() for each in sums), strict=True)
    return tuple(Bin(i / bins, (i + 1) / bins, *row) for i, row in enumerate(rows))


def expected_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error.

    ECE = sum over bins of (pictures / N) * |accuracy - confidence|
    """
    total = sum(each.pictures for each in bins)
    gaps = (each.pictures * abs(each.accuracy - each.confidence) for each in bins)
    return math.fsum(gaps) / max(total, 1)


def with_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """Return softmax(ln p / temperature), in float64."""
    return (_logarithms(probabilities) / temperature).softmax(1)


def fit_temperature(probabilities: Tensor, labels: Tensor) -> float:
    """Return the temperature with the smallest log loss, by bisection.

    With b = 1 / temperature and z = ln p the loss is convex in b, and its slope is

        mean over n of  sum over c of softmax(b z)[n, c] * z[n, c]  -  z[n, label[n]]

    Shapes:  probabilities (N, C), labels (N,).
    """
    z = _logarithms(probabilities)
    own = z.gather(1, labels[:, None])[:, 0]
    low, high = math.log(1 / HOTTEST), math.log(1 / COLDEST)
    for _ in range(40):  # the interval of ln b becomes 1e-11 wide
        middle = (low + high) / 2
        slope = (((z * math.exp(middle)).softmax(1) * z).sum(1) - own).mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def calibrate(probabilities: Tensor, labels: Tensor) -> Calibration:
    """Measure calibration before and after a temperature.

    Shapes:  probabilities (N, C) finite, labels (N,).
    Raises:  ValueError for fewer than two pictures.
    """
    check_enough(len(labels))
    after = torch.empty(probabilities.shape, dtype=torch.float64)
    even, odd = halves(len(labels))
    for measured, fitted in ((even, odd), (odd, even)):
        temperature = fit_temperature(probabilities[fitted], labels[fitted])
        after[measured] = with_temperature(probabilities[measured], temperature)
    bins = reliability(probabilities, labels)
    own = after.gather(1, labels[:, None]).clamp(min=1e-30)
    return Calibration(
        bins,
        expected_error(bins),
        fit_temperature(probabilities, labels),
        expected_error(reliability(after, labels)),
        -float(own.log().mean()),
    )


def _logarithms(probabilities: Tensor) -> Tensor:
    return probabilities.double().clamp(min=1e-30).log()
