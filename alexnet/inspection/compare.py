"""The differences of two nets: what their presets say, and what that does to each layer."""

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from alexnet.inspection.figures import LayerFigures
from alexnet.inspection.summary import summarise
from alexnet.model import architecture
from alexnet.nets.chain import Architecture

DESCRIPTIVE = ("published", "notes", "text")


@dataclass(frozen=True)
class Difference:
    """One thing in which two nets differ."""

    what: str
    first: str
    second: str


def compare(first: str, second: str) -> list[Difference]:
    """List the differences of two nets: fields of the preset, then layers, then totals.

    The order of layers is compared within a family only; between two the lists of layers say it.

    Raises: ValueError if one of them is not the name of a net.
    """
    one, two = _preset(architecture(first)), _preset(architecture(second))
    found = [
        Difference(key, one.get(key, "-"), two.get(key, "-"))
        for key in dict.fromkeys([*one, *two])
        if one.get(key) != two.get(key)
    ]
    summaries = summarise(first), summarise(second)
    layers = [{layer.name: _describe(layer) for layer in s.layers} for s in summaries]
    for name in dict.fromkeys([*layers[0], *layers[1]]):
        a, b = (side.get(name, "-") for side in layers)
        if a != b:
            found.append(Difference(name, a, b))
    orders = _differing_run(*(list(side) for side in layers))
    if any(orders) and type(architecture(first)) is type(architecture(second)):
        found.append(Difference("order of layers", *(" ".join(order) for order in orders)))
    for key, value in summaries[0].totals.items():
        other = summaries[1].totals[key]
        if value != other:
            found.append(Difference(f"total {key}", f"{value:,}", f"{other:,}"))
    return found


def _differing_run(one: list[str], two: list[str]) -> tuple[list[str], list[str]]:
    """Return two sequences without their common beginning and end."""
    for _ in range(2):  # cut the beginning, turn round, cut what was the end, turn back
        while one and two and one[0] == two[0]:
            one, two = one[1:], two[1:]
        one, two = one[::-1], two[::-1]
    return one, two


def _preset(net: Architecture) -> dict[str, str]:
    """Return the fields of a preset as text; presets of two kinds share some of them."""
    values: Any = net
    if is_dataclass(values) and not isinstance(values, type):
        return _fields(asdict(values))
    return _fields({"source": net.source, "input_size": net.input_size})


def _fields(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _fields(value, f"{key}.")
        elif key not in DESCRIPTIVE:
            flat[prefix + key] = (
                ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            )
    return flat


def _describe(layer: LayerFigures) -> str:
    shape = "x".join(map(str, layer.output))
    parameters = f", {layer.parameters:,} parameters" if layer.parameters else ""
    return f"{layer.operation} {shape}{parameters}"
