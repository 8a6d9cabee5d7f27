"""A net of Caffe's as an `nn.Module`: any directed graph of layers that a prototxt describes.

Source: BVLC Caffe, src/caffe/net.cpp. What differs: no memory is taken before the shapes of all
blobs are known and found to fit; layers in a row run as one where `alexnet.layers.fused` can.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.layers.fused import fuse
from alexnet.nearest import nearest
from alexnet.text.assembly import (
    Learnable,
    as_tuple,
    build,
    freeze,
    materialise,
    present,
    share,
)
from alexnet.text.blobs import make_blob
from alexnet.text.fillers import fill
from alexnet.text.kind import Phase, Shape, Source, blobs, fillers
from alexnet.text.kinds import KINDS
from alexnet.text.message import Message
from alexnet.text.rules import filter_net
from alexnet.text.upgrade import upgrade_net
from alexnet.text.weights import check_fit
from alexnet.text.wiring import Node, Wiring, wire


class Pass(NamedTuple):
    """What a run of a net gives."""

    blobs: dict[str, Tensor]
    """The net's outputs, and what was asked for, by name."""
    loss: Tensor
    """Sum over all tops of loss weight times the sum of its elements, ()."""


class TextNet(nn.Module):
    """A net from a NetParameter, for one phase, with the initial values of its fillers.

    Raises: TextError for a net that the original would refuse, before memory is taken.
    """

    def __init__(
        self,
        net: Message,
        phase: Phase = "TEST",
        *,
        level: int = 0,
        stages: Sequence[str] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        state = net["state"]
        level, stages = level or state["level"], [*stages, *state["stage"]]
        chosen = filter_net(upgrade_net(net), phase, level=level, stages=stages)
        self.net_name, self.phase = str(chosen["name"]), phase
        self.wiring = wire(chosen, KINDS)
        modules, shapes = build(self.wiring, phase)
        self.shapes: dict[str, Shape] = {n: shapes[v] for n, v in self.wiring.last.items()}
        names = (node.name for node in self.wiring.nodes)
        self.layers = dict(zip(names, modules, strict=True))
        self._learnable = share(self.wiring.nodes, modules)
        self._modules_in_order = modules
        self._runs = _runs(self.wiring)
        for name, module in self.layers.items():
            self.add_module(free_name(self, name), module)
        materialise(self)
        freeze(self.learnable)
        self.train(phase == "TRAIN")
        self.fill(generator)

    @property
    def learnable(self) -> list[Learnable]:
        """What a solver updates, in its order: each blob once, with the tensor that it has now."""
        return present(self._learnable, self.blobs())

    @property
    def records(self) -> list[Message]:
        """What the text says of each layer, upgraded."""
        return [node.record for node in self.wiring.nodes]

    @property
    def inputs(self) -> dict[str, Shape]:
        """Names and shapes of the blobs that a run has to be given."""
        given = [name for r in self.records if r["type"] == "Input" for name in r["top"]]
        return {name: self.shapes[name] for name in given}

    @property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads."""
        return [self.wiring.names[value] for value in self.wiring.outputs]

    @property
    def is_chain(self) -> bool:
        """Whether each layer reads what the one before made, and nothing else."""
        return len([r for r in self._runs if self.wiring.nodes[r.nodes[0]].bottoms]) == 1

    @property
    def loss_weights(self) -> dict[str, float]:
        """The weight in the loss of each blob that is part of it."""
        return {
            self.wiring.names[top]: weight
            for node in self.wiring.nodes
            for top, weight in zip(node.tops, node.loss_weights, strict=True)
            if weight and self.wiring.names[top]
        }

    @torch.no_grad()
    def fill(self, generator: torch.Generator | None = None) -> None:
        """Give each blob the initial values of its filler."""
        done: set[int] = set()
        for node, module in zip(self.wiring.nodes, self._modules_in_order, strict=True):
            own = blobs(module)
            for blob, (filler, constant) in zip(
                own, fillers(node.kind, node.record, len(own)), strict=True
            ):
                if id(blob) in done:
                    continue
                done.add(id(blob))
                if filler is None:
                    blob.fill_(constant)
                else:
                    fill(blob, filler, generator)

    def forward(self, inputs: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the net's outputs by name; see `run`."""
        return self.run(inputs).blobs

    def run(
        self,
        inputs: Mapping[str, Tensor] | None = None,
        *,
        keep: Collection[str] = (),
        whole: bool = True,
    ) -> Pass:
        """Run the layers on given inputs, or on what the net's data layers read.

        `keep` names blobs that are returned beside the outputs, as they are after the last layer
        that works on them in place. A blob that is given replaces what a data layer would read.
        Without `whole` only the kept blobs are computed and returned.

        Raises: ValueError if an input is missing or a name is not known.
        """
        given = dict(inputs or {})
        for name in [*given, *keep]:
            if name not in self.shapes:
                raise ValueError(f"no blob is called {name!r}{nearest(name, self.shapes)}")
        last = self.wiring.last
        wanted = {last[name] for name in keep}
        runs = self._runs if whole else _needed(self._runs, self.wiring, wanted)
        wanted |= set(self.wiring.outputs) if whole else set()
        values: dict[int, Tensor] = {}
        loss: Tensor | None = None
        for run in runs:
            self._step(run, given, values, wanted)
            for value, weight in run.losses:
                part = weight * values[value].sum()
                loss = part if loss is None else loss + part
            for value in run.last_read:
                if value not in wanted:
                    del values[value]
        kept = {self.wiring.names[v]: values[v] for v in sorted(wanted) if v in values}
        return Pass(kept, torch.zeros(()) if loss is None else loss)

    def _step(
        self,
        run: "_Run",
        given: Mapping[str, Tensor],
        values: dict[int, Tensor],
        wanted: Collection[int],
    ) -> None:
        nodes = [self.wiring.nodes[i] for i in run.nodes]
        modules = [self._modules_in_order[i] for i in run.nodes]
        if len(nodes) > 1 and not any(v in wanted for node in nodes[:-1] for v in node.tops):
            x = values[nodes[0].bottoms[0]]
            for step in fuse(modules):
                x = step(x)
            values[nodes[-1].tops[0]] = x
            return
        for index, node in zip(run.nodes, nodes, strict=True):
            tops = self.call(index, [values[v] for v in node.bottoms], given)
            values.update(zip(node.tops, tops, strict=True))

    def call(
        self, index: int, bottoms: Sequence[Tensor], given: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Return the tops of one layer, by its number; `given` may replace what a source reads."""
        node, module = self.wiring.nodes[index], self._modules_in_order[index]
        if isinstance(module, Source):
            return self._source(node, module, given or {})
        return as_tuple(module(*_cut(node, bottoms)))

    def _source(
        self, node: Node, module: Source, given: Mapping[str, Tensor]
    ) -> tuple[Tensor, ...]:
        names = node.record["top"]
        missing = [name for name in names if name not in given]
        if missing and node.record["type"] == "Input":
            raise ValueError(
                f"input {missing[0]!r} is not given; this net takes {', '.join(self.inputs)}"
            )
        read = as_tuple(module()) if missing else ()
        tops = tuple(given[n] if n in given else read[i] for i, n in enumerate(names))
        channels_last = torch.channels_last
        return tuple(t.contiguous(memory_format=channels_last) if t.dim() == 4 else t for t in tops)

    def blobs(self) -> dict[str, list[Tensor]]:
        """Return the blobs of each layer that has any, by the layer's name."""
        found = {name: blobs(module) for name, module in self.layers.items()}
        return {name: tensors for name, tensors in found.items() if tensors}

    @torch.no_grad()
    def load_blobs(
        self, given: Mapping[str, Sequence[NDArray[np.float32]]], *, source: str = "the weights"
    ) -> list[str]:
        """Take over blobs by layer name, and return what is worth a remark.

        Layers that are not in the net are left out; layers that are not given keep their values.

        Raises: TextError if a layer has another number of blobs or other shapes, with all of them
                in a table, or if no layer is given at all.
        """
        own = self.blobs()
        shapes = {name: [tuple(b.shape) for b in tensors] for name, tensors in own.items()}
        owned = {(each.layer, each.index) for each in self.learnable}
        shared = {
            name: [index for index in range(len(tensors)) if (name, index) not in owned]
            for name, tensors in own.items()
        }
        arrays = {name: list(each) for name, each in given.items()}
        fit = check_fit(arrays, shapes, source=source, shared=shared)
        for name, found in fit.blobs.items():
            for index, array in found.items():
                own[name][index].copy_(torch.from_numpy(np.array(array, np.float32)))
        kept = [f"layer {name} is not in {source}; it keeps its values" for name in fit.missing]
        left = [f"ignoring layer {name} of {source}" for name in fit.extra]
        return [*kept, *left, *fit.warnings]

    def to_message(self, *, diff: bool = False) -> Message:
        """Return the net with its blobs, as the original writes it into a .caffemodel.

        `diff` adds the gradients.
        """
        net = Message("NetParameter", {"name": self.net_name})
        layers: list[Message] = []
        for name, module in self.layers.items():
            record = self.records[len(layers)].copy()
            record["blobs"] = [_to_blob(tensor, diff) for tensor in blobs(module)]
            record["phase"] = self.phase
            assert record["name"] == name
            layers.append(record)
        net["layer"] = layers
        return net


@dataclass(frozen=True)
class _Run:
    """Layers that follow each other and that nothing reads in between."""

    nodes: tuple[int, ...]
    last_read: tuple[int, ...]
    """Values that nothing reads after this run."""
    losses: tuple[tuple[int, float], ...]
    """Tops that are part of the loss, with their weights."""


def _runs(wiring: Wiring) -> list[_Run]:
    readers: dict[int, list[int]] = {}
    for number, node in enumerate(wiring.nodes):
        for value in node.bottoms:
            readers.setdefault(value, []).append(number)
    groups: list[list[int]] = []
    for number, node in enumerate(wiring.nodes):
        before = wiring.nodes[number - 1] if number else None
        joins = (
            before is not None
            and len(before.bottoms) == len(before.tops) == len(node.tops) == 1
            and node.bottoms == before.tops
            and readers[before.tops[0]] == [number]
            and not any(before.loss_weights)
            and "propagate_down" not in node.record
            and "propagate_down" not in before.record
        )
        if joins:
            groups[-1].append(number)
        else:
            groups.append([number])
    runs = []
    for group in groups:
        nodes = [wiring.nodes[n] for n in group]
        ended = {v for node in nodes for v in node.bottoms if readers[v][-1] in group}
        inner = {v for node in nodes[:-1] for v in node.tops} if len(nodes) > 1 else set()
        losses = [
            (v, weight)
            for node in nodes
            for v, weight in zip(node.tops, node.loss_weights, strict=True)
            if weight
        ]
        runs.append(_Run(tuple(group), tuple(sorted(ended - inner)), tuple(losses)))
    return runs


def _needed(runs: Sequence[_Run], wiring: Wiring, wanted: Collection[int]) -> list[_Run]:
    """Return the runs that lead to the wanted values, in their order."""
    needed, chosen = set(wanted), []
    for run in reversed(runs):
        nodes = [wiring.nodes[number] for number in run.nodes]
        if any(value in needed for node in nodes for value in node.tops):
            chosen.append(run)
            needed.update(value for node in nodes for value in node.bottoms)
    return chosen[::-1]


def _cut(node: Node, bottoms: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the bottoms, without history where no gradient is to go."""
    allowed: list[bool] = node.record["propagate_down"]
    for index, bottom in enumerate(bottoms):
        stops = index < len(allowed) and not allowed[index]
        yield bottom.detach() if stops or (index and node.kind.first_only) else bottom


def _to_blob(tensor: Tensor, diff: bool) -> Message:
    gradient = None
    if diff:
        gradient = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
    array = tensor.detach().cpu().contiguous().numpy()
    return make_blob(array, None if gradient is None else gradient.cpu().contiguous().numpy())


def free_name(net: nn.Module, name: str) -> str:
    """Return the layer's name as torch allows it for a module."""
    free = name.replace(".", "_") or "_"
    while hasattr(net, free):
        free += "_"
    return free
