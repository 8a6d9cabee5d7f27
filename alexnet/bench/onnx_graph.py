"""The net as an ONNX graph, written node by node from its weights, for programs that read those.

ONNX's LRN divides alpha by the window and lets it run across the edge of a column. Dropout is
left out, as at test: the share that it keeps is in the weights of fc7 and fc8. Zeros around the
picture are conv1's own padding.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from alexnet.bench.case import Case, require
from alexnet.bench.geometry import (
    conv1_padding,
    convolution_geometry,
    folded_weight,
    kind_of,
    torch_alpha,
)
from alexnet.nets.alexnet import POOL_STRIDE, AlexNet

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "pictures", "logits"
LEFT_OUT = ("pad", "drop")


def onnx_model(case: Case, *, peer: str) -> Any:
    """Return the net of a case as an onnx.ModelProto for its batch.

    Raises: PeerMissing if the package onnx is not installed, ValueError if ONNX lacks an operator
            that the net has.
    """
    onnx, helper, numpy_helper = require(("onnx", "onnx.helper", "onnx.numpy_helper"), peer=peer)
    net = case.draw_alexnet()
    constants: dict[str, Tensor] = {}
    nodes, last = [], INPUT
    names = [name for name, _ in net.named_children()]
    for name in (name for name in names if kind_of(name) not in LEFT_OUT):
        output = OUTPUT if name == names[-1] else name
        for operator, inputs, outputs, attributes in _operators(name, net, case, constants):
            ends = {"in": last, "out": output}
            nodes.append(
                helper.make_node(
                    operator,
                    [ends.get(each, each) for each in inputs],
                    [ends.get(each, each) for each in outputs],
                    **attributes,
                )
            )
        last = output
    float32 = onnx.TensorProto.FLOAT
    shape = (case.batch, 3, case.side, case.side)
    graph = helper.make_graph(
        nodes,
        "alexnet",
        [helper.make_tensor_value_info(INPUT, float32, shape)],
        [helper.make_tensor_value_info(OUTPUT, float32, (case.batch, case.classes))],
        [numpy_helper.from_array(_array(t), name) for name, t in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


Operator = tuple[str, list[str], list[str], dict[str, Any]]


def _operators(
    name: str, net: AlexNet, case: Case, constants: dict[str, Tensor]
) -> Iterable[Operator]:
    """Yield operator, inputs, outputs and attributes of a layer, whose ends are "in" and "out"."""
    variant, norm = case.variant, case.variant.norm
    match kind_of(name):
        case "conv" | "fc" as kind:
            weight, bias = f"{name}.weight", f"{name}.bias"
            constants[bias] = net.get_parameter(bias)
            inputs = ["in", weight, bias]
            if kind == "conv":
                constants[weight] = net.get_parameter(weight)
                yield "Conv", inputs, ["out"], _convolution(name, net, case)
            else:
                constants[weight] = folded_weight(net, name)
                yield "Gemm", inputs, ["out"], {"transB": 1}
        case "relu" | "tanh" as kind:
            yield {"relu": "Relu", "tanh": "Tanh"}[kind], ["in"], ["out"], {}
        case "norm":
            sums = {"size": norm.window, "alpha": torch_alpha(variant)}
            yield "LRN", ["in"], ["out"], {**sums, "beta": norm.beta, "bias": norm.bias}
        case "cnorm":
            yield from _spatial_norm(name, variant.spatial_alpha, constants)
        case "pool":
            window = {"kernel_shape": [variant.pool_size] * 2, "strides": [POOL_STRIDE] * 2}
            ceil = int(variant.pool_rounding == "ceil")
            yield "MaxPool", ["in"], ["out"], {**window, "ceil_mode": ceil}
        case "average":
            yield _average(case)
        case "flatten":
            yield "Flatten", ["in"], ["out"], {"axis": 1}
        case _:
            raise AssertionError(f"the ONNX graph has no operator for {name}")


def _convolution(name: str, net: AlexNet, case: Case) -> dict[str, Any]:
    stride, padding, groups = convolution_geometry(net, name)
    left, right, top, bottom = (padding,) * 4
    if name == "conv1":
        left, right, top, bottom = conv1_padding(case.variant, case.side)
    return {
        "kernel_shape": list(net.get_parameter(f"{name}.weight").shape[2:]),
        "strides": [stride, stride],
        "pads": [top, left, bottom, right],
        "group": groups,
    }


def _average(case: Case) -> Operator:
    side, wanted = case.variant.pool5_size(case.side), case.variant.average_pool
    assert wanted
    if side == wanted:
        return "Identity", ["in"], ["out"], {}
    if side % wanted:
        raise ValueError(
            f"ONNX has no average pool from {side} to {wanted} pixels; "
            f"use --input-size {case.variant.input_size}"
        )
    step = [side // wanted] * 2
    return "AveragePool", ["in"], ["out"], {"kernel_shape": step, "strides": step}


def _spatial_norm(name: str, alpha: float, constants: dict[str, Tensor]) -> Iterable[Operator]:
    """Yield y = x / (1 + alpha * mean of x ** 2 over 5 x 5) ** 0.75."""
    numbers = {"alpha": alpha, "one": 1.0, "beta": 0.75}
    for which, value in numbers.items():
        constants[f"{name}.{which}"] = Tensor([value])
    square, mean, scaled, sum_, power = (f"{name}.{n}" for n in ("xx", "m", "am", "d", "p"))
    window = {"kernel_shape": [5, 5], "pads": [2] * 4, "count_include_pad": 1}
    yield "Mul", ["in", "in"], [square], {}
    yield "AveragePool", [square], [mean], window
    yield "Mul", [mean, f"{name}.alpha"], [scaled], {}
    yield "Add", [scaled, f"{name}.one"], [sum_], {}
    yield "Pow", [sum_, f"{name}.beta"], [power], {}
    yield "Div", ["in", power], ["out"], {}


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(tensor.detach().numpy())
