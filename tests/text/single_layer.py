"""Single layers from text, for the tests of their kinds."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import nn

from alexnet.text.assembly import as_tuple, materialise
from alexnet.text.kind import Kind, Setting, Shape, blobs
from alexnet.text.message import TextError
from alexnet.text.prototxt import parse


def make(
    kinds: Mapping[str, Kind], text: str, shapes: Sequence[Shape], *, tops: int = 1
) -> nn.Module:
    """Build a layer as a net does, in float64, with blobs drawn from a fixed seed."""
    names = [*(f'bottom: "x{i}"' for i in range(len(shapes)))]
    names += [f'top: "y{i}"' for i in range(tops)]
    whole = f'layer {{ name: "it" {" ".join(names)} {text} }}'
    record = parse(whole, "NetParameter")["layer"][0]
    with torch.device("meta"), torch.no_grad():
        module = kinds[record["type"]].build(Setting(record, tuple(shapes), "TRAIN"))
        if shapes:
            as_tuple(module(*(torch.empty(shape) for shape in shapes)))
    materialise(module)
    module.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for blob in blobs(module):
            blob.copy_(torch.randn(blob.shape, generator=generator, dtype=torch.float64))
    return module


def refused(
    kinds: Mapping[str, Kind],
    text: str,
    shapes: Sequence[Shape],
    *,
    why: str,
    tops: int = 1,
) -> None:
    """Expect that a layer is refused, under its name, for a reason that holds these words."""
    with pytest.raises(TextError) as caught:
        make(kinds, text, shapes, tops=tops)
    assert why in str(caught.value)
    assert "layer 'it'" in str(caught.value)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normal numbers in float64 that ask for a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
