"""The calls that a net makes of its layers for one picture: what each read, gave and sees.

Layers are followed by the tensors that pass between them, so that a net of blocks is followed as
one that is a chain. What comes about outside any layer, such as a sum of two branches, has no call.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.inspection.reach import PICTURE, Reach, join, seen_by
from alexnet.nets.chain import Chain, leaves

PICTURE_NAME = "input"


@dataclass(frozen=True)
class Call:
    """One layer at work on one picture."""

    name: str
    layer: nn.Module
    reads: str
    """The layer whose output it read: "input" for the picture, "" for what no layer gave."""
    x: Tensor
    """What it read, (1, ...)."""
    y: Tensor
    """What it gave, before anything that follows in place."""
    reach: Reach
    """The pixels that its outputs see."""


@torch.no_grad()
def calls_of(net: Chain, x: Tensor) -> dict[str, Call]:
    """Return the calls of a net's layers by their names, in their order, as it answers.

    Shapes:  x (1, C, H, W).
    """
    found: dict[str, Call] = {}
    makers, reaches = {id(x): PICTURE_NAME}, {id(x): PICTURE}
    kept = [x]  # an id is a tensor's as long as the tensor lives

    def keep(name: str, layer: nn.Module, given: tuple[Any, ...], y: Any) -> Any:
        tensors = [each for each in given if isinstance(each, Tensor)]
        if not tensors or not isinstance(y, Tensor):
            return y
        latest = next(reversed(found.values())).reach if found else PICTURE
        reach = join([reaches.get(id(each), latest) for each in tensors])
        reach = seen_by(layer, tensors[0], reach)
        found[name] = Call(name, layer, makers.get(id(tensors[0]), ""), tensors[0], y, reach)
        passed = y.clone()
        kept.extend((*tensors, passed))
        makers[id(passed)], reaches[id(passed)] = name, reach
        return passed

    handles = [
        layer.register_forward_hook(lambda layer, given, y, name=name: keep(name, layer, given, y))
        for name, layer in leaves(net)
    ]
    was_training = net.training
    try:
        net.eval()(x)
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def span(reach: Reach, place: int, size: int) -> tuple[int, int]:
    """Return the first pixel that an output sees along a side, and the one behind the last."""
    first, last = reach.first(place), reach.last(place)
    return max(0, int(first // 1)), min(size, int(-(-last // 1)) + 1)
