"""A net as one process of an arrangement holds it: its part of each stage, and what crosses.

The cut is the one that `alexnet.parallel.columns` and `alexnet.parallel.hybrid` make of the module:
they are asked, on meta tensors, and what they refuse is refused here.

Time of a stage, for n pictures:

    forward   max(2 * multiply-adds * n / arithmetic, (n * (inputs + outputs) + weights) / memory)
    backward  twice that: once for the gradient of the weights, once for that of the input, which
              the first layer with weights does not need
    update    (16 bytes for weight and velocity in float32, the gradient, the copy) / memory
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import nn

from alexnet.inspection.stages import Counted, Stage
from alexnet.layers.response_norm import LocalResponseNorm
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns, WholeLayer
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet
from alexnet.parallel.replicas import share_layers

FLOAT = 4


class Rates(NamedTuple):
    """How fast a device works."""

    arithmetic: float
    """Operations a second that layers with matrices reach."""
    memory: float
    """Bytes a second."""
    element: int
    """Bytes of an activation, a weight at work and its gradient: 4 or 2."""
    sent: int
    """Bytes of an activation on its way between columns."""

    def update_seconds(self, parameters: int) -> float:
        """Return the time of an update of so many weights; the module has the equation."""
        copy = self.element if self.element < FLOAT else 0
        return parameters * (4 * FLOAT + self.element + copy) / self.memory


@dataclass(frozen=True)
class Share:
    """A stage as one process runs it."""

    stage: Stage
    parts: int = 1
    """Processes among which its kernels are divided."""
    reads_all: bool = True
    """Whether it has the maps of all processes as its input without a message."""
    crosses: bool = False
    """Whether it gets the maps of the other processes by a message."""
    collects: bool = False
    """Whether it gets them so and then computes whole, as every process does; no gradient of its
    input has to be sent."""
    first: bool = False
    """Whether it is the first with weights, which needs no gradient of its input."""
    below: bool = False
    """Whether it lies below that one and has no backward pass."""

    @property
    def is_norm(self) -> bool:
        """Return whether it is a norm that crosses: each process computes all of it."""
        return self.crosses and not self.stage.parameters

    @property
    def parameters(self) -> list[int]:
        """Return the elements of this process's part of each tensor."""
        return [count // self.parts for count in self.stage.parameters]

    @property
    def kept_bytes(self) -> float:
        """Return the bytes that this process keeps of a picture, the others' maps not counted."""
        whole = self.is_norm or (self.reads_all and bool(self.stage.parameters))
        return self.stage.kept_bytes / (1 if whole else self.parts)

    def forward_seconds(self, pictures: int, rates: Rates) -> float:
        """Return the time of the forward pass; the module has the equation."""
        stage, parts = self.stage, 1 if self.is_norm else self.parts
        operations = 2 * stage.multiply_adds * pictures / parts
        inputs = stage.inputs / (1 if self.reads_all or self.crosses else parts)
        moved = pictures * (inputs + stage.outputs / parts) + sum(self.parameters)
        return max(operations / rates.arithmetic, moved * rates.element / rates.memory)

    def backward_seconds(self, pictures: int, rates: Rates) -> tuple[float, float]:
        """Return the times for the gradients of the input and of the weights.

        A stage without weights takes both for that of its input.
        """
        forward = self.forward_seconds(pictures, rates)
        if self.below:
            return 0.0, 0.0
        if not self.stage.parameters:
            return 2 * forward, 0.0
        return (0.0 if self.first else forward), forward


@dataclass(frozen=True)
class Cut:
    """A net as one process of an arrangement holds it."""

    shares: list[Share]
    size: int = 1
    """Processes that hold the parts of one net."""
    groups: int = 1
    """Processes that hold the same part, and add up their gradients."""
    stride: int = 1
    """Distance of those, in ranks."""
    whole: int = 0
    """Stages that are whole in one weird trick."""
    classes: int = 0
    """Numbers that the net gives for a picture."""

    @property
    def gathers_logits(self) -> bool:
        """Return whether each process has only its part of the logits."""
        return self.size > 1 and not any(share.collects for share in self.shares)

    @property
    def parameters(self) -> int:
        """Elements of all weights that this process holds."""
        return sum(sum(each.parameters) for each in self.shares)


def uncut(counted: Counted, groups: int = 1) -> Cut:
    """Return the net of one device, or of each of so many replicas."""
    stages = list(counted.stages)
    if counted.beside:
        stages.append(Stage("auxiliary classifiers", (), 0, counted.beside, 0, 0, 0))
    shares = _shares([Share(stage) for stage in stages])
    return Cut(shares, groups=groups)


def as_replicas(net: Chain, counted: Counted, groups: int) -> Cut:
    """Return a replica of a net on the device `meta`.

    Raises: ValueError if a layer knows of one process only, as `share_layers` says.
    """
    share_layers(copy.deepcopy(net), Rows(), Circle(size=groups))
    return uncut(counted, groups)


def in_columns(net: Chain, counted: Counted, columns: int, groups: int) -> Cut:
    """Return a column of a net on the device `meta`.

    Raises: ValueError if it cannot be cut so, as `Columns` says.
    """
    cut = Columns(net, Circle(size=columns), Rows())
    shares = _shares(_cut_shares(counted.stages, net, cut, columns))
    return Cut(
        shares,
        size=columns,
        groups=groups,
        stride=columns,
        classes=net.classes,
    )


def by_weird_trick(net: Chain, counted: Counted, size: int) -> Cut:
    """Return a process's part in one weird trick, of a net on the device `meta`.

    Raises: ValueError if it cannot be cut so, as `HybridNet` says.
    """
    cut = HybridNet(copy.deepcopy(net), Circle(size=size), Rows())  # it changes the net's blocks
    upper = {name for name, _ in list(net.steps())[cut.cut :]}
    whole = sum(stage.layers[0] not in upper for stage in counted.stages)
    lower = [Share(stage) for stage in counted.stages[:whole]]
    above = _cut_shares(counted.stages[whole:], net, cut, size)
    return Cut(
        _shares(lower + above),
        size=size,
        groups=size,
        whole=whole,
        classes=net.classes,
    )


def _cut_shares(stages: Iterable[Stage], net: Chain, cut: Chain, parts: int) -> list[Share]:
    """Return the shares of stages that are cut; what crosses is what the cut net replaced."""
    before, after = dict(net.steps()), dict(cut.named_children())
    found, reads_all = [], True
    for stage in stages:
        pairs = [(before[name], after[name]) for name in stage.layers]
        collects = any(isinstance(part, WholeLayer) for _, part in pairs)
        weighted = any(isinstance(own, nn.Conv2d | nn.Linear) for own, _ in pairs)
        crosses = not collects and any(
            isinstance(own, kind) and not isinstance(part, kind)
            for own, part in pairs
            for kind in (nn.Conv2d | nn.Linear, LocalResponseNorm)
        )
        is_cut = not collects and (weighted or not reads_all)
        found.append(
            Share(
                stage,
                parts if is_cut else 1,
                reads_all=reads_all or collects,
                crosses=crosses,
                collects=collects,
            )
        )
        reads_all = collects or (reads_all and not weighted)
    return found


def _shares(shares: Sequence[Share]) -> list[Share]:
    """Mark the first stage with weights and those below it."""
    weighted = (number for number, each in enumerate(shares) if each.stage.parameters)
    first = next(weighted, len(shares))
    return [
        replace(each, first=number == first, below=number < first)
        for number, each in enumerate(shares)
    ]
