"""Those who train a net together: what each one does, and what they tell each other about it.

A team of one says nothing to anybody, so that whoever trains alone and whoever trains with others
run the same code. What the layers send is in `alexnet.parallel.collectives`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from alexnet.data.loader import Batch, Loader, Share
from alexnet.evaluation.metrics import Counts
from alexnet.nets.chain import Chain
from alexnet.parallel import collectives
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns, whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet
from alexnet.parallel.layout import Crossing, Layout
from alexnet.parallel.mesh import Mesh
from alexnet.parallel.replicas import share_layers

TYPES: dict[Crossing, torch.dtype | None] = {
    "same": None,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class Word(NamedTuple):
    """What all processes must decide alike after an update."""

    stopping: str
    """Why the run is to stop, if anybody was asked to."""
    saving: bool
    """Whether a checkpoint is due."""
    seconds: float
    """Time that the run has taken, by the clock of the process that leads."""


class Team:
    """The processes of a run, seen from one of them."""

    def __init__(self, mesh: Mesh | None = None, layout: Layout | None = None) -> None:
        self.mesh, self.layout = mesh or Mesh(), layout or Layout()
        self.rows = Rows()
        """Which pictures of the batch this process has; the net's dropout looks at it."""
        self.copies = self.mesh.data if self.mesh.groups > 1 else None
        """Those that hold the same weights and see other pictures."""
        group = self.copies if self.layout.hybrid else self.mesh.model
        self._exact = Circle.of(group)
        self.circle = Circle.of(group, TYPES[self.layout.crossing])
        """Those that hold the other parts of this net."""
        self._cut: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Return the number of processes."""
        return self.mesh.world.size

    @property
    def leads(self) -> bool:
        """Return whether this process speaks and writes for all."""
        return self.mesh.leads

    @property
    def share(self) -> Share:
        """Return which part of each batch this process reads."""
        return Share(self.mesh.group, self.mesh.groups)

    def describe(self) -> str:
        """Return who does what, in words."""
        if self.layout.hybrid:
            return (
                f"{self.size} processes: one weird trick, scheme {self.layout.hybrid}, fully "
                f"connected layers in {self.size} columns"
            )
        copies = f"{self.mesh.groups} cop{'ies' if self.mesh.groups > 1 else 'y'} of the net"
        columns = f", each in {self.mesh.columns} columns" if self.mesh.columns > 1 else ""
        return f"{self.size} processes: {copies}{columns}"

    # ---- The net ------------------------------------------------------------------------------

    def spread(self, net: Chain) -> Chain:
        """Return this process's part of a net; names and the order of parameters stay.

        Raises: ValueError if a layer cannot be cut into so many parts.
        """
        if self.layout.hybrid:
            hybrid = HybridNet(net, self.circle, self.rows)
            self._cut = hybrid.cut_names
            return hybrid
        if self.mesh.columns > 1:
            columns = Columns(net, self.circle, self.rows)
            self._cut = columns.cut_names
            return columns
        if self.size > 1:
            share_layers(net, self.rows, Circle.of(self.copies))
        return net

    @property
    def cut(self) -> frozenset[str]:
        """Return the names of the parameters of which this process holds a part."""
        return self._cut

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the whole net's tensors from the parts of all; only who leads keeps them."""
        found: dict[str, Tensor] = {}
        for name, part in tensors.items():
            tensor = whole_tensor(part, self._exact) if name in self._cut else part
            if self.leads:
                found[name] = tensor
        return found

    def own(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return this process's parts of the whole net's tensors."""
        return {
            name: self._exact.own(tensor, 0) if name in self._cut else tensor
            for name, tensor in tensors.items()
        }

    def total_over_parts(self, x: Tensor) -> Tensor:
        """Return the sum of x over those that hold parts of one net."""
        return collectives.total(x, self._exact)

    def clip(self, net: nn.Module, largest: float) -> None:
        """Scale the whole net's gradient to a Euclidean norm of at most `largest`."""
        if not self._cut:
            torch.nn.utils.clip_grad_norm_(net.parameters(), largest)
            return
        gradients = [(n, p.grad) for n, p in net.named_parameters() if p.grad is not None]
        squares: dict[bool, list[Tensor]] = {True: [], False: []}
        for name, gradient in gradients:
            wide = gradient if gradient.itemsize > 4 else gradient.float()
            squares[name in self._cut].append(torch.linalg.vector_norm(wide).square())
        nothing = torch.zeros((), device=gradients[0][1].device)
        own, all_have = (sum(squares[cut], nothing) for cut in (True, False))
        norm = (self.total_over_parts(own) + all_have).sqrt()
        factor = (largest / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
        for _, gradient in gradients:
            gradient.mul_(factor.to(gradient.dtype))

    def same_weights(self, net: nn.Module) -> None:
        """Give all processes the weights of the one that leads."""
        if self.size > 1:
            for tensor in net.state_dict().values():
                dist.broadcast(tensor, 0)

    # ---- The pictures -------------------------------------------------------------------------

    def place(self, batch: Batch, loader: Loader) -> Batch:
        """Say where this process's pictures stand in the whole batch, to it and to the net.

        Pictures that others could not read are taken over into the batch and `loader.bad`.
        """
        if self.size == 1:
            self.rows.indices, self.rows.whole = None, len(batch.labels)
            return batch
        own = torch.tensor([len(batch.labels), len(batch.refused), batch.skipped])
        numbers = self._gather(own)[:: self.mesh.columns]
        refused = batch.refused
        if bool(numbers[:, 1].any()):
            refused = self._hear_reasons(refused)
            loader.bad.update(refused)
            loader.check_bad()
        counts = numbers[:, 0].tolist()
        first = sum(counts[: self.mesh.group])
        self.rows.indices = torch.arange(first, first + counts[self.mesh.group])
        self.rows.whole = sum(counts)
        others = sum(counts) - len(batch.labels)
        skipped = int(numbers[:, 2].sum())
        return replace(batch, first=first, others=others, refused=refused, skipped=skipped)

    def merge_bad(self, loader: Loader) -> None:
        """Let all know the pictures that anybody could not read.

        Raises: DataError if they are too many.
        """
        if self.size == 1:
            return
        loader.bad.update(self._hear_reasons(dict(loader.bad)))
        loader.check_bad()

    def _hear_reasons(self, reasons: dict[str, str]) -> dict[str, str]:
        """Return everybody's paths with their reasons, those of the first ranks first."""
        found: dict[str, str] = {}
        for text in self.hear(json.dumps(reasons)):
            for path, reason in json.loads(text).items():
                found.setdefault(path, reason)
        return found

    # ---- Numbers and words --------------------------------------------------------------------

    def agree(self, word: Word) -> Word:
        """Return the same word to all: anybody's stop, and the leader's clock."""
        if self.size == 1:
            return word
        own = torch.tensor([bool(word.stopping), word.saving, word.seconds], dtype=torch.float64)
        words = self._gather(own)
        stopping = word.stopping
        if not stopping and bool(words[:, 0].any()):
            rank = int(words[:, 0].argmax())
            stopping = f"rank {rank} was asked to stop"
        return Word(stopping, bool(words[0, 1]), float(words[0, 2]))

    def crossing_error(self) -> dict[str, float]:
        """Return what rounding has cost since the last call, where messages are rounded.

        The error of this process's messages as a share of their norm.
        """
        if self.circle.dtype is None:
            return {}
        return {"crossing_error": self.circle.rounding.relative()}

    def total(self, x: float | Tensor) -> float:
        """Return the sum of a number over all processes."""
        number = float(x)
        if self.size == 1:
            return number
        return math.fsum(self._gather(torch.tensor(number, dtype=torch.float64)).tolist())

    def add_up(self, x: Tensor) -> Tensor:
        """Return the sum of what each group has counted, to all; whole numbers stay exact."""
        if self.size == 1:
            return x
        y = x.clone() if self.mesh.column == 0 else torch.zeros_like(x)
        dist.all_reduce(y)
        return y

    def add_counts(self, counts: Counts) -> Counts:
        """Return the counts of all pictures from those of each process's share."""
        if self.size == 1:
            return counts
        found = Counts(counts.classes)
        found.confusion = self.add_up(counts.confusion)
        found.unanswered = self.add_up(counts.unanswered)
        found.top5_errors = int(self.add_up(torch.tensor(counts.top5_errors)))
        found.loss_sum = float(self.add_up(torch.tensor(counts.loss_sum, dtype=torch.float64)))
        return found

    def hear(self, text: str) -> list[str]:
        """Return what each process says, in the order of the ranks."""
        if self.size == 1:
            return [text]
        data = text.encode("utf-8", "surrogateescape")
        lengths = self._gather(torch.tensor(len(data))).tolist()
        padded = torch.zeros(max(*lengths, 1), dtype=torch.uint8)
        padded[: len(data)] = torch.tensor(list(data), dtype=torch.uint8)
        rows = self._gather(padded).numpy()
        return [
            row[:length].tobytes().decode("utf-8", "surrogateescape")
            for row, length in zip(rows, lengths, strict=True)
        ]

    def _gather(self, x: Tensor) -> Tensor:
        """Return everybody's x (CPU), one below the other."""
        return torch.stack(collectives.start_gather(x, Circle.of(dist.group.WORLD)).wait())
