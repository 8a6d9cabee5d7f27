"""Evaluation over views and batches, against the same done by hand in numpy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing
from alexnet.data.loader import Batch
from alexnet.data.statistics import Statistics
from alexnet.evaluation.evaluate import evaluate, probabilities
from alexnet.evaluation.metrics import Counts
from alexnet.layers.dropout import Dropout

SIDE, CROP, CLASSES = 12, 9, 6
BORDER, CENTRE = 3, 1


class Linear(nn.Module):
    """logits = w . flattened picture + b, with dropout that only training feels."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = Dropout(0.5, scaled="training")
        self.fc = nn.Linear(3 * CROP * CROP, CLASSES)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.fc.weight.normal_(0, 0.004, generator=generator)
            self.fc.bias.normal_(0, 0.1, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.drop(x.flatten(1)))
        return y


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)


def preprocessing() -> Preprocessing:
    mean_image = 127 + 20 * torch.randn(SIDE, SIDE, 3, generator=torch.Generator().manual_seed(2))
    statistics = Statistics(mean_image, mean_image.mean((0, 1)), torch.ones(3), torch.eye(3))
    return Preprocessing(statistics, picture_size=SIDE, crop_size=CROP)


def softmax_by_hand(
    net: Linear, views: Sequence[tuple[int, int, bool]], x: Tensor
) -> NDArray[np.float64]:
    """Return softmax of every view, (views, N, classes)."""
    mean = preprocessing().statistics.mean_image.numpy()
    weight, bias = (p.detach().numpy().astype(np.float64) for p in net.fc.parameters())
    found = []
    for top, left, mirrored in views:
        window = np.s_[:, top : top + CROP, left : left + CROP]
        seen = (x.numpy().astype(np.float64) - mean)[window]
        seen = seen[:, :, ::-1] if mirrored else seen
        logits = seen.transpose(0, 3, 1, 2).reshape(len(x), -1) @ weight.T + bias
        powers = np.exp(logits - logits.max(1, keepdims=True))
        found.append(powers / powers.sum(1, keepdims=True))
    return np.stack(found)


CORNERS = [(0, 0), (0, BORDER), (CENTRE, CENTRE), (BORDER, 0), (BORDER, BORDER)]
TEN = [(top, left, mirrored) for mirrored in (False, True) for top, left in CORNERS]


def batches(x: Tensor, labels: Tensor, size: int) -> list[Batch]:
    indices = torch.arange(len(x))
    return [Batch(x[part], labels[part], part, int(part[-1]) + 1) for part in indices.split(size)]


def test_one_view_is_softmax_of_the_centre() -> None:
    net, x = Linear(), pictures(5)
    expected = softmax_by_hand(net, [(CENTRE, CENTRE, False)], x)[0]
    p = probabilities(net, x, preprocessing())
    # float32 sums of 243 products of about 100 * 0.004
    np.testing.assert_allclose(p.numpy(), expected, rtol=1e-4)


def test_ten_views_are_the_mean_of_softmax_and_not_of_logits() -> None:
    net, x = Linear(), pictures(5)
    softmax = softmax_by_hand(net, TEN, x)
    p = probabilities(net, x, preprocessing(), views=10).numpy()
    np.testing.assert_allclose(p, softmax.mean(0), rtol=1e-4)
    powers = np.exp(np.log(softmax).mean(0))
    of_logits = powers / powers.sum(1, keepdims=True)
    assert abs(p - of_logits).max() > 0.01
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)


def test_dropout_is_off_while_testing_even_if_the_net_was_training() -> None:
    net, x = Linear().train(), pictures(5)
    first = probabilities(net, x, preprocessing())
    assert probabilities(net, x, preprocessing()).equal(first)
    assert not net.training


def test_no_gradient_is_kept() -> None:
    assert not probabilities(Linear(), pictures(1), preprocessing()).requires_grad


def test_bfloat16_is_close_and_its_softmax_is_float32() -> None:
    net, x = Linear(), pictures(5)
    p = probabilities(net, x, preprocessing(), dtype=torch.bfloat16)
    exact = probabilities(net, x, preprocessing())
    assert p.dtype == torch.float32
    assert not p.equal(exact)
    # bfloat16 keeps 8 bits: 0.4 % of logits of about 5
    torch.testing.assert_close(p, exact, rtol=0.1, atol=0.005)


@pytest.mark.parametrize(("views", "windows"), [(1, [(CENTRE, CENTRE, False)]), (10, TEN)])
@pytest.mark.parametrize("size", [23, 10, 1])
def test_every_picture_is_counted_once_also_in_a_last_batch_that_is_partial(
    size: int, views: int, windows: list[tuple[int, int, bool]]
) -> None:
    net, x = Linear(), pictures(23)
    labels = torch.arange(23) % CLASSES
    counts = Counts(tuple("abcdef"))
    found = evaluate(net, batches(x, labels, size), preprocessing(), counts, views=views)
    assert found is counts
    p = softmax_by_hand(net, windows, x).mean(0)
    order = np.argsort(-p, 1)
    wrong = order[:, 0] != labels.numpy()
    outside = (order[:, :5] != labels.numpy()[:, None]).all(1)
    assert (counts.seen, counts.top1_errors, counts.top5_errors) == (23, wrong.sum(), outside.sum())
    assert 0 < counts.top5_errors < counts.top1_errors < 23
    loss = -np.log(p[np.arange(23), labels.numpy()]).mean()
    assert counts.loss == pytest.approx(loss, rel=1e-5)


def test_a_batch_whose_pictures_were_all_bad_is_passed_over() -> None:
    net, x = Linear(), pictures(4)
    empty = Batch(x[:0], torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 4)
    full = batches(x, torch.arange(4), 4)
    counts = evaluate(net, [empty, *full, empty], preprocessing(), Counts(tuple("abcdef")))
    assert counts.seen == 4
    assert counts.confusion.sum(1).tolist() == [1, 1, 1, 1, 0, 0]


def test_a_mean_value_and_a_divisor_reach_the_net() -> None:
    net, x = Linear(), pictures(3)
    prepared = replace(preprocessing(), subtract="mean-value", divide_by=2.0)
    window = x.numpy()[:, CENTRE : CENTRE + CROP, CENTRE : CENTRE + CROP].astype(np.float64)
    seen = (window - prepared.statistics.mean_value.numpy()) / 2
    weight, bias = (p.detach().numpy().astype(np.float64) for p in net.fc.parameters())
    powers = np.exp(seen.transpose(0, 3, 1, 2).reshape(3, -1) @ weight.T + bias)
    p = probabilities(net, x, prepared).numpy()
    np.testing.assert_allclose(p, powers / powers.sum(1, keepdims=True), rtol=1e-4)
