"""Forward passes of AlexNet in float64 numpy, each written out from its source.

The two columns of 2012 are two lists of maps here, which meet where the text lets them meet. Each
function returns all activations by layer name, the columns joined, the first column's maps first.
Weights come as (kernels, channels, height, width) and (outputs, inputs); a bias each.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, tuple[Array, Array]]
Seen = dict[str, Array]

BETA = 0.75


def convolve(x: Array, weight: Array, bias: Array, *, stride: int = 1, padding: int = 0) -> Array:
    """Return y[n, k, p, q] = b[k] + sum over c, i, j of w[k, c, i, j] x[n, c, s p + i, s q + j]."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[2]
    rows, columns = ((side - size) // stride + 1 for side in x.shape[2:])
    y = np.zeros((len(x), len(weight), rows, columns)) + bias[:, None, None]
    for i in range(size):
        for j in range(size):
            seen = x[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
            y += np.einsum("nchw,kc->nkhw", seen, weight[:, :, i, j])
    return y


def grouped(x: Array, weight: Array, bias: Array, *, padding: int) -> Array:
    """Convolve each half of the maps with its half of the kernels: Caffe's `group: 2`."""
    channels, kernels = x.shape[1] // 2, len(weight) // 2
    first = convolve(x[:, :channels], weight[:kernels], bias[:kernels], padding=padding)
    second = convolve(x[:, channels:], weight[kernels:], bias[kernels:], padding=padding)
    return np.concatenate([first, second], 1)


def pool(x: Array, *, ceil: bool) -> Array:
    """Return the largest of each 3 x 3 window, every second pixel.

    `ceil` lets the last window hang over the edge, where it adds pixels to the one before it.
    """
    rows, columns = (range(0, side - (1 if ceil else 2), 2) for side in x.shape[2:])
    y = np.empty((*x.shape[:2], len(rows), len(columns)))
    for p, top in enumerate(rows):
        for q, left in enumerate(columns):
            y[:, :, p, q] = x[:, :, top : top + 3, left : left + 3].max((2, 3))
    return y


def average(x: Array, side: int) -> Array:
    """Return side x side means; window i runs from floor(i h / side) to ceil((i + 1) h / side)."""
    height, width = x.shape[2:]
    y = np.empty((*x.shape[:2], side, side))
    for i in range(side):
        rows = slice(i * height // side, -(-(i + 1) * height // side))
        for j in range(side):
            columns = slice(j * width // side, -(-(j + 1) * width // side))
            y[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return y


def normalise_maps(x: Array, *, bias: float, per_term: float) -> Array:
    """Divide by (bias + per_term * sum over the five maps around it of their squares) ** 0.75."""
    maps = x.shape[1]
    y = np.empty_like(x)
    for i in range(maps):
        energy = sum(x[:, j] ** 2 for j in range(max(0, i - 2), min(maps - 1, i + 2) + 1))
        y[:, i] = x[:, i] / (bias + per_term * energy) ** BETA
    return y


def normalise_places(x: Array, *, per_term: float) -> Array:
    """Divide by (1 + per_term * sum over the 5 x 5 places around it of their squares) ** 0.75."""
    height, width = x.shape[2:]
    energy = np.zeros_like(x)
    square = np.pad(x**2, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for i in range(5):
        for j in range(5):
            energy += square[:, :, i : i + height, j : j + width]
    return x / (1 + per_term * energy) ** BETA


def rectify(x: Array) -> Array:
    """Return max(x, 0)."""
    return np.maximum(x, 0)


# ---- Two columns --------------------------------------------------------------------------------


class TwoColumns:
    """Two columns of maps, and a record of what both computed."""

    def __init__(self, x: Array, weights: Weights) -> None:
        self.maps = [x, x]
        self.weights = weights
        self.seen: Seen = {}

    def each(self, name: str, operation: Callable[[Array], Array]) -> None:
        """Let each column apply the operation to what it holds."""
        self.keep(name, [operation(x) for x in self.maps])

    def convolve(self, name: str, *, stride: int = 1, padding: int = 0) -> None:
        """Give each column half of the kernels; it reads what it holds."""
        weight, bias = (np.split(part, 2) for part in self.weights[name])
        self.keep(
            name,
            [
                convolve(x, w, b, stride=stride, padding=padding)
                for x, w, b in zip(self.maps, weight, bias, strict=True)
            ],
        )

    def connect(self, name: str) -> None:
        """Give each column half of the neurons of a fully connected layer."""
        weight, bias = (np.split(part, 2) for part in self.weights[name])
        self.keep(name, [x @ w.T + b for x, w, b in zip(self.maps, weight, bias, strict=True)])

    def cross(self) -> None:
        """Let both columns read the maps of both."""
        both = np.concatenate(self.maps, 1)
        self.maps = [both, both]

    def keep(self, name: str, maps: list[Array]) -> None:
        """Record what the columns hold now."""
        self.maps = maps
        self.seen[name] = np.concatenate(maps, 1)


def paper(x: Array, weights: Weights) -> Seen:
    """Compute the text of the paper, sections 3.3 to 3.5 and 4.2, at test time."""
    net = TwoColumns(x, weights)
    for number, padding in ((1, 0), (2, 2)):
        net.convolve(f"conv{number}", stride=4 if number == 1 else 1, padding=padding)
        net.each(f"relu{number}", rectify)
        net.each(f"norm{number}", lambda y: normalise_maps(y, bias=2, per_term=1e-4))
        net.each(f"pool{number}", lambda y: pool(y, ceil=False))
    _third_and_fourth(net)
    net.convolve("conv5", padding=1)
    net.each("relu5", rectify)
    net.each("pool5", lambda y: pool(y, ceil=False))
    return _fully_connected_columns(net)


def program_of_2012(x: Array, weights: Weights) -> Seen:
    """Compute layers-145.cfg at test time: what ran, by the rules of layer.py.

    The picture ends in as many zeros as the last stride needs, alpha is divided by the window, and
    the pools of conv1 and conv5 come before the ReLU.
    """
    missing = -(x.shape[2] - 11) % 4
    x = np.pad(x, ((0, 0), (0, 0), (0, missing), (0, missing)))
    net = TwoColumns(x, weights)
    net.convolve("conv1", stride=4)
    net.each("norm1", lambda y: normalise_maps(y, bias=2, per_term=1e-4 / 5))
    net.each("pool1", lambda y: pool(y, ceil=True))
    net.each("relu1", rectify)
    net.convolve("conv2", padding=2)
    net.each("relu2", rectify)
    net.each("norm2", lambda y: normalise_maps(y, bias=2, per_term=1e-4 / 5))
    net.each("cnorm2", lambda y: normalise_places(y, per_term=1e-3 / 25))
    net.each("pool2", lambda y: pool(y, ceil=True))
    _third_and_fourth(net)
    net.convolve("conv5", padding=1)
    net.each("pool5", lambda y: pool(y, ceil=True))
    net.each("relu5", rectify)
    return {"pad1": x} | _fully_connected_columns(net)


def _third_and_fourth(net: TwoColumns) -> None:
    net.cross()
    net.convolve("conv3", padding=1)
    net.each("relu3", rectify)
    net.convolve("conv4", padding=1)
    net.each("relu4", rectify)


def _fully_connected_columns(net: TwoColumns) -> Seen:
    net.each("flatten", lambda y: y.reshape(len(y), -1))
    for number in (6, 7):
        net.cross()
        net.connect(f"fc{number}")
        net.each(f"relu{number}", rectify)
        net.each(f"drop{number}", lambda y: y * 0.5)  # half were dropped while training
    net.cross()
    weight, bias = net.weights["fc8"]
    return net.seen | {"fc8": net.maps[0] @ weight.T + bias}


# ---- One column ---------------------------------------------------------------------------------


def caffe(x: Array, weights: Weights, *, after_conv: Sequence[str]) -> Seen:
    """Compute Caffe's deploy.prototxt; `after_conv` orders norm, pool, relu after conv1, conv2.

    The groups of `group: 2` do not part the norms; LRNLayer divides alpha by the window, k is 1.
    """
    seen: Seen = {}
    operations: dict[str, Callable[[Array], Array]] = {
        "relu": rectify,
        "norm": lambda y: normalise_maps(y, bias=1, per_term=1e-4 / 5),
        "pool": lambda y: pool(y, ceil=True),
    }
    seen["conv1"] = x = convolve(x, *weights["conv1"], stride=4)
    for step in after_conv:
        seen[f"{step}1"] = x = operations[step](x)
    seen["conv2"] = x = grouped(x, *weights["conv2"], padding=2)
    for step in after_conv:
        seen[f"{step}2"] = x = operations[step](x)
    seen["conv3"] = x = convolve(x, *weights["conv3"], padding=1)
    seen["relu3"] = x = rectify(x)
    seen["conv4"] = x = grouped(x, *weights["conv4"], padding=1)
    seen["relu4"] = x = rectify(x)
    seen["conv5"] = x = grouped(x, *weights["conv5"], padding=1)
    seen["relu5"] = x = rectify(x)
    seen["pool5"] = x = pool(x, ceil=True)
    return _fully_connected(seen, x, weights)


def torchvision(x: Array, weights: Weights) -> Seen:
    """Compute torchvision.models.alexnet.eval(); its avgpool makes 6 x 6 of any pool5."""
    seen = {"pad1": np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))}
    seen["conv1"] = x = convolve(x, *weights["conv1"], stride=4, padding=2)
    for number, padding in ((1, 2), (2, 1), (3, 1), (4, 1)):
        seen[f"relu{number}"] = x = rectify(x)
        if number <= 2:
            seen[f"pool{number}"] = x = pool(x, ceil=False)
        after = f"conv{number + 1}"
        seen[after] = x = convolve(x, *weights[after], padding=padding)
    seen["relu5"] = x = rectify(x)
    seen["pool5"] = x = pool(x, ceil=False)
    seen["average5"] = x = average(x, 6)
    return _fully_connected(seen, x, weights)


def keras(x: Array, weights: Weights) -> Seen:
    """Compute the Keras rebuilds: zeros above and to the left, tf.nn's norm before the ReLU."""
    seen = {"pad1": np.pad(x, ((0, 0), (0, 0), (3, 0), (3, 0)))}
    seen["conv1"] = x = convolve(seen["pad1"], *weights["conv1"], stride=4)
    for number, padding in ((1, 2), (2, 1)):
        seen[f"norm{number}"] = x = normalise_maps(x, bias=2, per_term=1e-4)
        seen[f"relu{number}"] = x = rectify(x)
        seen[f"pool{number}"] = x = pool(x, ceil=False)
        after = f"conv{number + 1}"
        seen[after] = x = convolve(x, *weights[after], padding=padding)
    for number in (3, 4):
        seen[f"relu{number}"] = x = rectify(x)
        after = f"conv{number + 1}"
        seen[after] = x = convolve(x, *weights[after], padding=1)
    seen["relu5"] = x = rectify(x)
    seen["pool5"] = x = pool(x, ceil=False)
    return _fully_connected(seen, x, weights)


def _fully_connected(seen: Seen, x: Array, weights: Weights) -> Seen:
    """Add fc6 to fc8 at test time, where dropout was made up for in training."""
    seen["flatten"] = x = x.reshape(len(x), -1)
    for number in (6, 7):
        weight, bias = weights[f"fc{number}"]
        seen[f"fc{number}"] = x = x @ weight.T + bias
        seen[f"relu{number}"] = x = rectify(x)
    weight, bias = weights["fc8"]
    return seen | {"fc8": x @ weight.T + bias}
