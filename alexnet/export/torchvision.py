"""Weights of torchvision's nets, in and out by the names of its modules.

Source: torchvision.models (alexnet, vgg, googlenet, resnet), the names of their state dicts. Only
nets that compute the same have a table; `googlenet` and `resnet50` are other nets there than in
their papers, and their twins here end in -torchvision.

torchvision's weights expect RGB pixels p as (p / 255 - MEAN) / DEVIATION, from pictures whose
shorter side is 256 pixels and whose centre of 224 is kept; those of googlenet expect p / 127.5 - 1,
which its option transform_input makes of the former.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from alexnet.export.fit import auxiliary, blank, check, last_layer
from alexnet.nearest import nearest
from alexnet.nets import find

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

ARCHITECTURES = {
    "torchvision": "alexnet",
    **{f"vgg{layers}": f"vgg{layers}" for layers in (11, 13, 16, 19)},
    **{f"vgg{layers}-bn": f"vgg{layers}_bn" for layers in (11, 13, 16, 19)},
    "googlenet-torchvision": "googlenet",
    **{f"resnet{layers}-torchvision": f"resnet{layers}" for layers in (18, 34, 50, 101, 152)},
}
"""Our names of nets, and what torchvision calls them."""

_ALEXNET = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
_VGG_CLASSIFIER = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
_INCEPTION = {
    "1x1": "branch1",
    "_reduce3x3": "branch2.0",
    "3x3": "branch2.1",
    "_reduce5x5": "branch3.0",
    "5x5": "branch3.1",
    "_project": "branch4.1",
}
_GOOGLENET_STEM = {"1": "conv1", "_reduce2": "conv2", "2": "conv3"}
_COUNTER = "num_batches_tracked"


def from_torchvision(
    name: str, state_dict: Mapping[str, Tensor], *, input_size: int | None = None
) -> dict[str, Tensor]:
    """Rename a state dict of torchvision's into one for our net called `name`.

    The number of classes is taken from the last layer; counts of batches that are missing become
    0. The auxiliary classifiers of googlenet may be missing all together, as after
    aux_logits=False; they are then missing in the result.

    Raises: ValueError if torchvision has no such net, or tensors are missing, too many or of
            another shape.
    """
    table = _table(name, input_size=input_size)
    counters = {theirs for theirs in table.values() if theirs.endswith(_COUNTER)}
    last = table[f"{last_layer(name)}.bias"]
    found = {theirs: tuple(t.shape) for theirs, t in state_dict.items() if theirs not in counters}
    net = blank(name, classes=_classes(found, last), input_size=input_size)
    ours = net.state_dict()
    expected = {table[key]: tuple(tensor.shape) for key, tensor in ours.items()}
    check(
        found,
        {key: shape for key, shape in expected.items() if key not in counters},
        what=f"torchvision's {ARCHITECTURES[name]}",
        optional=[table[key] for key in auxiliary(net) if table[key] not in counters],
    )
    renamed: dict[str, Tensor] = {}
    for key, theirs in table.items():
        if theirs in state_dict:
            renamed[key] = state_dict[theirs]
        elif theirs in counters and theirs.replace(_COUNTER, "running_mean") in state_dict:
            renamed[key] = torch.zeros((), dtype=torch.int64)
    return renamed


def to_torchvision(
    name: str, state_dict: Mapping[str, Tensor], *, input_size: int | None = None
) -> dict[str, Tensor]:
    """Rename a state dict of our net called `name` into one for torchvision's.

    Raises: ValueError if torchvision has no such net, or tensors are missing, too many or of
            another shape.
    """
    table = _table(name, input_size=input_size)
    found = {key: tuple(tensor.shape) for key, tensor in state_dict.items()}
    net = blank(name, classes=_classes(found, f"{last_layer(name)}.bias"), input_size=input_size)
    expected = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    check(found, expected, what=name, optional=auxiliary(net))
    return {theirs: state_dict[key] for key, theirs in table.items() if key in state_dict}


def _classes(found: Mapping[str, tuple[int, ...]], bias: str) -> int:
    shape = found.get(bias, ())
    return max(shape[0], 1) if len(shape) == 1 else 1000


def _table(name: str, *, input_size: int | None) -> dict[str, str]:
    """Return torchvision's names of all tensors of our net."""
    if name not in ARCHITECTURES:
        find(name)
        twin = f"{name}-torchvision"
        way_out = (
            f"; its twin is {twin!r}" if twin in ARCHITECTURES else nearest(name, ARCHITECTURES)
        )
        raise ValueError(
            f"torchvision has no net that computes what {name!r} does{way_out}; "
            f"weights go over for {', '.join(ARCHITECTURES)}"
        )
    net = blank(name, classes=1, input_size=input_size)
    layers = [key.rpartition(".")[0] for key in net.state_dict()]
    if name == "torchvision":
        modules = _ALEXNET
    elif name.startswith("vgg"):
        positions = {step: f"features.{i}" for i, (step, _) in enumerate(net.steps())}
        modules = {**positions, **_VGG_CLASSIFIER}
    elif name.startswith("resnet"):
        modules = {layer: _resnet(layer) for layer in layers}
    else:
        modules = {layer: _googlenet(layer) for layer in layers}
    table = {}
    for key in net.state_dict():
        layer, _, tensor = key.rpartition(".")
        table[key] = f"{modules[layer]}.{tensor}"
    return table


def _resnet(layer: str) -> str:
    block, _, inside = layer.rpartition(".")
    if not block:
        return inside
    stage, number = re.findall(r"\d+", block)
    inside = {"project": "downsample.0", "bn_project": "downsample.1"}.get(inside, inside)
    return f"layer{int(stage) - 1}.{int(number) - 1}.{inside}"


def _googlenet(layer: str) -> str:
    block, _, inside = layer.rpartition(".")
    kind = "bn" if inside.startswith("bn") else "conv"
    place = inside.removeprefix("bn").removeprefix("conv")
    if place.startswith(("reduce", "project")):
        place = f"_{place}"
    if not block:
        return "fc" if inside == "fc" else f"{_GOOGLENET_STEM[place]}.{kind}"
    if block.startswith("loss"):
        inner = {"fc": "fc1", "classifier": "fc2"}.get(inside, f"conv.{kind}")
        return f"{block.replace('loss', 'aux')}.{inner}"
    return f"{block.replace('_', '')}.{_INCEPTION[place]}.{kind}"
