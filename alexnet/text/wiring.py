"""Which layer reads what another one made: names of blobs become values, checked on the way.

A layer that works in place gives its bottom's name to a new value; who comes later reads that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alexnet.nearest import nearest
from alexnet.text.kind import Kind
from alexnet.text.message import Message, TextError
from alexnet.text.parser import MAX_LAYERS


@dataclass
class Node:
    """A layer between the values that it reads and makes, which are numbers."""

    record: Message
    kind: Kind
    bottoms: list[int] = field(default_factory=list)
    tops: list[int] = field(default_factory=list)
    loss_weights: list[float] = field(default_factory=list)
    """One for each top; 0 for a top that is no loss."""

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.record["name"])


@dataclass
class Wiring:
    """All layers of a net in their order, and the names of their values."""

    nodes: list[Node]
    names: list[str]
    """Name of each value; several values have one name where layers work in place."""
    outputs: list[int]
    """Values that no layer reads, in the order of their making."""

    @property
    def last(self) -> dict[str, int]:
        """The value that a name means after the last layer."""
        return {name: number for number, name in enumerate(self.names) if name}


def wire(net: Message, kinds: Mapping[str, Kind]) -> Wiring:
    """Connect the layers of a net that is upgraded and filtered.

    Raises: TextError for an unknown kind of layer (the nearest is named), a wrong number of bottoms
            or tops, a bottom that no layer makes or that is made later, a top or a layer's name
            that stands twice; with the places of both layers.
    """
    records: list[Message] = net["layer"]
    if len(records) > MAX_LAYERS:
        raise TextError(f"{net.source}: {len(records):,} layers; at most {MAX_LAYERS:,} are read")
    nodes = [Node(record, _kind(record, kinds)) for record in records]
    _check_names(records)
    names: list[str] = []
    current: dict[str, int] = {}
    makers: dict[str, Message] = {}
    read: set[int] = set()
    for node in nodes:
        _check_counts(node)
        for name in node.record["bottom"]:
            if name not in current:
                raise _missing(name, node.record, current, records)
            node.bottoms.append(current[name])
        tops: list[str] = list(node.record["top"])
        missing = node.kind.tops[0] - len(tops) if node.kind.loss else 0
        for index, name in enumerate([*tops, *[""] * max(missing, 0)]):
            if name in tops[:index]:
                raise node.record.refuse(f"names the top {name!r} twice; rename one", "top")
            if name in current:
                _check_in_place(node, index, name, current[name] in read, makers[name])
            node.tops.append(len(names))
            names.append(name)
        read.update(node.bottoms)
        for name, value in zip(tops, node.tops, strict=False):
            current[name], makers[name] = value, node.record
        node.loss_weights = _loss_weights(node)
    outputs = [n for n, name in enumerate(names) if name and n not in read]
    return Wiring(nodes, names, outputs)


def _kind(record: Message, kinds: Mapping[str, Kind]) -> Kind:
    name = record["type"]
    if name not in kinds:
        raise record.refuse(f"no kind of layer is called {name!r}{nearest(name, kinds)}", "type")
    return kinds[name]


def _check_names(records: list[Message]) -> None:
    seen: dict[str, Message] = {}
    for record in records:
        name = record["name"]
        if name in seen:
            first = seen[name].place("name")
            raise record.refuse(f"a layer of that name stands at {first or 'an earlier place'} too")
        seen[name] = record


def _check_counts(node: Node) -> None:
    for what, allowed in (("bottom", node.kind.bottoms), ("top", node.kind.tops)):
        count, (least, most) = len(node.record[what]), allowed
        if what == "top" and node.kind.loss:
            least = 0  # the original gives a loss without a top one of its own
        if not least <= count <= most:
            wanted = str(least) if least == most else f"{least} or more"
            if least != most < 100:
                wanted = f"{least} to {most}"
            raise node.record.refuse(
                f"{node.record['type']} has {count} {what} blobs; it takes {wanted}"
            )


def _missing(
    name: str, record: Message, current: Mapping[str, int], records: list[Message]
) -> TextError:
    for other in records:
        if name in other["top"]:
            place = other.place("top")
            return record.refuse(
                f"bottom {name!r} is made only later, by layer {other['name']!r}"
                f"{f' at {place}' if place else ''}; layers stand in the order in which they run, "
                "and may not form a circle",
                "bottom",
            )
    known = nearest(name, current) or f"; there is {', '.join(current) or 'none yet'}"
    return record.refuse(f"no layer before makes the bottom {name!r}{known}", "bottom")


def _check_in_place(node: Node, index: int, name: str, shared: bool, maker: Message) -> None:
    bottoms: list[str] = node.record["bottom"]
    place = maker.place("top")
    if index >= len(bottoms) or bottoms[index] != name:
        raise node.record.refuse(
            f"top {name!r} is made by layer {maker['name']!r} too"
            f"{f' at {place}' if place else ''}; "
            "give one of them another name",
            "top",
        )
    if shared:
        raise node.record.refuse(
            f"works in place on {name!r}, made by layer {maker['name']!r}"
            f"{f' at {place}' if place else ''} and read by another layer before; "
            "give the top another name",
            "top",
        )


def _loss_weights(node: Node) -> list[float]:
    given: list[float] = list(node.record["loss_weight"])
    if given and len(given) != len(node.tops):
        raise node.record.refuse(
            f"loss_weight stands {len(given)} times for {len(node.tops)} top blobs; "
            "give one for each or none",
            "loss_weight",
        )
    if given:
        return given
    return [float(node.kind.loss and index == 0) for index in range(len(node.tops))]
