"""The net as one writes it in Keras 3, on the backend that is installed.

Keras has no response norm: it is written with keras.ops here, and like those of the other peers it
runs across the edge of a column. KERAS_BACKEND chooses the backend, else the first one found of
tensorflow, jax and torch.
"""

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.bench.case import RATE, Case, Contender, require
from alexnet.bench.geometry import (
    conv1_padding,
    convolution_geometry,
    folded_weight,
    kind_of,
    pools_divide,
    torch_alpha,
)
from alexnet.measure import stopwatch
from alexnet.nets.alexnet import POOL_STRIDE, AlexNet

BACKENDS = ("tensorflow", "jax", "torch")


def training(case: Case) -> Contender:
    """Return train_on_batch with SGD and momentum.

    Raises: PeerMissing if keras is not installed, ValueError for a net that Keras cannot build.
    """
    keras, model, x = _build(case)
    model.compile(
        optimizer=keras.optimizers.SGD(RATE, momentum=0.9, weight_decay=5e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    labels = case.draw_labels().numpy()
    return Contender(
        "keras",
        case.precision,
        stopwatch(lambda: model.train_on_batch(x, labels)),
        lambda: _logits(model, x),
        f"Keras {keras.__version__} on {keras.backend.backend()}",
    )


def inference(case: Case) -> Contender:
    """Return predict_on_batch.

    Raises: as `training`.
    """
    keras, model, x = _build(case)
    return Contender(
        "keras",
        case.precision,
        stopwatch(lambda: model.predict_on_batch(x)),
        lambda: _logits(model, x),
        f"Keras {keras.__version__} on {keras.backend.backend()}",
    )


def _build(case: Case) -> tuple[Any, Any, np.ndarray[Any, Any]]:
    """Return keras, the model with the case's weights, and the pictures, channels last."""
    if case.precision == "int8":
        raise ValueError("keras is timed in fp32 and bf16; use --against keras:bf16")
    backend = next(name for name in BACKENDS if find_spec(name))
    os.environ.setdefault("KERAS_BACKEND", backend)
    (keras,) = require(("keras",), peer="keras")
    _check_pools(case)
    ours = case.draw_alexnet()
    policy = keras.DTypePolicy("mixed_bfloat16" if case.precision == "bf16" else "float32")
    model = keras.Sequential([keras.Input((case.side, case.side, 3))])
    for name, _ in ours.named_children():
        model.add(_layer(keras, name, ours, case, policy))
    for layer in model.layers:
        if layer.name.startswith(("conv", "fc")):
            layer.set_weights(_weights(layer.name, ours, case))
    return keras, model, np.ascontiguousarray(case.draw_pictures().permute(0, 2, 3, 1).numpy())


def _layer(keras: Any, name: str, ours: AlexNet, case: Case, policy: Any) -> Any:
    variant, layers = case.variant, keras.layers
    named = {"name": name, "dtype": policy}
    match kind_of(name):
        case "pad":
            left, right, top, bottom = conv1_padding(variant, case.side)
            return layers.ZeroPadding2D(((top, bottom), (left, right)), **named)
        case "conv":
            kernels, _, size, _ = ours.get_parameter(f"{name}.weight").shape
            stride, padding, groups = convolution_geometry(ours, name)
            same = "same" if padding else "valid"
            return layers.Conv2D(kernels, size, stride, same, groups=groups, **named)
        case "fc":
            return layers.Dense(ours.get_parameter(f"{name}.bias").numel(), **named)
        case "relu":
            return layers.ReLU(**named)
        case "tanh":
            return layers.Activation("tanh", **named)
        case "norm":
            return layers.Lambda(lambda x: _across(keras.ops, x, case), **named)
        case "cnorm":
            return layers.Lambda(lambda x: _within(keras.ops, x, case), **named)
        case "pool":
            return layers.MaxPooling2D(variant.pool_size, POOL_STRIDE, **named)
        case "average":
            step = variant.pool5_size(case.side) // (variant.average_pool or 1)
            return layers.AveragePooling2D(step, **named)
        case "flatten":
            return layers.Flatten(**named)
        case "drop":
            return layers.Dropout(variant.dropout_rate, **named)
    raise AssertionError(f"no Keras layer for {name}")


def _weights(name: str, ours: AlexNet, case: Case) -> list[np.ndarray[Any, Any]]:
    """Return kernel and bias as Keras keeps them: inputs before outputs, channels last."""
    bias = ours.get_parameter(f"{name}.bias").detach().numpy()
    if name.startswith("conv"):
        kernel = ours.get_parameter(f"{name}.weight").detach().permute(2, 3, 1, 0)
        return [kernel.numpy(), bias]
    weight = folded_weight(ours, name)
    if name == "fc6":
        channels = case.variant.kernels[-1]
        side = round((weight.shape[1] / channels) ** 0.5)
        weight = weight.view(-1, channels, side, side).permute(0, 2, 3, 1).flatten(1)
    return [weight.T.numpy(), bias]


def _across(ops: Any, x: Any, case: Case) -> Any:
    """Divide by the energy of the neighbouring channels: shifted squares, added up."""
    norm, channels = case.variant.norm, x.shape[-1]
    reach = norm.window // 2
    padded = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (reach, reach)))
    energy = sum(padded[..., shift : shift + channels] for shift in range(norm.window))
    return x / (norm.bias + torch_alpha(case.variant) / norm.window * energy) ** norm.beta


def _within(ops: Any, x: Any, case: Case) -> Any:
    """Divide by the energy of the 5 x 5 pixels around; zeros outside count in the area."""
    padded = ops.pad(ops.square(x), ((0, 0), (2, 2), (2, 2), (0, 0)))
    mean = ops.average_pool(padded, 5, strides=1, padding="valid")
    return x / (1 + case.variant.spatial_alpha * mean) ** 0.75


def _check_pools(case: Case) -> None:
    """Refuse nets whose pools round up where Keras, which rounds down, gives other maps."""
    variant, side = case.variant, case.side
    average = variant.average_pool or 1
    if variant.pool5_size(side) % average:
        raise ValueError(
            f"keras has no average pool from {variant.pool5_size(side)} to {average} pixels; "
            f"use --input-size {variant.input_size}"
        )
    if variant.pool_rounding == "ceil" and not pools_divide(variant, side):
        raise ValueError(
            f"the pools of {case.net} round up at {side} pixels, those of Keras down; "
            f"use --input-size {variant.input_size}"
        )


def _logits(model: Any, x: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.asarray(model.predict_on_batch(x), dtype=np.float32))
