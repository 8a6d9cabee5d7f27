"""Counts of errors, against a count by hand in numpy."""

import json
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.evaluation.metrics import Counts

NAMES = tuple("abcdefg")


def counts_of(rows: list[list[float]], labels: list[int]) -> Counts:
    counts = Counts(NAMES[: len(rows[0])])
    counts.add(torch.tensor(rows), torch.tensor(labels))
    return counts


def answers(p: NDArray[np.float64]) -> list[int]:
    """Return the classes of one picture, best first; of equals the first class first."""
    return sorted(range(len(p)), key=lambda j: (-p[j], j))


def random_pictures(count: int, *, classes: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return probabilities with many ties, and labels."""
    random = np.random.default_rng(seed)
    p = random.integers(1, 4, (count, classes)).astype(np.float64)
    p /= p.sum(1, keepdims=True)
    return torch.from_numpy(p), torch.from_numpy(random.integers(0, classes, count))


def test_the_counts_equal_a_count_by_hand() -> None:
    p, labels = random_pictures(500)
    counts = Counts(NAMES)
    counts.add(p, labels)
    first, fifth, confusion = 0, 0, np.zeros((7, 7), dtype=int)
    for row, label in zip(p.numpy(), labels.tolist(), strict=True):
        order = answers(row)
        first += order[0] != label
        fifth += label not in order[:5]
        confusion[label, order[0]] += 1
    assert (counts.top1_errors, counts.top5_errors, counts.seen) == (first, fifth, 500)
    assert 0 < fifth < first < 500
    assert counts.confusion.tolist() == confusion.tolist()
    loss = -np.log(p.numpy()[np.arange(500), labels.numpy()]).mean()
    assert counts.loss == pytest.approx(loss, rel=1e-12)


def test_a_tie_goes_to_the_class_that_comes_first() -> None:
    tied = [0.4, 0.4, 0.2]
    assert counts_of([tied], [0]).top1_errors == 0
    assert counts_of([tied], [1]).top1_errors == 1
    even = [1 / 7] * 7
    assert [counts_of([even], [label]).top5_errors for label in range(7)] == [0] * 5 + [1] * 2


@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize(
    "row",
    [[math.nan] * 3, [math.nan, 0.5, 0.5], [0.5, math.nan, 0.5], [math.inf, 0.0, 0.0]],
)
def test_an_answer_that_is_not_finite_is_wrong_whatever_the_class(
    row: list[float], label: int
) -> None:
    counts = counts_of([row, [0.2, 0.3, 0.5]], [label, 2])
    assert (counts.seen, counts.top1_errors, counts.top5_errors) == (2, 1, 1)
    assert counts.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert counts.unanswered.tolist() == [int(label == j) for j in range(3)]
    per_class = counts.to_json()["per_class"]
    assert per_class[NAMES[label]]["top1_errors"] == 1
    assert sum(entry["pictures"] for entry in per_class.values()) == 2


def test_with_five_classes_or_fewer_no_finite_answer_is_a_top5_error() -> None:
    for classes in (1, 2, 5):
        p, labels = random_pictures(50, classes=classes)
        counts = Counts(NAMES[:classes])
        counts.add(p, labels)
        assert counts.top5_errors == 0
        assert counts.top1_errors == int((p.argmax(1) != labels).sum())


def test_a_probability_of_zero_gives_a_finite_loss() -> None:
    assert counts_of([[1.0, 0.0]], [1]).loss == pytest.approx(-math.log(1e-30))


def test_the_order_and_the_size_of_batches_are_no_matter() -> None:
    p, labels = random_pictures(101)
    whole, parts = Counts(NAMES), Counts(NAMES)
    whole.add(p, labels)
    order = torch.randperm(101, generator=torch.Generator().manual_seed(0))
    for indices in order.split(7):  # the last batch has 3
        parts.add(p[indices], labels[indices])
    assert parts.confusion.equal(whole.confusion)
    assert (parts.top1_errors, parts.top5_errors) == (whole.top1_errors, whole.top5_errors)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)  # a float64 sum in another order


def test_nothing_seen_is_no_error_and_no_division_by_zero() -> None:
    counts = Counts(("a", "b"))
    counts.add(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert (counts.seen, counts.top1_errors, counts.loss, counts.error(0)) == (0, 0, 0.0, 0.0)


def test_the_json_has_counts_shares_classes_and_confusion() -> None:
    rows = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]
    found = json.loads(json.dumps(counts_of(rows, [0, 0, 1, 2]).to_json()))
    assert found.pop("loss") == pytest.approx(-np.log([0.7, 0.1, 0.6, 0.6]).mean())
    assert found == {
        "pictures": 4,
        "top1_errors": 1,
        "top5_errors": 0,
        "top1_error": 0.25,
        "top5_error": 0.0,
        "per_class": {
            "a": {"pictures": 2, "top1_errors": 1},
            "b": {"pictures": 1, "top1_errors": 0},
            "c": {"pictures": 1, "top1_errors": 0},
        },
        "confusion": [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
    }
