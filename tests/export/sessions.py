"""Graphs run by ONNX Runtime, on one core and without its remarks."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.export.onnx_graph import Graph, Value, Weights
from alexnet.export.onnx_net import as_model

Numbers = NDArray[np.float32]


def answer(proto: Any, inputs: NDArray[Any] | Tensor) -> Numbers:
    """Return what a graph with one input and one output gives."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = inputs.numpy() if isinstance(inputs, Tensor) else inputs
    found: Numbers = session.run(None, {session.get_inputs()[0].name: given})[0]
    return found


def run_layer(write: Any, layer: nn.Module, x: Tensor, weights: Weights = "same") -> Numbers:
    """Return what a layer gives that `write` adds to a graph, and its shape as the graph has it."""
    graph = Graph(weights=weights)
    (made,) = write(graph, "layer", layer, [Value("x", tuple(x.shape[1:]))])
    made = graph.settled(made)
    found = answer(as_model(graph, "x", tuple(x.shape[1:]), (made.name, made.shape)), x)
    assert found.shape[1:] == made.shape
    return found
