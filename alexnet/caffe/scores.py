"""Outputs of a net as Caffe prints them: one number a line, with its part in the loss.

Source: Caffe, solver.cpp and tools/caffe.cpp. Outputs stand in the order of their names, as in
Net::Init, whatever their layers' order is.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from alexnet.caffe.log import LOG
from alexnet.caffe.placement import CPU, run_there
from alexnet.text.graph import Pass, TextNet


class Score(NamedTuple):
    """One number of an output blob."""

    name: str
    """Name of the blob."""
    value: float
    weight: float
    """Its weight in the loss; 0 if it is no part of it."""

    def __str__(self) -> str:
        """Return `loss = 0.3 (* 1 = 0.3 loss)`, or `accuracy = 0.9`."""
        text = f"{self.name} = {self.value:g}"
        if self.weight:
            text += f" (* {self.weight:g} = {self.weight * self.value:g} loss)"
        return text


def scores_of(net: TextNet, values: Mapping[str, Tensor]) -> Iterator[Score]:
    """Yield the numbers of a net's outputs."""
    weights = net.loss_weights
    for name in sorted(net.outputs):
        for value in values[name].detach().float().flatten().tolist():
            yield Score(name, value, weights.get(name, 0.0))


class Scores:
    """Means of a net's outputs and of its loss over several batches."""

    def __init__(self, net: TextNet) -> None:
        self._net, self._count = net, 0
        self._sums: dict[str, Tensor] = {}
        self._loss = torch.zeros(())

    def add(self, result: Pass) -> None:
        """Add a batch; sums are float32 and stay on the net's device."""
        self._count += 1
        self._loss = self._loss.to(result.loss.device) + result.loss.detach()
        for name in self._net.outputs:
            value = result.blobs[name].detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    @property
    def loss(self) -> float:
        """The mean loss; not a number if there was no batch."""
        return float(self._loss / self._count)

    def means(self) -> list[Score]:
        """Return the mean of each number of the outputs."""
        if not self._count:
            return []
        return list(scores_of(self._net, {n: s / self._count for n, s in self._sums.items()}))


@torch.no_grad()
def score_net(
    net: TextNet,
    iterations: int,
    *,
    place: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> Scores:
    """Run a net over some batches and log each output of each batch, then the means.

    Source:  Caffe, tools/caffe.cpp, test.
    Raises:  ValueError if there is no batch to run.
    """
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; run at least 1")
    LOG.info(f"Running for {iterations} iterations.")
    scores = Scores(net)
    for batch in range(iterations):
        result = run_there(net, place, dtype=dtype)
        scores.add(result)
        for score in scores_of(net, result.blobs):
            LOG.info(f"Batch {batch}, {score.name} = {score.value:g}")
    LOG.info(f"Loss: {scores.loss:g}")
    for score in scores.means():
        LOG.info(str(score))
    return scores
