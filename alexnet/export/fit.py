"""What the tensors of a net are called and how large they are, and whether others agree."""

from collections.abc import Collection, Mapping

import torch

from alexnet.nearest import nearest
from alexnet.nets import find
from alexnet.nets.chain import Chain

Shape = tuple[int, ...]
SHOWN = 5
"""Names that a message lists before it only counts."""


def blank(name: str, *, classes: int, input_size: int | None = None) -> Chain:
    """Return the net called `name` without memory for its weights.

    Raises: ValueError if there is no such net, or it does not fit the sizes asked for.
    """
    with torch.device("meta"):
        return find(name).build(classes=classes, input_size=input_size)


def last_layer(name: str) -> str:
    """Return the name of the layer whose outputs are the classes."""
    return [step for step, _ in blank(name, classes=1).steps()][-1]


def auxiliary(net: Chain) -> frozenset[str]:
    """Return the names of the tensors that only training uses: those of auxiliary classifiers."""
    steps = {name for name, _ in net.steps()}
    return frozenset(name for name in net.state_dict() if name.partition(".")[0] not in steps)


def check(
    found: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    *,
    what: str,
    optional: Collection[str] = (),
) -> None:
    """Refuse tensors that are not the expected ones.

    `optional` may be missing all together.

    Raises: ValueError naming what is missing, what is too much and what has another shape.
    """
    missing = [name for name in expected if name not in found]
    if set(missing) == set(optional):
        missing = []
    complaints = []
    if missing:
        complaints.append(f"{_listed(missing)} missing")
    extra = [f"{name!r}{nearest(name, missing)}" for name in found if name not in expected]
    if extra:
        complaints.append(f"{_listed(extra)} not known")
    other = [
        f"{name} is {list(shape)} instead of {list(expected[name])}"
        for name, shape in found.items()
        if name in expected and shape != expected[name]
    ]
    if other:
        complaints.append(_listed(other))
    if complaints:
        raise ValueError(f"the tensors are not those of {what}: {'; '.join(complaints)}")


def _listed(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
