"""GoogLeNet in numpy: Caffe's train_val.prototxt without dropout, and torchvision's net.

`weights` has the net's tensors by name. Every activation is returned under its layer's name, the
auxiliary classifiers' logits under loss1 and loss2.
"""

import numpy as np

from tests.oracles.alexnet import Array, Seen, average, convolve, normalise_maps, pool, rectify
from tests.oracles.vgg import Tensors, halve, normalise

BLOCKS = ("3a", "3b", "pool3", "4a", "4b", "4c", "4d", "4e", "pool4", "5a", "5b")


def googlenet(x: Array, weights: Tensors, *, torchvision: bool) -> Seen:
    """Compute all three classifiers."""
    seen: Seen = {}
    x = _convolve(x, weights, seen, name="conv1", stride=2)
    seen["pool1"] = x = pool(x, ceil=True)
    if not torchvision:
        seen["norm1"] = x = normalise_maps(x, bias=1, per_term=1e-4 / 5)
    x = _convolve(x, weights, seen, name="reduce2")
    x = _convolve(x, weights, seen, name="conv2")
    if not torchvision:
        seen["norm2"] = x = normalise_maps(x, bias=1, per_term=1e-4 / 5)
    seen["pool2"] = x = pool(x, ceil=True)
    for block in BLOCKS:
        if block == "pool4" and torchvision:
            even = ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2))
            seen[block] = x = halve(np.pad(x, even, constant_values=-np.inf))
        elif block.startswith("pool"):
            seen[block] = x = pool(x, ceil=True)
        else:
            seen[f"inception_{block}"] = x = _inception(x, weights, seen, f"inception_{block}")
        if block in ("4a", "4d"):
            head = "loss1" if block == "4a" else "loss2"
            seen[head] = _classifier(x, weights, head, torchvision=torchvision)
    seen["pool5"] = x.mean((2, 3), keepdims=True)
    seen["flatten"] = seen["drop5"] = x = x.mean((2, 3))
    return seen | {"fc": x @ weights["fc.weight"].T + weights["fc.bias"]}


def _inception(x: Array, weights: Tensors, seen: Seen, name: str) -> Array:
    one = _convolve(x, weights, seen, name=f"{name}.conv1x1")
    three = _convolve(x, weights, seen, name=f"{name}.reduce3x3")
    three = _convolve(three, weights, seen, name=f"{name}.conv3x3")
    five = _convolve(x, weights, seen, name=f"{name}.reduce5x5")
    five = _convolve(five, weights, seen, name=f"{name}.conv5x5")
    seen[f"{name}.pool"] = pooled = _largest_around(x)
    pooled = _convolve(pooled, weights, seen, name=f"{name}.project")
    seen[f"{name}.concat"] = joined = np.concatenate([one, three, five, pooled], 1)
    return joined


def _largest_around(x: Array) -> Array:
    height, width = x.shape[2:]
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    shifted = [x[:, :, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    largest: Array = np.max(shifted, axis=0)
    return largest


def _classifier(x: Array, weights: Tensors, name: str, *, torchvision: bool) -> Array:
    x = average(x, 4) if torchvision else _mean_of_windows(x)
    x = _convolve(x, weights, {}, name=f"{name}.conv").reshape(len(x), -1)
    x = rectify(x @ weights[f"{name}.fc.weight"].T + weights[f"{name}.fc.bias"])
    return x @ weights[f"{name}.classifier.weight"].T + weights[f"{name}.classifier.bias"]


def _mean_of_windows(x: Array) -> Array:
    """Return means of 5 x 5 places, every third; a window that hangs over has fewer places."""
    starts = range(0, max(x.shape[2] - 5 + 2, 0) // 3 * 3 + 1, 3)
    rows = [
        np.stack([x[:, :, i : i + 5, j : j + 5].mean((2, 3)) for j in starts], -1) for i in starts
    ]
    return np.stack(rows, -2)


def _convolve(x: Array, weights: Tensors, seen: Seen, *, name: str, stride: int = 1) -> Array:
    """Convolve, keeping the size, normalise where the net does, and rectify."""
    block, _, child = name.rpartition(".")
    short = child.removeprefix("conv") if child.startswith("conv") else f"_{child}"
    before = f"{block}." if block else ""
    weight = weights[f"{name}.weight"]
    bias = weights.get(f"{name}.bias", np.zeros(len(weight)))
    seen[name] = x = convolve(x, weight, bias, stride=stride, padding=weight.shape[2] // 2)
    if f"{before}bn{short}.weight" in weights:
        x = normalise(x, weights, f"{before}bn{short}", epsilon=1e-3)
        seen[f"{before}bn{short}"] = x
    seen[f"{before}relu{short}"] = x = rectify(x)
    return x
