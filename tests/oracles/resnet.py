"""ResNet at test time in numpy, from table 1 and figures 3 and 5 of arXiv 1512.03385.

`weights` has the net's tensors by name. Every activation is returned under its layer's name.
"""

import numpy as np

from tests.oracles.alexnet import Array, Seen, convolve, pool, rectify
from tests.oracles.vgg import Tensors, normalise

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


def resnet(x: Array, weights: Tensors, *, layers: int, torchvision: bool) -> Seen:
    """Compute the net of that many layers, as Caffe's files of the authors or as torchvision.

    The 18 and 34-layer nets have blocks of two 3 x 3 convolutions, the others bottlenecks.
    """
    seen: Seen = {}
    seen["conv1"] = x = _convolve(x, weights, "conv1", stride=2)
    seen["bn1"] = x = normalise(x, weights, "bn1")
    seen["relu1"] = x = rectify(x)
    if torchvision:
        around = ((0, 0), (0, 0), (1, 1), (1, 1))
        x = pool(np.pad(x, around, constant_values=-np.inf), ceil=False)
    else:
        x = pool(x, ceil=True)
    seen["pool1"] = x
    for stage, blocks in enumerate(BLOCKS[layers], start=2):
        for number in range(1, blocks + 1):
            name = f"conv{stage}_{number}"
            stride = 2 if number == 1 and stage >= 3 else 1
            if layers < 50:
                inside = _basic(x, weights, name, stride=stride)
            else:
                inside = _bottleneck(x, weights, name, stride=stride, late=torchvision)
            seen |= inside
            seen[name] = x = seen[f"{name}.relu"]
    seen["pool5"] = x.mean((2, 3), keepdims=True)
    seen["flatten"] = x = x.mean((2, 3))
    return seen | {"fc": x @ weights["fc.weight"].T + weights["fc.bias"]}


def _basic(x: Array, weights: Tensors, name: str, *, stride: int) -> Seen:
    seen: Seen = {}
    seen[f"{name}.conv1"] = y = _convolve(x, weights, f"{name}.conv1", stride=stride)
    seen[f"{name}.bn1"] = y = normalise(y, weights, f"{name}.bn1")
    seen[f"{name}.relu1"] = y = rectify(y)
    seen[f"{name}.conv2"] = y = _convolve(y, weights, f"{name}.conv2")
    seen[f"{name}.bn2"] = y = normalise(y, weights, f"{name}.bn2")
    return seen | _joined(x, y, weights, name=name, stride=stride)


def _bottleneck(x: Array, weights: Tensors, name: str, *, stride: int, late: bool) -> Seen:
    seen: Seen = {}
    first, second = (1, stride) if late else (stride, 1)
    seen[f"{name}.conv1"] = y = _convolve(x, weights, f"{name}.conv1", stride=first)
    seen[f"{name}.bn1"] = y = normalise(y, weights, f"{name}.bn1")
    seen[f"{name}.relu1"] = y = rectify(y)
    seen[f"{name}.conv2"] = y = _convolve(y, weights, f"{name}.conv2", stride=second)
    seen[f"{name}.bn2"] = y = normalise(y, weights, f"{name}.bn2")
    seen[f"{name}.relu2"] = y = rectify(y)
    seen[f"{name}.conv3"] = y = _convolve(y, weights, f"{name}.conv3")
    seen[f"{name}.bn3"] = y = normalise(y, weights, f"{name}.bn3")
    return seen | _joined(x, y, weights, name=name, stride=stride)


def _joined(x: Array, y: Array, weights: Tensors, *, name: str, stride: int) -> Seen:
    """Add the shortcut: the input where shapes agree, a projection where not (option B)."""
    seen: Seen = {}
    if y.shape != x.shape:
        seen[f"{name}.project"] = x = _convolve(x, weights, f"{name}.project", stride=stride)
        seen[f"{name}.bn_project"] = x = normalise(x, weights, f"{name}.bn_project")
    seen[f"{name}.add"] = x + y
    return seen | {f"{name}.relu": rectify(x + y)}


def _convolve(x: Array, weights: Tensors, name: str, *, stride: int = 1) -> Array:
    weight = weights[f"{name}.weight"]
    padding = {1: 0, 3: 1, 7: 3}[weight.shape[2]]
    return convolve(x, weight, np.zeros(len(weight)), stride=stride, padding=padding)
