"""A model as an .onnx file: the net's graph, with the preprocessing inside on request.

Without it the graph goes from inputs to logits, and the metadata say how a picture becomes an
input. With it the graph goes from bytes to probabilities:

    pictures (batch, S, S, 3) uint8 RGB, the shorter side scaled to S and the centre square cut
    -> the centre crop, less the mean, divided, in the net's colours -> net -> softmax
"""

from typing import Any

from alexnet import __version__
from alexnet.data.augment import GREY, Preprocessing
from alexnet.export.numpy_inputs import packed_mean
from alexnet.export.onnx_file import OnnxHead
from alexnet.export.onnx_graph import Graph, Value, Weights
from alexnet.export.onnx_net import INPUTS, LOGITS, add_net, as_model
from alexnet.model import Model

PICTURES, PROBABILITIES = "pictures", "probabilities"


def model_proto(
    model: Model, *, inside: bool = False, weights: Weights = "same", digest: str = ""
) -> Any:
    """Return a model as an onnx.ModelProto with its metadata.

    `digest` is that of the model's manifest.

    Raises: ValueError naming the layer that ONNX has no form for, or if the weights are too many
            for one file.
    """
    from onnx import helper

    graph, given = Graph(weights=weights), model.preprocessing
    size, side = given.crop_size, given.picture_size
    channels = 1 if given.colours == "grey" else 3
    count = len(model.classes)
    if inside:
        logits = add_net(graph, model.net, _add_preprocessing(graph, given))
        graph.add("Softmax", [logits.name], PROBABILITIES, {"axis": 1})
        made = (PROBABILITIES, (count,))
        proto = as_model(graph, PICTURES, (side, side, 3), made, pixels=True)
    else:
        logits = add_net(graph, model.net, Value(INPUTS, (channels, size, size)))
        graph.add("Identity", [logits.name], LOGITS)
        proto = as_model(graph, INPUTS, (channels, size, size), (LOGITS, (count,)))
    head = head_of_model(model, inside=inside, weights=weights, digest=digest)
    helper.set_model_props(proto, head.metadata())
    return proto


def head_of_model(model: Model, *, inside: bool, weights: Weights, digest: str) -> OnnxHead:
    """Return what a file says of a model."""
    statistics, constants = model.preprocessing.statistics, model.preprocessing.constants()
    mean = ""
    if model.preprocessing.subtract == "mean-image" and not inside:
        mean = packed_mean(statistics.mean_image.numpy())
    value = [float(each) for each in statistics.mean_value]
    return OnnxHead(
        net=model.name,
        classes=model.classes,
        preprocessing={**constants, "mean_value": value},
        inside=inside,
        weights=weights,
        version=__version__,
        model=digest,
        mean_image=mean,
    )


def _add_preprocessing(graph: Graph, given: Preprocessing) -> Value:
    """Add what makes inputs of pictures, as `alexnet.data.augment.cut` does at the centre."""
    from onnx import TensorProto

    size, start = given.crop_size, given.border // 2
    ends = (
        graph.numbers("crop.start", [start, start]),
        graph.numbers("crop.end", [start + size, start + size]),
    )
    axes = graph.numbers("crop.axes", [1, 2])
    cropped = graph.add("Slice", [PICTURES, *ends, axes], "crop")
    x = graph.add("Cast", [cropped], "levels", {"to": TensorProto.FLOAT})
    if given.subtract != "none":
        mean = given.statistics.mean_value
        if given.subtract == "mean-image":
            mean = given.statistics.mean_image[start : start + size, start : start + size]
        x = graph.add("Sub", [x, graph.constant("mean", mean)], "centred")
    if given.divide_by != 1:
        x = graph.add("Div", [x, graph.number("divide_by", given.divide_by)], "divided")
    x = graph.add("Transpose", [x], "planes", {"perm": [0, 3, 1, 2]})
    if given.colours == "bgr":
        x = graph.add("Gather", [x, graph.numbers("bgr", [2, 1, 0])], "turned", {"axis": 1})
    elif given.colours == "grey":
        parts = graph.add_several("Split", [x], ["red", "green", "blue"], {"axis": 1})
        shares = [
            graph.add("Mul", [part, graph.number(f"{part}.share", share)], f"{part}.part")
            for part, share in zip(parts, GREY, strict=True)
        ]
        x = graph.add("Sum", shares, "grey")
    return Value(x, (1 if given.colours == "grey" else 3, size, size))
