"""VGG at test time in numpy, from table 1 of arXiv 1409.1556.

`weights` has the net's tensors by name. Every activation is returned under its layer's name.
"""

from collections.abc import Mapping

import numpy as np

from tests.oracles.alexnet import Array, Seen, convolve, rectify

Tensors = Mapping[str, Array]

COLUMNS = {
    "A": "1 M 1 M 2 M 2 M 2 M",
    "B": "2 M 2 M 2 M 2 M 2 M",
    "D": "2 M 2 M 3 M 3 M 3 M",
    "E": "2 M 2 M 4 M 4 M 4 M",
}
"""Convolutions in a row, and max pools."""


def halve(x: Array) -> Array:
    """Return the largest of each 2 x 2 window; a last row or column alone is left out."""
    n, c, height, width = x.shape
    x = x[:, :, : height // 2 * 2, : width // 2 * 2]
    largest: Array = x.reshape(n, c, height // 2, 2, width // 2, 2).max((3, 5))
    return largest


def normalise(x: Array, weights: Tensors, name: str, *, epsilon: float = 1e-5) -> Array:
    """Return gamma * (x - mean) / sqrt(variance + epsilon) + beta for each channel."""
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    gamma, beta = weights[f"{name}.weight"], weights[f"{name}.bias"]
    scale = gamma / np.sqrt(variance + epsilon)
    return (x - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]


def vgg(x: Array, weights: Tensors, *, column: str, batch_norm: bool) -> Seen:
    """Compute a column of table 1."""
    seen: Seen = {}
    block = 1
    for item in COLUMNS[column].split():
        if item == "M":
            seen[f"pool{block}"] = x = halve(x)
            block += 1
            continue
        for place in (f"{block}_{number + 1}" for number in range(int(item))):
            weight, bias = weights[f"conv{place}.weight"], weights[f"conv{place}.bias"]
            seen[f"conv{place}"] = x = convolve(x, weight, bias, padding=1)
            if batch_norm:
                seen[f"bn{place}"] = x = normalise(x, weights, f"bn{place}")
            seen[f"relu{place}"] = x = rectify(x)
    seen["flatten"] = x = x.reshape(len(x), -1)
    for layer in (6, 7):
        seen[f"fc{layer}"] = x = x @ weights[f"fc{layer}.weight"].T + weights[f"fc{layer}.bias"]
        seen[f"relu{layer}"] = seen[f"drop{layer}"] = x = rectify(x)
    return seen | {"fc8": x @ weights["fc8.weight"].T + weights["fc8.bias"]}
