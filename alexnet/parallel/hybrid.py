"""One weird trick: convolutional layers as replicas, fully connected ones in columns.

The convolutional layers have nine tenths of the work and a twentieth of the weights: each process
runs all of them on its own pictures, and gradients are added. The fully connected layers have the
weights: each process holds a part of their kernels and sees everybody's activations. These are
exchanged in one of three ways, with K processes of n pictures each:

    (a)  all at once: one round of K n pictures
    (b)  in turn: K rounds, in each of which one process lends its n pictures to all
    (c)  in slices: K rounds, in each of which every process gives a K-th of its pictures

All three give the gradients of one process with the whole batch. With `variable_batch` the fully
connected layers are updated after each round of (b) or (c), with the mean over its pictures, and
the convolutional ones once, with the mean over all.

The activations of the next round travel while a round is computed, and so do the gradients of the
round before.

Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks",
sections 4 and 5. The weights of convolutions are updated by every process alike, where the paper
gives each a K-th of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.fused import fuse
from alexnet.layers.loss import NOBODY, cross_entropy_sum
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import (
    Circle,
    Parts,
    start_gather,
    start_lending,
    start_return,
    start_sum,
)
from alexnet.parallel.columns import Collected, part_of
from alexnet.parallel.dropout import Rows
from alexnet.parallel.replicas import replicate

Scheme = Literal["a", "b", "c"]


class HybridNet(Chain):
    """A net whose layers up to the first fully connected one are whole, the others cut.

    Its children have the names of the net's. Called as a whole it gives the logits of its own
    pictures, for which all processes have to call it with as many.

    Raises: ValueError if the layers form no chain, there is no fully connected layer, or one cannot
            be cut into that many parts.
    """

    def __init__(self, net: Chain, circle: Circle, rows: Rows) -> None:
        super().__init__()
        steps = list(net.steps())
        first = next((i for i, (_, each) in enumerate(steps) if isinstance(each, nn.Linear)), None)
        if net.branches or first is None:
            raise ValueError(
                "one weird trick needs a net whose layers form a chain that ends in fully "
                "connected ones; train this one as replicas, without --hybrid"
            )
        while first and isinstance(steps[first - 1][1], Dropout):
            first -= 1  # so that all dropout is where the batch is whole
        self.classes, self.input_size, self.circle = net.classes, net.input_size, circle
        self.cut = first
        """Number of layers that are whole."""
        for number, (name, layer) in enumerate(steps):
            if number < first:
                self.add_module(name, layer)
                continue
            reads_all = not any(isinstance(each, nn.Linear) for _, each in steps[first:number])
            try:
                own = Circle() if reads_all and not isinstance(layer, nn.Linear) else circle
                self.add_module(name, part_of(layer, own, rows, reads_all=reads_all))
            except ValueError as error:
                raise ValueError(f"{name} cannot be cut in {circle.size}: {error}") from None
        self.add_module("collected", Collected(circle))

    @property
    def features(self) -> list[nn.Module]:
        """Return the layers that are whole."""
        return [layer for _, layer in self.steps()][: self.cut]

    @property
    def classifier(self) -> list[nn.Module]:
        """Return the layers that are cut."""
        return [layer for _, layer in self.steps()][self.cut :]

    def forward(self, x: Tensor, *, upto: str | None = None) -> Tensor:
        """Return the logits of this process's pictures."""
        if upto is not None:
            return super().forward(x, upto=upto)
        activations = _run(self.features, x)
        everybody = torch.cat(start_gather(activations, self.circle).wait())
        return self.circle.own(_run(self.classifier, everybody), 0)


class HybridStep:
    """The gradients of a hybrid net at work, in one of the three schemes.

    `between` is called after each round with a factor: with `variable_batch`, to update the fully
    connected layers, whose gradients, times the factor, are means over the round.
    """

    def __init__(
        self,
        worker: HybridNet,
        rows: Rows,
        scheme: Scheme,
        *,
        between: Callable[[float], None] | None = None,
    ) -> None:
        self._worker, self._rows, self._scheme, self._between = worker, rows, scheme, between
        circle = worker.circle
        self._features: nn.Module = _Layers(worker.features)
        if circle.group is not None:
            self._features = replicate(self._features, circle.group)

    def gradients(
        self, x: Tensor, labels: Tensor, *, smoothing: float = 0.0, whole: int = 0
    ) -> Tensor:
        """Add the gradients of the mean loss of everybody's pictures, and return that loss.

        Shapes:  x (n, C, H, W) in the worker's type, labels (n,) int64 -> () float32.
        """
        rows, nominal = self._rows, self._rows.whole
        activations = self._features(x)
        indices = torch.arange(len(labels)) if rows.indices is None else rows.indices
        own = labels, indices.to(labels.device)
        exchange = _Exchange(self._scheme, self._worker.circle, activations.detach(), own)
        state = torch.get_rng_state()
        total = torch.zeros((), device=x.device)
        count = whole or exchange.count
        for inputs, targets, places, send_back in exchange.rounds():
            torch.set_rng_state(state)  # each round draws the masks of the whole batch
            rows.indices, rows.whole = places, nominal or count
            leaf = inputs.requires_grad_()
            logits = _run(self._worker.classifier, leaf)
            loss = cross_entropy_sum(logits, targets, smoothing) / count
            loss.backward()
            total += loss.detach()
            assert leaf.grad is not None
            send_back(leaf.grad)
            if self._between is not None:
                self._between(count / max(1, int(torch.count_nonzero(targets != NOBODY))))
        activations.backward(exchange.returned())
        return total


@dataclass
class _Round:
    """What everybody computes together at a time."""

    start: Callable[[], Parts]
    """Starts to send the activations."""
    send_back: Callable[[Tensor], Parts]
    """Starts to send their gradients to those who sent the activations."""
    targets: Tensor
    indices: Tensor
    own: slice
    """Rows of this process's activations that take part."""


class _Exchange:
    """The activations' way to all processes and their gradients' way back, round by round.

    Processes may have different numbers of pictures: all send as many rows as the one with most.
    """

    def __init__(
        self, scheme: Scheme, circle: Circle, activations: Tensor, targets: tuple[Tensor, Tensor]
    ) -> None:
        labels, indices = targets
        self._scheme, self._circle, self._own_count = scheme, circle, len(labels)
        counts = start_gather(torch.tensor([len(labels)], device=labels.device), circle).wait()
        most = int(max(counts))
        self.count = int(sum(counts))
        self._activations = _fill(activations, most, 0)
        both = torch.stack([_fill(labels, most, NOBODY), _fill(indices, most, 0)])
        self._targets = torch.stack(start_gather(both, circle).wait())  # (K, 2, most)
        self._back: list[tuple[slice, Parts]] = []

    def rounds(self) -> Iterable[tuple[Tensor, Tensor, Tensor, Callable[[Tensor], None]]]:
        """Yield the rounds: activations, labels, indices, and what takes their gradients."""
        planned = [self._lent(r) for r in range(self._circle.size)]
        if self._scheme != "b":
            count = 1 if self._scheme == "a" else self._circle.size
            most = len(self._activations)
            ends = [(number + 1) * most // count for number in range(count)]
            slices = map(slice, [0, *ends], ends)
            planned = [self._gathered(each) for each in slices if each.stop > each.start]
        coming = planned[0].start()
        for number, planned_round in enumerate(planned):
            inputs = torch.cat(coming.wait())
            if number + 1 < len(planned):
                coming = planned[number + 1].start()

            def send_back(gradient: Tensor, now: _Round = planned_round) -> None:
                self._back.append((now.own, now.send_back(gradient)))

            yield inputs, planned_round.targets, planned_round.indices, send_back

    def returned(self) -> Tensor:
        """Return the gradient of this process's activations, when all of it is here."""
        gradient = torch.zeros_like(self._activations)
        for rows, parts in self._back:
            gradient[rows] = torch.cat(parts.wait())
        return gradient[: self._own_count]

    def _gathered(self, rows: slice) -> _Round:
        """Return the round in which each gives these rows of its activations."""
        circle, targets = self._circle, self._targets[:, :, rows]
        return _Round(
            start=lambda: start_gather(self._activations[rows], circle),
            send_back=lambda gradient: start_sum(gradient.chunk(circle.size), circle),
            targets=targets[:, 0].flatten(),
            indices=targets[:, 1].flatten(),
            own=rows,
        )

    def _lent(self, owner: int) -> _Round:
        """Return the round in which one process lends its activations to all."""
        circle, targets = self._circle, self._targets[owner]
        own = slice(None) if owner == circle.rank else slice(0, 0)

        def send_back(gradient: Tensor) -> Parts:
            parts = start_return(gradient, circle, owner)
            return parts if owner == circle.rank else parts.without_use()

        return _Round(
            start=lambda: start_lending(self._activations, circle, owner),
            send_back=send_back,
            targets=targets[0],
            indices=targets[1],
            own=own,
        )


class _Layers(nn.Module):
    """Some layers, one after the other."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return _run(list(self.layers), x)


def _run(layers: list[nn.Module], x: Tensor) -> Tensor:
    for step in fuse(layers):
        x = step(x)
    return x


def _fill(x: Tensor, count: int, value: int) -> Tensor:
    """Return x with rows of `value` behind, so that there are `count`."""
    missing = x.new_full((count - len(x), *x.shape[1:]), value)
    return torch.cat([x, missing]) if len(missing) else x
