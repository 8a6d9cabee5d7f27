"""How far the answers of an exported net are from ours, and what rounded weights cost."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing
from alexnet.evaluation.evaluate import probabilities
from alexnet.export.onnx_graph import Weights
from alexnet.native.linear import quantise
from alexnet.nets.chain import Chain

BATCH_SIZE = 16
MOST_DIFFERENCE = 1e-4
"""The largest difference of a probability that float32 sums in another order explain."""
COARSE = 8
"""Pixels of a generated picture's clutter."""


@dataclass(frozen=True)
class Difference:
    """How far two sets of answers are apart."""

    pictures: int
    largest: float
    """The largest difference of a probability."""
    same_first: int
    """Pictures with the same first answer."""

    def text(self) -> str:
        """Return it in words."""
        return (
            f"{self.pictures} pictures: the largest difference of a probability is "
            f"{self.largest:.1e}, {self.same_first} first answers are the same"
        )


@dataclass(frozen=True)
class Cost:
    """What rounded weights change, on labelled pictures."""

    difference: Difference
    errors_before: int | None
    """First answers that are wrong with the net's own weights; None without labels."""
    errors_after: int | None
    """The same with the rounded ones."""


def answers(net: nn.Module, pictures: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return the probabilities of pictures, some at a time.

    Shapes:  (N, H, W, 3) uint8 -> (N, classes) float32.
    """
    found = [probabilities(net, some, preprocessing) for some in pictures.split(BATCH_SIZE)]
    return torch.cat(found)


def difference(ours: Tensor, theirs: Tensor) -> Difference:
    """Compare two sets of probabilities; one that is not finite is infinitely far."""
    apart = (ours.double() - theirs.double()).abs()
    largest = float(apart.max()) if bool(theirs.isfinite().all()) else float("inf")
    same = int((ours.argmax(1) == theirs.argmax(1)).sum())
    return Difference(len(ours), largest, same)


def cost(ours: Tensor, theirs: Tensor, labels: Tensor | None) -> Cost:
    """Say what rounded weights change."""
    wrong: list[int | None] = [None, None]
    if labels is not None:
        wrong = [int((p.argmax(1) != labels).sum()) for p in (ours, theirs)]
    return Cost(difference(ours, theirs), *wrong)


@torch.no_grad()
def rounded(net: Chain, weights: Weights) -> Chain:
    """Return a copy of a net with its weights as rounded as an export writes them."""
    made = copy.deepcopy(net)
    for layer in made.modules():
        weight: Any = getattr(layer, "weight", None)
        if weights == "int8" and isinstance(layer, nn.Linear):
            integers, scale = quantise(layer.weight)
            layer.weight.copy_(integers * scale[:, None])
        elif weights == "bf16" and isinstance(layer, nn.Linear | nn.Conv2d):
            weight.copy_(weight.bfloat16())
    return made


def generated_pictures(count: int, size: int) -> Tensor:
    """Return pictures of smooth colours with noise, the same ones each time.

    Shapes:  -> (count, size, size, 3) uint8.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, COARSE, COARSE, generator=generator) * 255
    smooth = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    noise = torch.randn(smooth.shape, generator=generator) * 12
    return (smooth + noise).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
