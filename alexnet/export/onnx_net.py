"""A net as an ONNX graph: layer by layer, block by block, from its inputs to its logits.

What is left out: auxiliary classifiers, which only training listens to, and dropout.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from alexnet.export.onnx_graph import IR_VERSION, OPSET, Graph, Value
from alexnet.export.onnx_layers import write
from alexnet.export.onnx_text import write_text
from alexnet.nets.chain import Chain
from alexnet.nets.googlenet import Inception
from alexnet.nets.resnet import Residual
from alexnet.text.picture import PictureNet

INPUTS, LOGITS = "inputs", "logits"
BATCH = "batch"
"""What the graph calls the number of pictures, which is any."""


def net_model(net: Chain, *, channels: int, batch: int | None = None) -> Any:
    """Return a net as an onnx.ModelProto from inputs to logits.

    Shapes:  "inputs" (batch, channels, H, W) float32 -> "logits" (batch, classes) float32; any
             batch if it is None.
    Raises:  ValueError naming the layer that ONNX has no form for, or if the weights are too many
             for one file.
    """
    graph = Graph()
    side = net.input_size
    logits = add_net(graph, net, Value(INPUTS, (channels, side, side)))
    graph.add("Identity", [logits.name], LOGITS)
    shape = (channels, side, side)
    return as_model(graph, INPUTS, shape, (LOGITS, (net.classes,)), batch=batch)


def as_model(
    graph: Graph,
    given: str,
    shape: Sequence[int],
    made: tuple[str, Sequence[int]],
    *,
    batch: int | None = None,
    pixels: bool = False,
) -> Any:
    """Return a graph as an onnx.ModelProto, checked.

    `pixels` says that the input is bytes.
    """
    import onnx
    from onnx import TensorProto, helper

    first = BATCH if batch is None else batch
    kind = TensorProto.UINT8 if pixels else TensorProto.FLOAT
    name, sides = made
    proto = helper.make_graph(
        graph.nodes,
        "alexnet",
        [helper.make_tensor_value_info(given, kind, [first, *shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [first, *sides])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="alexnet"
    )
    onnx.checker.check_model(model)
    return model


def add_net(graph: Graph, net: Chain, value: Value) -> Value:
    """Add all layers of a net and return its logits, with nothing more to be done to them."""
    if isinstance(net, PictureNet):
        return _add_text(graph, net, value)
    for name, layer in net.steps():
        value = _add_step(graph, name, layer, value)
    return graph.settled(value)


def _add_step(graph: Graph, name: str, layer: nn.Module, value: Value) -> Value:
    if isinstance(layer, Inception):
        return _add_inception(graph, name, layer, graph.settled(value))
    if isinstance(layer, Residual):
        return _add_residual(graph, name, layer, graph.settled(value))
    return write(graph, name, layer, [value])[0]


def _add_inception(graph: Graph, name: str, block: Inception, value: Value) -> Value:
    names = {id(layer): f"{name}.{inner}" for inner, layer in block.named_children()}
    ends = []
    for branch in block.branches():
        end = value
        for layer in branch:
            (end,) = write(graph, names[id(layer)], layer, [end])
        ends.append(end)
    return write(graph, names[id(block.concat)], block.concat, ends)[0]


def _add_residual(graph: Graph, name: str, block: Residual, value: Value) -> Value:
    residual, shortcut = value, value
    for inner in block.residuals:
        (residual,) = write(graph, f"{name}.{inner}", block.get_submodule(inner), [residual])
    if block.projects:
        (shortcut,) = write(graph, f"{name}.project", block.project, [shortcut])
        (shortcut,) = write(graph, f"{name}.bn_project", block.bn_project, [shortcut])
    total = write(graph, f"{name}.add", block.add, [residual, shortcut])
    return write(graph, f"{name}.relu", block.relu, total)[0]


def _add_text(graph: Graph, net: PictureNet, value: Value) -> Value:
    """Add the layers of a prototxt that lead to its logits."""
    body = net.body
    values: dict[int, Value] = {}
    wanted = body.wiring.last[net.deploy.logits]
    needed = _needed(net, wanted)
    layers = list(body.layers.items())
    for number, node in enumerate(body.wiring.nodes):
        if number not in needed:
            continue
        name, layer = layers[number]
        if node.record["type"] == "Input":
            values[node.tops[0]] = value
            continue
        made = write_text(graph, name, layer, [values[each] for each in node.bottoms])
        values.update(zip(node.tops, made, strict=True))
    logits = graph.settled(values[wanted])
    if len(logits.shape) > 1:
        flat = graph.add("Flatten", [logits.name], f"{logits.name}.flat", {"axis": 1})
        logits = Value(flat, (net.classes,))
    return logits


def _needed(net: PictureNet, wanted: int) -> set[int]:
    """Return the numbers of the layers that lead to a value."""
    values, found = {wanted}, set()
    nodes = list(enumerate(net.body.wiring.nodes))
    for number, node in reversed(nodes):
        if values & set(node.tops):
            found.add(number)
            values |= set(node.bottoms)
    return found
