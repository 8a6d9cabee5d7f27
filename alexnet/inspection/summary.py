"""A net in numbers: sizes, parameters, multiply-adds and receptive field of every layer.

Nothing is computed on pictures: the net runs once on meta tensors, which have shapes but no data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.inspection.figures import LayerFigures, Ledger
from alexnet.inspection.reach import PICTURE, Reach, join, seen_by, whole
from alexnet.model import architecture
from alexnet.nets.chain import leaves
from alexnet.text.kind import Source
from alexnet.text.picture import PictureNet
from alexnet.text.vision import ForEach
from alexnet.text.wiring import Node

COUNTED = ("parameters", "neurons", "multiply_adds")


@dataclass(frozen=True)
class Summary:
    """All layers of a net and their sums."""

    net: str
    source: str
    channels: int
    """Colours of the input."""
    input_size: int
    classes: int
    layers: tuple[LayerFigures, ...]
    """In the order in which they run; a layer that runs twice stands there twice."""
    published: tuple[int | None, int | None, int | None] | None
    """Published (parameters, neurons, multiply-adds), where they hold for this size; None for one
    that nobody published."""
    notes: tuple[str, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the layers."""
        return {
            "parameters": sum(layer.parameters for layer in self.layers),
            "neurons": sum(layer.neurons for layer in self.layers),
            "multiply_adds": sum(layer.multiply_adds for layer in self.layers),
            "parameter_bytes": sum(layer.parameter_bytes for layer in self.layers),
            "activation_bytes": sum(layer.activation_bytes for layer in self.layers),
        }

    @property
    def check(self) -> str:
        """What the comparison with the published figures found."""
        if self.published is None:
            return "no published figures for this net, number of classes and input size"
        counted = tuple(self.totals[key] for key in COUNTED)
        wanted = zip(COUNTED, counted, self.published, strict=True)
        known = [(key, ours == theirs) for key, ours, theirs in wanted if theirs is not None]
        if all(equal for _, equal in known):
            names = [key.replace("multiply_adds", "multiply-adds") for key, _ in known]
            *others, last = names
            return f"equal to the published {', '.join(others)}{' and ' * bool(others)}{last}"
        return f"NOT equal to the published figures {self.published}: counted {counted}"

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values for `--json`."""
        return {
            "net": self.net,
            "source": self.source,
            "channels": self.channels,
            "input_size": self.input_size,
            "classes": self.classes,
            "layers": [asdict(layer) for layer in self.layers],
            "totals": self.totals,
            "check": self.check,
            "notes": list(self.notes),
        }


def summarise(name: str, *, classes: int | None = None, input_size: int | None = None) -> Summary:
    """Count the net called `name`, with the classes and the input of its source if none are given.

        multiply_adds(conv) = positions * K * K * C_in / groups * C_out
        receptive(layer)    = receptive(below) + (K - 1) * product of the strides below

    The positions of a transposed convolution are those of its input. Where branches meet, a layer
    sees what any of them sees.

    Raises:  ValueError if there is no such net, or it does not fit the sizes asked for.
    """
    found = architecture(name)
    classes = found.published_classes if classes is None else classes
    with torch.device("meta"):
        net = found.build(classes=classes, input_size=input_size)
        x = torch.empty(1, found.channels, net.input_size, net.input_size)
    as_published = classes == found.published_classes and net.input_size == found.input_size
    layers = text_figures(net, x) if isinstance(net, PictureNet) else layer_figures(net, x)
    beside = sum(p.numel() for p in net.parameters()) - sum(each.parameters for each in layers)
    training_only = f"{beside:,} more parameters serve training only and are not counted here."
    return Summary(
        net=name,
        source=found.source,
        channels=found.channels,
        input_size=net.input_size,
        classes=classes,
        layers=tuple(layers),
        published=found.published if as_published else None,
        notes=(*found.notes, training_only) if beside else found.notes,
    )


@torch.no_grad()
def layer_figures(net: nn.Module, x: Tensor) -> list[LayerFigures]:
    """Run a net on meta tensors, without dropout, and return its layers in the order they run.

    Shapes:  x (1, C, H, W) on the device `meta`, as the net's weights.
    """
    tracker = _Tracker(x)
    handles = [
        layer.register_forward_hook(
            lambda layer, inputs, output, name=name: tracker.see(name, layer, inputs, output)
        )
        for name, layer in leaves(net)
    ]
    was_training = net.training
    try:
        net.eval()(x)
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
    return tracker.ledger.rows


@torch.no_grad()
def text_figures(net: PictureNet, x: Tensor) -> list[LayerFigures]:
    """Return the layers of a text that lead to its logits, as it calls them, in their order.

    Shapes:  x (1, C, H, W) on the device `meta`, as the net's weights.
    """
    body, wiring, given = net.body, net.body.wiring, {net.deploy.input: x}
    names = {id(module): name for name, module in net.named_children()}
    needed = _needed(wiring.nodes, wiring.last[net.deploy.logits])
    ledger = Ledger()
    values: dict[int, Tensor] = {}
    reaches: dict[int, Reach] = {}
    was_training = net.training
    net.eval()
    for number, (node, module) in enumerate(zip(wiring.nodes, body.layers.values(), strict=True)):
        if number not in needed:
            continue
        bottoms = [values[value] for value in node.bottoms]
        tops = body.call(number, bottoms, given)
        seen = _seen_in_text(node, module, bottoms, tops, [reaches[v] for v in node.bottoms])
        values.update(zip(node.tops, tops, strict=True))
        reaches.update(zip(node.tops, seen, strict=True))
        if id(module) in names:  # all but the picture
            ledger.enter(
                names[id(module)],
                module,
                inputs=bottoms,
                outputs=tops,
                reach=seen[0],
                kind=str(node.record["type"]),
            )
    net.train(was_training)
    return ledger.rows


def _needed(nodes: Sequence[Node], wanted: int) -> set[int]:
    """Return the numbers of the nodes that lead to a value."""
    values, numbers = {wanted}, set()
    for number, node in reversed(list(enumerate(nodes))):
        if values & {*node.tops}:
            numbers.add(number)
            values.update(node.bottoms)
    return numbers


def _seen_in_text(
    node: Node,
    module: nn.Module,
    bottoms: Sequence[Tensor],
    tops: Sequence[Tensor],
    seen: Sequence[Reach],
) -> list[Reach]:
    """Return what the tops of a layer see, from what its bottoms see."""
    if isinstance(module, Source):
        return [PICTURE] * len(tops)
    if isinstance(module, ForEach):
        each = zip(bottoms, seen, strict=True)
        return [seen_by(module.layer, x, reach) for x, reach in each]
    x, reach = bottoms[0], seen[0] if node.kind.first_only else join(seen)
    found = seen_by(module, x, reach)
    side = x.shape[-1] if x.dim() else 1
    if node.record["type"] == "InnerProduct":
        found = whole(reach, side)
    elif found is reach and any(top.shape[-1:] != x.shape[-1:] for top in tops):
        found = whole(reach, side)  # no windows, and yet another width: it may read all
    return [found] * len(tops)


class _Tracker:
    """Follows tensors through a net, from layer to layer."""

    def __init__(self, x: Tensor) -> None:
        self.ledger = Ledger()
        self._reaches = {id(x): PICTURE}
        self._latest = PICTURE
        self._alive = [x]  # an id is a tensor's as long as the tensor lives

    def see(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Take in what a layer was given and what it returned."""
        given = list(_tensors(inputs))
        # What came about outside any layer, such as a reshaped tensor, sees what ran before it.
        reach = join([self._reaches.get(id(x), self._latest) for x in given] or [self._latest])
        if given:
            reach = seen_by(layer, given[0], reach)
        outputs = list(_tensors(output))
        self._reaches.update((id(y), reach) for y in outputs)
        self._latest = reach
        self._alive += outputs
        self.ledger.enter(name, layer, inputs=given, outputs=outputs[:1], reach=reach)


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
