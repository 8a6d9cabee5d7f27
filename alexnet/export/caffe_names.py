"""Weights of Caffe's published nets, in and out by the names of its layers.

Sources: Caffe's bvlc_alexnet, bvlc_reference_caffenet, bvlc_googlenet and lenet; the authors' own
files of VGG (1409.1556) and ResNet (1512.03385). A layer there has blobs by number: weights and
biases; a BatchNorm has mean, variance and the factor that both are to be divided by, and a Scale
behind it gamma and beta.

Caffe's pictures are BGR. For a net of ours that reads RGB the first convolution's kernels are
turned round on the way.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.export.fit import auxiliary, blank, check, last_layer
from alexnet.nearest import nearest
from alexnet.nets import find
from alexnet.nets.chain import Chain

Array = NDArray[np.float32]
Colours = Literal["rgb", "bgr"]
Place = tuple[str, int]
"""A layer of Caffe's and the number of a blob."""

SERVED = (
    "lenet",
    "bvlc-alexnet",
    "caffenet",
    *(f"vgg{layers}" for layers in (11, 13, 16, 19)),
    "googlenet",
    *(f"resnet{layers}" for layers in (50, 101, 152)),
)
"""Nets of ours that compute what a net of Caffe's does."""
WITH_BIAS = ("resnet50", "conv1")
"""A convolution that has biases in the authors' file though a BatchNorm follows."""
FACTOR = 2
"""The blob of a BatchNorm by which the other two are to be divided."""

_GOOGLENET = {
    "conv1": "conv1/7x7_s2",
    "reduce2": "conv2/3x3_reduce",
    "conv2": "conv2/3x3",
    "fc": "loss3/classifier",
}
_INCEPTION = {
    "conv1x1": "1x1",
    "reduce3x3": "3x3_reduce",
    "conv3x3": "3x3",
    "reduce5x5": "5x5_reduce",
    "conv5x5": "5x5",
    "project": "pool_proj",
}
_BRANCHES = {"conv1": "2a", "conv2": "2b", "conv3": "2c", "project": "1"}


def to_caffe(
    name: str,
    state_dict: Mapping[str, Tensor],
    *,
    colours: Colours = "rgb",
    input_size: int | None = None,
) -> dict[str, list[Array]]:
    """Return the blobs of Caffe's layers for the weights of our net called `name`.

    `colours` are those that our net reads; Caffe's reads BGR. Variances and means get the factor
    1; conv1 of resnet50 gets the biases that its file has, all 0.

    Raises: ValueError if Caffe has no such net, or tensors are missing, too many or of another
            shape.
    """
    _refuse_unserved(name)
    bias = state_dict.get(f"{last_layer(name)}.bias")
    net = blank(name, classes=1000 if bias is None else bias.numel(), input_size=input_size)
    found = {key: tuple(tensor.shape) for key, tensor in state_dict.items()}
    expected = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    check(found, expected, what=name, optional=auxiliary(net))
    layers: dict[str, dict[int, Array]] = {}
    for key, (layer, number) in _places(name, net).items():
        if key in state_dict:
            blob = state_dict[key].detach().cpu().float().numpy()
            if key == _first_weight(net) and colours == "rgb":
                blob = blob[:, ::-1]
            layers.setdefault(layer, {})[number] = np.array(blob, np.float32, order="C")
    for layer in _norms(name, net):
        layers[layer][FACTOR] = np.ones(1, np.float32)
    if name == WITH_BIAS[0]:
        first = layers[WITH_BIAS[1]]
        first[1] = np.zeros(len(first[0]), np.float32)
    return {layer: [blobs[i] for i in sorted(blobs)] for layer, blobs in layers.items()}


def from_caffe(
    name: str,
    blobs: Mapping[str, Sequence[NDArray[Any]]],
    *,
    colours: Colours = "rgb",
    input_size: int | None = None,
) -> dict[str, Tensor]:
    """Return the weights of our net called `name` from the blobs of Caffe's layers.

        mean = blob_0 / blob_2,   variance = blob_1 / blob_2,   0 where blob_2 is 0

    A bias before a BatchNorm is taken off its mean. Blobs of old files, (1, 1, N, M), are read as
    (N, M). The number of classes is taken from the last layer. The auxiliary classifiers may be
    missing all together, as in a file of the deploy net; they are then missing in the result.

    Raises: ValueError if Caffe has no such net, or blobs are missing, too many or of another shape.
    """
    _refuse_unserved(name)
    given = {(layer, i): np.asarray(b) for layer, bs in blobs.items() for i, b in enumerate(bs)}
    biases = given.get(_places(name, blank(name, classes=1))[f"{last_layer(name)}.bias"])
    classes = 1000 if biases is None or not biases.size else biases.size
    net = blank(name, classes=classes, input_size=input_size)
    places, shapes = _places(name, net), net.state_dict()
    expected = {place: tuple(shapes[key].shape) for key, place in places.items()}
    expected |= {(layer, FACTOR): (1,) for layer in _norms(name, net)}
    beside = {(WITH_BIAS[1], 1): (64,)} if name == WITH_BIAS[0] else {}
    if not beside.keys() <= given.keys():
        beside = {}  # files that others trained leave the biases out
    _check_blobs(given, expected | beside, name=name, net=net)

    values = {p: given[p].reshape(shape) for p, shape in (expected | beside).items() if p in given}
    _divide_by_factors(values, _norms(name, net))
    for layer, _ in beside:
        values[f"bn_{layer}", 0] = values[f"bn_{layer}", 0] - values[layer, 1]
    state: dict[str, Tensor] = {}
    for key in shapes:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
        elif places[key] in values:
            value = values[places[key]]
            turned = value[:, ::-1] if key == _first_weight(net) and colours == "rgb" else value
            state[key] = torch.from_numpy(np.array(turned, np.float32, order="C"))
    return state


def _divide_by_factors(values: dict[Place, NDArray[Any]], norms: Sequence[str]) -> None:
    for layer in norms:
        factor = float(values[layer, FACTOR][0])
        for number in (0, 1):
            values[layer, number] = values[layer, number] * (1 / factor if factor else 0.0)


def _check_blobs(
    given: Mapping[Place, NDArray[Any]],
    expected: Mapping[Place, tuple[int, ...]],
    *,
    name: str,
    net: Chain,
) -> None:
    places = _places(name, net)
    found = {}
    for place, blob in given.items():
        shape, wanted = tuple(blob.shape), expected.get(place)
        old = len(shape) == 4 and wanted and shape == (1,) * (4 - len(wanted)) + wanted
        found[_label(place)] = wanted if old and wanted else shape
    check(
        found,
        {_label(place): shape for place, shape in expected.items()},
        what=f"Caffe's {name}",
        optional=[_label(places[key]) for key in auxiliary(net)],
    )


def _label(place: Place) -> str:
    return f"{place[0]}[{place[1]}]"


def _refuse_unserved(name: str) -> None:
    find(name)
    if name not in SERVED:
        raise ValueError(
            f"no published net of Caffe's computes what {name!r} does{nearest(name, SERVED)}; "
            f"weights go over for {', '.join(SERVED)}"
        )


def _first_weight(net: Chain) -> str:
    """Return the name of the kernels that read the colours; there are none in a grey net."""
    name, layer = next((n, e) for n, e in net.named_modules() if isinstance(e, nn.Conv2d))
    return f"{name}.weight" if layer.in_channels == 3 else ""


def _norms(name: str, net: Chain) -> list[str]:
    """Return Caffe's names of the BatchNorm layers."""
    layers = [n for n, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    return [_resnet(layer, name=name, net=net)[0] for layer in layers]


def _places(name: str, net: Chain) -> dict[str, Place]:
    """Return where Caffe has each tensor of ours; a count of batches has no place."""
    numbers = {"weight": 0, "bias": 1, "running_mean": 0, "running_var": 1}
    places = {}
    for key in net.state_dict():
        layer, _, tensor = key.rpartition(".")
        if tensor == "num_batches_tracked":
            continue
        if name.startswith("resnet"):
            norm, scale = _resnet(layer, name=name, net=net)
            theirs = norm if tensor.startswith("running") else scale
        elif name == "googlenet":
            theirs = _googlenet(layer)
        else:
            theirs = layer
        places[key] = (theirs, numbers[tensor])
    return places


def _googlenet(layer: str) -> str:
    block, _, inside = layer.rpartition(".")
    if not block:
        return _GOOGLENET[inside]
    return f"{block}/{_INCEPTION[inside] if block.startswith('inception') else inside}"


def _resnet(layer: str, *, name: str, net: Chain) -> tuple[str, str]:
    """Return a batch norm's BatchNorm and Scale; for any other layer its name, twice."""
    if layer == "fc":
        return "fc1000", "fc1000"
    block, _, inside = layer.rpartition(".")
    if not block:
        return ("conv1", "conv1") if inside == "conv1" else ("bn_conv1", "scale_conv1")
    stage, number = (int(digits) for digits in re.findall(r"\d+", block))
    letter = chr(ord("a") + number - 1)
    if name != "resnet50" and stage in (3, 4) and number > 1:
        letter = f"b{number - 1}"  # the deep nets have more blocks there than letters
    convolution = inside.replace("bn_project", "project").replace("bn", "conv")
    place = f"{stage}{letter}_branch{_BRANCHES[convolution]}"
    if convolution == inside:
        return f"res{place}", f"res{place}"
    return f"bn{place}", f"scale{place}"
