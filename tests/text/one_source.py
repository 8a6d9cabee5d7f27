"""Single data layers from text, for their tests."""

from typing import Literal

import torch

from alexnet.text.assembly import as_tuple
from alexnet.text.kind import Setting, Source
from alexnet.text.prototxt import parse
from alexnet.text.sources import KINDS
from alexnet.text.upgrade import upgrade_net


def build(text: str, phase: Literal["TRAIN", "TEST"] = "TEST") -> Source:
    """Build the only layer of a net as a net does: on the meta device, without its batches."""
    record = upgrade_net(parse(text, "NetParameter"))["layer"][0]
    with torch.device("meta"), torch.no_grad():
        source = KINDS[record["type"]].build(Setting(record, (), phase))
    assert isinstance(source, Source)
    return source


def layer(kind: str, fields: str, tops: int = 2) -> str:
    """Return a layer called "it" as text."""
    names = " ".join(f'top: "{name}"' for name in ("data", "label", "third")[:tops])
    return f'layer {{ name: "it" type: "{kind}" {names} {fields} }}'


def take(source: Source) -> list[torch.Tensor]:
    """Return the next batch of each top."""
    return list(as_tuple(source()))
