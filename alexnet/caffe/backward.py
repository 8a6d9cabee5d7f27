"""Where a pass back through some of a net's layers starts, and where its gradients arrive.

Source: BVLC Caffe, src/caffe/net.cpp: BackwardFromTo, and solver-less use of it from pycaffe. What
differs: a blob that layers on both sides of the start read has the gradient of those before alone;
there, what is left of the other side's last pass is added.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.text.wiring import Wiring

Values = Mapping[int, Tensor]
"""What a pass read and made, by the wiring's numbers."""


def find_ends(wiring: Wiring, stop: int) -> list[int]:
    """Return the values that the first `stop` layers make and none of them reads."""
    nodes = wiring.nodes[:stop]
    read = {value for node in nodes for value in node.bottoms}
    return [value for node in nodes for value in node.tops if value not in read]


def find_heads(
    wiring: Wiring,
    stop: int,
    *,
    values: Values,
    diff: Callable[[str], NDArray[np.float32]],
    given: Collection[str],
) -> list[tuple[Tensor, Tensor]]:
    """Return what a pass back over the first `stop` layers starts from, and the gradients there.

    A loss has its weight, if its name is not among the `given`; all other ends have the `diff` of
    their blobs.

    Raises: ValueError if there is nothing that a gradient could go back from.
    """
    losses = {
        value: weight
        for node in wiring.nodes[:stop]
        for value, weight in zip(node.tops, node.loss_weights, strict=True)
        if weight
    }
    heads = []
    for value in sorted({*find_ends(wiring, stop), *losses}):
        tensor, name = values.get(value), wiring.names[value]
        if tensor is None or not tensor.requires_grad:
            continue
        if value in losses and name not in given:
            heads.append((tensor, torch.full_like(tensor, losses[value])))
        else:
            heads.append((tensor, torch.from_numpy(diff(name).copy())))
    if not heads:
        raise ValueError("there is nothing to go back from; call forward() first")
    return heads


def first_values(wiring: Wiring, layers: range, values: Values) -> dict[str, int]:
    """Return the value with a gradient that each blob has before all others in these layers."""
    found: dict[str, int] = {}
    for node in (wiring.nodes[index] for index in layers):
        for value in [*node.bottoms, *node.tops]:
            name = wiring.names[value]
            if name and value in values and values[value].requires_grad:
                found[name] = min(value, found.get(name, value))
    return found
