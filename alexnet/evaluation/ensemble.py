"""Several nets that answer together: the weighted mean of their probabilities.

Source: Krizhevsky 2012, table 2 ("5 CNNs"): "Averaging the predictions of five similar CNNs gives
an error rate of 16.4 %". The paper weights them alike; fitted weights are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDS = 500
SETTLED = 1e-7
"""Weights that move by less than this in a round have come to rest."""


@dataclass(frozen=True)
class Answers:
    """What several nets answered for each picture of a set."""

    probabilities: Tensor
    """(nets, pictures, classes) float32."""
    labels: Tensor
    """(pictures,) int64."""
    paths: tuple[str, ...]
    """The pictures' names."""


def mix(probabilities: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over the nets.

        p[n, c] = sum over k of weights[k] * p[k, n, c]

    Shapes:  probabilities (K, N, C), weights (K,) that sum to 1 -> (N, C).
    """
    return torch.einsum("knc,k->nc", probabilities, weights.to(probabilities.dtype))


def alike(count: int) -> Tensor:
    """Return the paper's weights, all the same, (count,) float64."""
    return torch.full((count,), 1 / count, dtype=torch.float64)


def fit_weights(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the weights with the smallest log loss on labelled pictures.

        minimise  -(1 / N) * sum over n of ln(sum over k of w[k] * p[k, n, label[n]])

    over w >= 0 that sum to 1, by rounds of expectation maximisation: a net's new weight is its
    mean share in the answers. The loss is convex, so that they end at its least value.

    Shapes:  probabilities (K, N, C), labels (N,), N >= 1 -> (K,) float64.
    """
    chosen = labels.expand(len(probabilities), -1)[..., None]
    p = probabilities.gather(2, chosen)[..., 0].double().clamp(min=1e-30)
    weights = alike(len(p))
    for _ in range(ROUNDS):
        shares = weights[:, None] * p
        before, weights = weights, (shares / shares.sum(0)).mean(1)
        if (weights - before).abs().max() < SETTLED:
            break
    return weights


def halves(count: int) -> tuple[Tensor, Tensor]:
    """Return every other picture and the rest: one is fitted on where the other is measured."""
    places = torch.arange(count)
    return places[::2], places[1::2]


def mix_fitted(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mix each half of the pictures with the weights that were fitted on the other half.

    No picture has a part in the weights of its own answer, so that the errors stay honest.

    Shapes:  probabilities (K, N, C), labels (N,) -> (N, C).
    Raises:  ValueError for fewer than two pictures.
    """
    check_enough(len(labels))
    mixed = torch.empty_like(probabilities[0])
    even, odd = halves(len(labels))
    for measured, fitted in ((even, odd), (odd, even)):
        weights = fit_weights(probabilities[:, fitted], labels[fitted])
        mixed[measured] = mix(probabilities[:, measured], weights)
    return mixed


def check_enough(count: int) -> None:
    """Raise ValueError if there are too few pictures to fit anything on half of them."""
    if count < 2:
        raise ValueError(f"{count} pictures are too few to fit on one half of them; give 2 or more")
