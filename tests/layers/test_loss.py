import numpy as np
import torch

from alexnet.layers.loss import NOBODY, cross_entropy_sum

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0], [9.0, 9.0, 9.0]])


def by_hand(labels: list[int], smoothing: float) -> float:
    total = 0.0
    for row, label in zip(LOGITS.double().numpy(), labels, strict=True):
        logs = row - np.log(np.exp(row).sum())
        target = np.full(3, smoothing / 3) + (1 - smoothing) * np.eye(3)[label]
        total -= float(target @ logs)
    return total


def test_the_loss_is_the_sum_over_pictures() -> None:
    for smoothing in (0.0, 0.1):
        loss = cross_entropy_sum(LOGITS, torch.tensor([0, 2, 1]), smoothing)
        np.testing.assert_allclose(float(loss), by_hand([0, 2, 1], smoothing), rtol=1e-6)


def test_rows_of_nobody_count_for_nothing() -> None:
    labels = torch.tensor([0, 2, NOBODY])
    first = cross_entropy_sum(LOGITS[:2], labels[:2], 0.1)
    assert cross_entropy_sum(LOGITS, labels, 0.1) == first


def test_halves_are_widened_and_doubles_stay() -> None:
    labels = torch.tensor([0, 2, 1])
    assert cross_entropy_sum(LOGITS.bfloat16(), labels).dtype == torch.float32
    exact = cross_entropy_sum(LOGITS.double(), labels)
    np.testing.assert_allclose(float(exact), by_hand([0, 2, 1], 0.0), rtol=1e-14)
