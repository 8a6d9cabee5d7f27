"""Kinds of layers held to what the original Caffe made of the same layers."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.text.assembly import as_tuple, materialise
from alexnet.text.kind import Kind, Setting, blobs
from alexnet.text.prototxt import parse
from tests.golden.layer_cases import Array, Case

RELATIVE = 1e-5
"""The bound of the project for a layer, relative to each value and to the largest one of its array:
sums that are taken in another order are off by the size of their terms, not of their result."""


def build(case: Case, kinds: Mapping[str, Kind]) -> nn.Module:
    """Build a case's layer as a net does: on the meta device, with a run for the shapes.

    The tops' shapes must be the original's.
    """
    record = parse(case.layer, "NetParameter")["layer"][0]
    kind = kinds[record["type"]]
    shapes = tuple(bottom.shape for bottom in case.bottoms)
    assert kind.bottoms[0] <= len(shapes) <= kind.bottoms[1]
    assert kind.tops[0] <= case.tops <= kind.tops[1]
    with torch.device("meta"), torch.no_grad():
        module = kind.build(Setting(record, shapes, "TRAIN")).train()
        tops = as_tuple(module(*(torch.empty(shape) for shape in shapes)))
    assert [tuple(top.shape) for top in tops] == [y.shape for y in case.numbered("y")]
    materialise(module)
    return module


def check(case: Case, kinds: Mapping[str, Kind], *, channels_last: bool = False) -> None:
    """Compare tops, gradients and changed blobs of a case with the original's."""
    module = build(case, kinds)
    own = blobs(module)
    given = case.numbered("blob")
    assert [tuple(blob.shape) for blob in own] == [array.shape for array in given]
    with torch.no_grad():
        for blob, array in zip(own, given, strict=True):
            blob.copy_(torch.from_numpy(array))
    xs = [torch.from_numpy(x) for x in case.numbered("x")]
    if channels_last:
        xs = [x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in xs]
    for x, bottom in zip(xs, case.bottoms, strict=True):
        x.requires_grad_(bottom.learns)
    tops = as_tuple(module(*xs))
    weights = [torch.from_numpy(w) for w in case.numbered("w")]
    loss = sum(((y * w).sum() for y, w in zip(tops, weights, strict=True)), torch.zeros(()))
    if loss.requires_grad:
        loss.backward()
    for index, (top, y) in enumerate(zip(tops, case.numbered("y"), strict=True)):
        _compare(top, y, f"{case.name}: y{index}")
    for index, x in enumerate(xs):
        if f"dx{index}" in case.arrays:
            _compare(_gradient(x), case.arrays[f"dx{index}"], f"{case.name}: dx{index}")
    for index, blob in enumerate(own):
        if f"after{index}" in case.arrays:
            _compare(blob, case.arrays[f"after{index}"], f"{case.name}: after{index}")
        else:
            _compare(_gradient(blob), case.arrays[f"dblob{index}"], f"{case.name}: dblob{index}")


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _compare(ours: Tensor, theirs: Array, what: str) -> None:
    finite = theirs[np.isfinite(theirs)]
    largest = float(np.abs(finite).max(initial=0.0))
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs, rtol=RELATIVE, atol=RELATIVE * largest, err_msg=what
    )
