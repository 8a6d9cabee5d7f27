"""One weird trick: convolutional layers as replicas, fully connected ones in columns.

The convolutional layers have nine tenths of the work and a twentieth of the weights: each process
runs all of them on its own pictures, and gradients are added. The fully connected layers have the
weights: each process holds a part of their kernels and sees everybody's activations. These are
exchanged in one of three ways, with K processes of n pictures each:

    (a)  all at once: one round of K n pictures
    (b)  in turn: K rounds, in each of which one process lends its n pictures to all
    (c)  in slices: K rounds, in each of which every process gives a K-th of its pictures

All three give the gradients of one process with the whole batch. With a variable batch the rounds
of (b) and (c) have a given number of pictures: in (b) the next of the whole batch, whoever has
them, in (c) as many of each process. The fully connected layers are updated after each round, with
the mean over its pictures, the convolutional ones once, with the mean over all. (b) then computes
what one process would, which goes through its batch in such rounds; K changes nothing.

The activations of the next round travel while a round is computed, and so do the gradients of the
round before.

Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks",
sections 4 and 5. The weights of convolutions are updated by every process alike, where the paper
gives each a K-th of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.fused import fuse
from alexnet.layers.loss import NOBODY, cross_entropy_sum
from alexnet.nets.chain import Chain, Multipliers
from alexnet.parallel.collectives import (
    Circle,
    Parts,
    start_gather,
    start_lending,
    start_return,
    start_sum,
)
from alexnet.parallel.columns import Collected, WholeLayer, names_of, part_of, stays_whole
from alexnet.parallel.dropout import Rows
from alexnet.parallel.layout import Scheme
from alexnet.parallel.replicas import replicate, share_layers


class HybridNet(Chain):
    """A net whose layers up to the first fully connected one are whole, the others cut.

    Its children have the names of the net's. Called as a whole it gives the logits of its own
    pictures, for which all processes have to call it, with as many as each has.

    Raises: ValueError if the layers form no chain of convolutional and then fully connected ones,
            or one cannot be cut into that many parts, or the net has auxiliary classifiers.
    """

    def __init__(self, net: Chain, circle: Circle, rows: Rows) -> None:
        super().__init__()
        steps = list(net.steps())
        first = next((i for i, (_, each) in enumerate(steps) if isinstance(each, nn.Linear)), None)
        if net.branches or not any(isinstance(each, nn.Conv2d) for _, each in steps[:first]):
            first = None
        if first is None:
            raise ValueError(
                "one weird trick needs a net whose layers form a chain of convolutional and then "
                "fully connected ones; train this one as replicas, without --hybrid"
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
            if stays_whole(steps[first:], number - first, circle):
                assert isinstance(layer, nn.Linear)
                self.add_module(name, WholeLayer(layer, circle))
                continue
            reads_all = not any(isinstance(each, nn.Linear) for _, each in steps[first:number])
            try:
                own = Circle() if reads_all and not isinstance(layer, nn.Linear) else circle
                self.add_module(name, part_of(layer, own, rows, reads_all=reads_all))
            except ValueError as error:
                raise ValueError(f"{name} cannot be cut in {circle.size}: {error}") from None
        self._multipliers = net.multipliers()
        if not any(isinstance(layer, WholeLayer) for layer in self.children()):
            self.add_module("collected", Collected(circle))
        if {name for name, _ in self.named_parameters()} < {n for n, _ in net.named_parameters()}:
            raise ValueError(
                "this net has auxiliary classifiers, which one weird trick does not train; train "
                "it as replicas, without --hybrid"
            )
        share_layers(self, rows, circle)

    def multipliers(self) -> dict[str, Multipliers]:
        """Return what the whole net's source says of single parameters' rates."""
        return self._multipliers

    @property
    def cut_names(self) -> frozenset[str]:
        """Return the names of the parameters of which this process holds a part."""
        return names_of(list(self.steps())[self.cut :])

    @property
    def features(self) -> list[nn.Module]:
        """Return the layers that are whole."""
        return [layer for _, layer in self.steps()][: self.cut]

    @property
    def classifier(self) -> list[nn.Module]:
        """Return the layers that see everybody's pictures, round by round."""
        return [layer for _, layer in self.steps()][self.cut :]

    @property
    def classifier_names(self) -> frozenset[str]:
        """Return the names of their parameters, which a variable batch updates in each round."""
        inner = list(self.steps())[self.cut :]
        return frozenset(
            f"{n}.{each}" for n, layer in inner for each, _ in layer.named_parameters()
        )

    def forward(self, x: Tensor, *, upto: str | None = None) -> Tensor:
        """Return the logits of this process's pictures."""
        if upto is not None:
            return super().forward(x, upto=upto)
        activations, circle = _run(self.features, x), self.circle
        count = torch.tensor([len(x)], device=x.device)
        most = max(int(each) for each in start_gather(count, circle).wait())
        everybody = torch.cat(start_gather(_fill(activations, most, 0), circle).wait())
        return circle.own(_run(self.classifier, everybody), 0)[: len(x)]


class HybridStep:
    """The gradients of a hybrid net at work, in one of the three schemes.

    `between` is called after each round with a factor: with a variable batch, to update the fully
    connected layers, whose gradients, times the factor, are means over the round. The rounds then
    have `round_pictures` each, the last what is left; None and 0 leave them to the scheme.

    Raises: ValueError if scheme a is to have rounds of that many pictures, or there are rounds of
            (c) to which the processes cannot give as many each.
    """

    def __init__(
        self,
        worker: HybridNet,
        rows: Rows,
        scheme: Scheme,
        *,
        between: Callable[[float], None] | None = None,
        round_pictures: int | None = None,
    ) -> None:
        self._worker, self._rows, self._scheme, self._between = worker, rows, scheme, between
        circle = worker.circle
        self._round_pictures = round_pictures or 0
        if self._round_pictures and scheme == "a":
            raise ValueError(
                f"fc_batch is {round_pictures}, but scheme a of one weird trick has the whole "
                "batch in one round; take --hybrid b or c, or --fc-batch 0"
            )
        if scheme == "c" and self._round_pictures % circle.size:
            raise ValueError(
                f"fc_batch is {round_pictures}, of which the {circle.size} processes cannot give "
                f"equal parts in scheme c; take a multiple of {circle.size}, or --hybrid b"
            )
        self._features: nn.Module = _Layers(worker.features)
        if circle.group is not None:
            self._features = replicate(self._features, circle.group)

    def gradients(
        self, x: Tensor, labels: Tensor, *, smoothing: float = 0.0, whole: int = 0
    ) -> Tensor:
        """Add the gradients of the mean loss of everybody's pictures, and return that loss.

        A process may have any number of pictures, or none. Those of label NOBODY, which must be
        behind all others, count for nothing.

        Shapes:  x (n, C, H, W) in the worker's type, labels (n,) int64 -> () float32.
        """
        rows, nominal, given = self._rows, self._rows.whole, self._rows.indices
        indices = torch.arange(len(labels)) if given is None else given
        targets = _Targets(labels, indices.to(labels.device), self._worker.circle)
        activations = self._features(x)
        exchange = _Exchange(targets, activations.detach(), self._worker.circle)
        state = _random_state(x.device)
        total = torch.zeros((), device=x.device)
        count = whole or sum(targets.counts)
        for inputs, each in exchange.rounds(self._scheme, self._round_pictures):
            _set_random_state(state, x.device)  # each round draws the masks of the whole batch
            rows.indices, rows.whole = each.indices, nominal or sum(targets.counts)
            leaf = inputs.requires_grad_()
            logits = _run(self._worker.classifier, leaf)
            loss = cross_entropy_sum(logits, each.labels, smoothing) / count
            loss.backward()
            total += loss.detach()
            assert leaf.grad is not None
            exchange.send_back(each, leaf.grad)
            if self._between is not None:
                self._between(count / each.count)
        rows.indices, rows.whole = given, nominal
        activations.backward(exchange.returned())
        return total


class _Targets:
    """What all processes know of everybody's pictures."""

    def __init__(self, labels: Tensor, indices: Tensor, circle: Circle) -> None:
        count = torch.count_nonzero(labels != NOBODY)[None]
        self.counts = [int(each) for each in start_gather(count, circle).wait()]
        """Pictures of each process."""
        self.own = slice(0, self.counts[circle.rank])
        self.most = max(self.counts)
        filled = _fill(labels[self.own], self.most, NOBODY), _fill(indices[self.own], self.most, 0)
        both = torch.stack(start_gather(torch.stack(filled), circle).wait())
        self.labels, self.indices = both.unbind(1)  # (K, most) each


@dataclass
class _Round:
    """What everybody computes together at a time."""

    pieces: list[tuple[int | None, slice]]
    """Rows of the activations of one process, that of this rank, or of all (None)."""
    labels: Tensor
    indices: Tensor
    count: int
    """Pictures, without the rows that only fill up."""


class _Exchange:
    """The activations' way to all processes and their gradients' way back, round by round.

    Processes may have different numbers of pictures. Where all send, they send as many rows as the
    one with most.
    """

    def __init__(self, targets: _Targets, activations: Tensor, circle: Circle) -> None:
        self._targets, self._circle, self._rows = targets, circle, len(activations)
        self._activations = _fill(activations[targets.own], targets.most, 0)
        self._back: list[tuple[slice, Parts]] = []

    def rounds(self, scheme: Scheme, pictures: int) -> Iterable[tuple[Tensor, _Round]]:
        """Yield the activations of each round, and what is to be known of them."""
        planned = self._in_turn(pictures) if scheme == "b" else self._in_slices(scheme, pictures)
        coming = self._start(planned[0])
        for number, each in enumerate(planned):
            inputs = torch.cat([part for parts in coming for part in parts.wait()])
            if number + 1 < len(planned):
                coming = self._start(planned[number + 1])
            yield inputs, each

    def _start(self, each: _Round) -> list[Parts]:
        """Start to send the activations of a round."""
        circle = self._circle
        return [
            start_gather(self._activations[rows], circle)
            if owner is None
            else start_lending(self._activations[rows], circle, owner)
            for owner, rows in each.pieces
        ]

    def send_back(self, each: _Round, gradient: Tensor) -> None:
        """Start to send the gradients of a round to those who sent the activations."""
        circle = self._circle
        for owner, rows in each.pieces:
            if owner is None:
                parts = start_sum(gradient.chunk(circle.size), circle)
                self._back.append((rows, parts))
                continue
            count = rows.stop - rows.start
            parts, gradient = start_return(gradient[:count], circle, owner), gradient[count:]
            mine = owner == circle.rank
            self._back.append((rows, parts) if mine else (slice(0, 0), parts.without_use()))

    def returned(self) -> Tensor:
        """Return the gradient of this process's activations, when all of it is here."""
        gradient = torch.zeros_like(self._activations)
        for rows, parts in self._back:
            gradient[rows] = torch.cat(parts.wait())
        return _fill(gradient[self._targets.own], self._rows, 0)

    def _in_turn(self, pictures: int) -> list[_Round]:
        """Return the rounds of scheme b: of so many pictures, or each process's together."""
        targets = self._targets
        planned: list[list[tuple[int, slice]]] = []
        room = 0  # pictures that the last round can still take
        for owner, count in enumerate(targets.counts):
            start = 0
            while start < count:
                if not room:
                    planned.append([])
                    room = pictures or count
                stop = min(start + room, count)
                planned[-1].append((owner, slice(start, stop)))
                room -= stop - start
                start = stop
        return [
            _Round(
                pieces=list(pieces),
                labels=torch.cat([targets.labels[piece] for piece in pieces]),
                indices=torch.cat([targets.indices[piece] for piece in pieces]),
                count=sum(rows.stop - rows.start for _, rows in pieces),
            )
            for pieces in planned
        ]

    def _in_slices(self, scheme: Scheme, pictures: int) -> list[_Round]:
        """Return the rounds of scheme c, and the one round of scheme a."""
        targets, size = self._targets, self._circle.size
        ends = [(number + 1) * targets.most // size for number in range(size)]
        if scheme == "a":
            ends = [targets.most]
        elif pictures:
            each = pictures // size
            ends = [*range(each, targets.most, each), targets.most]
        slices = [slice(*both) for both in zip([0, *ends], ends, strict=False)]
        return [
            _Round(
                pieces=[(None, rows)],
                labels=targets.labels[:, rows].flatten(),
                indices=targets.indices[:, rows].flatten(),
                count=sum(max(0, min(n, rows.stop) - rows.start) for n in targets.counts),
            )
            for rows in slices
            if rows.stop > rows.start
        ]


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


def _random_state(device: torch.device) -> Tensor:
    """Return the state of the generator that draws on a device."""
    cuda = device.type == "cuda"
    return torch.cuda.get_rng_state(device) if cuda else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
