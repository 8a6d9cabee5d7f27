"""Forward passes of LeNet in float64 numpy, unit by unit from the paper and from Caffe's file."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tests.oracles.alexnet import convolve, rectify

Array = NDArray[np.float64]
Values = Mapping[str, Array]

# Table I of the paper as it is printed: a row for each map of S2, a column for each map of C3.
TABLE_I = """
X...XXX..XXXX.XX
XX...XXX..XXXX.X
XXX...XXX..X.XXX
.XXX..XXXX..X.XX
..XXX..XXXX.XX.X
...XXX..XXXX.XXX
"""


def squash(x: Array) -> Array:
    """Return A tanh(S x), A = 1.7159, S = 2/3."""
    return 1.7159 * np.tanh(2 / 3 * x)


def subsample(x: Array, weight: Array, bias: Array) -> Array:
    """Return coefficient times the sum of the four inputs, plus a bias, map by map."""
    tall, wide = x.shape[2] // 2, x.shape[3] // 2
    y = np.empty((*x.shape[:2], tall, wide))
    for n, c, p, q in np.ndindex(y.shape):
        y[n, c, p, q] = weight[c] * x[n, c, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2].sum() + bias[c]
    return y


def connect(x: Array, weight: Array, bias: Array) -> Array:
    """Return C3: each map the sum over the maps that its column of table I crosses."""
    rows = TABLE_I.split()
    side = x.shape[2] - 4
    y = np.zeros((len(x), 16, side, side))
    kernel = 0
    for k in range(16):
        for c in range(6):
            if rows[c][k] == "X":
                y[:, k] += convolve(x[:, c : c + 1], weight[kernel][None, None], np.zeros(1))[:, 0]
                kernel += 1
        y[:, k] += bias[k]
    assert kernel == len(weight) == 60
    return y


def distances(x: Array, codes: Array) -> Array:
    """Return equation 7: the squared distance of each row to each code."""
    return np.array([[((row - code) ** 2).sum() for code in codes] for row in x])


def lenet_5(x: Array, values: Values) -> dict[str, Array]:
    """Return the activations of LeNet-5 by layer, each before its squash, and the distances."""
    seen: dict[str, Array] = {}

    def layer(name: str, y: Array) -> Array:
        seen[name] = y
        return squash(y)

    x = layer("c1", convolve(x, values["c1.weight"], values["c1.bias"]))
    x = layer("s2", subsample(x, values["s2.weight"], values["s2.bias"]))
    x = layer("c3", connect(x, values["c3.weight"], values["c3.bias"]))
    x = layer("s4", subsample(x, values["s4.weight"], values["s4.bias"]))
    x = layer("c5", convolve(x, values["c5.weight"], values["c5.bias"]))
    x = x.reshape(len(x), -1)
    x = layer("f6", x @ values["f6.weight"].T + values["f6.bias"])
    seen["output"] = -distances(x, values["output.codes"])
    return seen


def equation_9(distances: Array, labels: NDArray[np.int64], penalty: float) -> float:
    """Return E: mean of y_D + ln(exp(-j) + sum over classes of exp(-y))."""
    total = 0.0
    for y, label in zip(distances, labels, strict=True):
        total += y[label] + np.log(np.exp(-penalty) + np.exp(-y).sum())
    return total / len(labels)


def pool(x: Array) -> Array:
    """Return the largest of each 2 x 2; a window at the edge has what is left of it."""
    tall, wide = -(-x.shape[2] // 2), -(-x.shape[3] // 2)
    y = np.empty((*x.shape[:2], tall, wide))
    for p in range(tall):
        for q in range(wide):
            y[:, :, p, q] = x[:, :, 2 * p : 2 * p + 2, 2 * q : 2 * q + 2].max((2, 3))
    return y


def lenet(x: Array, values: Values) -> dict[str, Array]:
    """Return the activations of Caffe's lenet.prototxt by layer."""
    seen: dict[str, Array] = {}
    seen["conv1"] = convolve(x, values["conv1.weight"], values["conv1.bias"])
    seen["pool1"] = pool(seen["conv1"])
    seen["conv2"] = convolve(seen["pool1"], values["conv2.weight"], values["conv2.bias"])
    seen["pool2"] = pool(seen["conv2"])
    flat = seen["pool2"].reshape(len(x), -1)
    seen["ip1"] = flat @ values["ip1.weight"].T + values["ip1.bias"]
    seen["relu1"] = rectify(seen["ip1"])
    seen["ip2"] = seen["relu1"] @ values["ip2.weight"].T + values["ip2.bias"]
    return seen
