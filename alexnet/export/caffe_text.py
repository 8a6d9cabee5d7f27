"""A net as a prototxt of Caffe's with its blobs: what deploy.prototxt and .caffemodel hold.

Layers keep their names, blocks theirs before a dot. Caffe's pictures are BGR: a net that reads RGB
gets its first kernels turned round. What has no layer of that kind in Caffe is made of others:

- a response norm that ends at the edge of a column is a Slice, an LRN each and a Concat, and one
  whose constant is not 1 an LRN and a Power;
- dropout that is scaled at test is a Power with that scale; other dropout is left out;
- a batch norm is a BatchNorm and a Scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing
from alexnet.export.onnx_pools import windows_of
from alexnet.layers.dropout import Dropout
from alexnet.layers.merge import Add, Concat
from alexnet.layers.padding import PadToStride
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets.chain import Chain
from alexnet.nets.googlenet import Inception
from alexnet.nets.resnet import Residual
from alexnet.text import prototxt
from alexnet.text.graph import TextNet


class Blob(NamedTuple):
    """What a layer makes."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    pad: int = 0
    """Zeros on all sides that the next convolution puts around it."""


@dataclass
class Layers:
    """Layers of a prototxt while they are written."""

    turns: bool
    """Whether the first convolution's kernels are turned round, from RGB to BGR."""
    lines: list[str] = field(default_factory=list)
    blobs: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(
        self, name: str, kind: str, bottoms: Sequence[str], more: str = "", *, tops: int = 1
    ) -> list[str]:
        """Add a layer and return the names of its tops."""
        made = [name] if tops == 1 else [f"{name}.{number}" for number in range(1, tops + 1)]
        ends = [f'bottom: "{each}"' for each in bottoms] + [f'top: "{each}"' for each in made]
        words = [f'name: "{name}" type: "{kind}"', *ends, *([more] if more else [])]
        self.lines.append(f"layer {{ {' '.join(words)} }}")
        return made


Write = Callable[[Layers, str, Any, Sequence[Blob]], Blob]


def caffe_net(net: Chain, preprocessing: Preprocessing) -> tuple[str, TextNet]:
    """Return a net as a prototxt and as the net of that text, with its weights.

    Raises: ValueError naming the layer that Caffe has none for.
    """
    channels = 1 if preprocessing.colours == "grey" else 3
    side = net.input_size
    layers = Layers(turns=preprocessing.colours == "rgb")
    dims = " ".join(f"dim: {each}" for each in (1, channels, side, side))
    layers.lines.append(
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    )
    value = Blob("data", (channels, side, side))
    for name, layer in net.steps():
        value = _add_step(layers, name, layer, value)
    layers.add("prob", "Softmax", [value.name])
    text = "\n".join([*_says(preprocessing), *layers.lines, ""])
    built = TextNet(prototxt.parse(text, "NetParameter", source="the net"))
    arrays = {
        name: [tensor.detach().float().cpu().numpy() for tensor in tensors]
        for name, tensors in layers.blobs.items()
    }
    built.load_blobs(arrays)
    return text, built


def _says(given: Preprocessing) -> list[str]:
    """Return what a reader of the file must know of pictures, as comments."""
    mean = ", ".join(f"{value:.4f}" for value in given.statistics.mean_value.flip(0).tolist())
    subtracted = {
        "mean-image": "the mean of each pixel, which is in the .binaryproto",
        "mean-value": f"the mean colour, {mean} (blue, green, red)",
        "none": "nothing",
    }
    colours = "grey" if given.colours == "grey" else "BGR"
    return [
        f"# Pictures: shorter side to {given.picture_size} pixels, the centre square of it.",
        f"# Input: its centre of {given.crop_size} pixels; {colours} in [0, 255].",
        f"# Subtract {subtracted[given.subtract]}; multiply by {1 / given.divide_by!r}.",
    ]


def _add_step(layers: Layers, name: str, layer: nn.Module, value: Blob) -> Blob:
    if isinstance(layer, Inception):
        names = {id(each): f"{name}.{inner}" for inner, each in layer.named_children()}
        ends = []
        for branch in layer.branches():
            end = value
            for each in branch:
                end = _write(layers, names[id(each)], each, [end])
            ends.append(end)
        return _write(layers, names[id(layer.concat)], layer.concat, ends)
    if isinstance(layer, Residual):
        residual, shortcut = value, value
        for inner in layer.residuals:
            residual = _write(layers, f"{name}.{inner}", layer.get_submodule(inner), [residual])
        if layer.projects:
            shortcut = _write(layers, f"{name}.project", layer.project, [shortcut])
            shortcut = _write(layers, f"{name}.bn_project", layer.bn_project, [shortcut])
        total = _write(layers, f"{name}.add", layer.add, [residual, shortcut])
        return _write(layers, f"{name}.relu", layer.relu, [total])
    return _write(layers, name, layer, [value])


def _write(layers: Layers, name: str, layer: nn.Module, values: Sequence[Blob]) -> Blob:
    if type(layer) not in KINDS:
        raise ValueError(
            f"layer {name} is a {type(layer).__name__}, which Caffe has no layer for; "
            "export to onnx"
        )
    return KINDS[type(layer)](layers, name, layer, values)


def _convolution(layers: Layers, name: str, layer: nn.Conv2d, values: Sequence[Blob]) -> Blob:
    (x,) = values
    if layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(f"layer {name} is spread or padded as none of Caffe's; export to onnx")
    weight = layer.weight.detach()
    if layers.turns:
        weight, layers.turns = weight.flip(1), False
    numbers, sides = [f"num_output: {len(weight)} group: {layer.groups}"], []
    for axis, letter in enumerate("hw"):
        kernel, step = layer.kernel_size[axis], layer.stride[axis]
        pad = int(layer.padding[axis]) + x.pad
        numbers.append(f"kernel_{letter}: {kernel} stride_{letter}: {step} pad_{letter}: {pad}")
        sides.append((x.shape[1 + axis] + 2 * pad - kernel) // step + 1)
    bias = [] if layer.bias is None else [layer.bias]
    numbers.append(f"bias_term: {str(bool(bias)).lower()}")
    layers.blobs[name] = [weight, *bias]
    layers.add(name, "Convolution", [x.name], f"convolution_param {{ {' '.join(numbers)} }}")
    return Blob(name, (len(weight), *sides))


def _linear(layers: Layers, name: str, layer: nn.Linear, values: Sequence[Blob]) -> Blob:
    bias = [] if layer.bias is None else [layer.bias]
    layers.blobs[name] = [layer.weight, *bias]
    numbers = f"num_output: {len(layer.weight)} bias_term: {str(bool(bias)).lower()}"
    layers.add(name, "InnerProduct", [values[0].name], f"inner_product_param {{ {numbers} }}")
    return Blob(name, (len(layer.weight),))


def _same(kind: str) -> Write:
    """Return what adds a kind of layer that has no numbers and keeps the shape."""

    def write(layers: Layers, name: str, layer: nn.Module, values: Sequence[Blob]) -> Blob:
        layers.add(name, kind, [each.name for each in values])
        return Blob(name, values[0].shape)

    return write


def _nothing(layers: Layers, name: str, layer: nn.Module, values: Sequence[Blob]) -> Blob:
    """Leave out a flattening, which InnerProduct does itself."""
    return values[0]


def _dropout(layers: Layers, name: str, layer: Dropout, values: Sequence[Blob]) -> Blob:
    if layer.scaled != "test" or layer.rate == 0:
        return values[0]
    layers.add(name, "Power", [values[0].name], f"power_param {{ scale: {1 - layer.rate!r} }}")
    return Blob(name, values[0].shape)


def _zero_pad(layers: Layers, name: str, layer: nn.ZeroPad2d, values: Sequence[Blob]) -> Blob:
    pad = layer.padding[0]
    if set(layer.padding) != {pad}:
        raise ValueError(
            f"layer {name} adds other zeros on one side than on another, which Caffe has no layer "
            "for; export to onnx"
        )
    return values[0]._replace(pad=pad)


def _pad(layers: Layers, name: str, layer: PadToStride, values: Sequence[Blob]) -> Blob:
    with torch.device("meta"):
        shape = tuple(layer(torch.empty(1, *values[0].shape)).shape[1:])
    if shape != values[0].shape:
        raise ValueError(
            f"layer {name} adds zeros on two sides only, which Caffe has no layer for; "
            "export to onnx"
        )
    return values[0]


def _max_pool(layers: Layers, name: str, layer: nn.MaxPool2d, values: Sequence[Blob]) -> Blob:
    (x,) = values
    windows = windows_of(layer, x.shape)
    across = windows[1]
    numbers = f"kernel_size: {across.taps} stride: {across.stride} pad: {across.before}"
    leaves_over = any(each.missing < -each.before for each in windows)
    if not layer.ceil_mode and leaves_over:  # which Caffe knows since 2018 only
        numbers += " round_mode: FLOOR"
    layers.add(name, "Pooling", [x.name], f"pooling_param {{ pool: MAX {numbers} }}")
    return Blob(name, (x.shape[0], *(each.count for each in windows)))


def _mean_pool(
    layers: Layers, name: str, layer: nn.AdaptiveAvgPool2d, values: Sequence[Blob]
) -> Blob:
    (x,), side = values, values[0].shape[1]
    assert isinstance(layer.output_size, int)
    wanted = layer.output_size
    if wanted == side:
        return x
    if wanted == 1:
        numbers = "global_pooling: true"
    elif side % wanted == 0:
        numbers = f"kernel_size: {side // wanted} stride: {side // wanted}"
    else:
        raise ValueError(
            f"layer {name} averages {side} places to {wanted}, which Caffe has no layer for; "
            "export to onnx"
        )
    layers.add(name, "Pooling", [x.name], f"pooling_param {{ pool: AVE {numbers} }}")
    return Blob(name, (x.shape[0], wanted, wanted))


def _response_norm(
    layers: Layers, name: str, layer: LocalResponseNorm, values: Sequence[Blob]
) -> Blob:
    """Add x / (k + a s) ** b as k ** -b * x / (1 + a / k s) ** b; OpenCV, for one, ignores k."""
    (x,), norm = values, layer.norm
    size = norm.below + norm.above + 1
    if size % 2 == 0 or norm.bias <= 0:
        raise ValueError(
            f"layer {name} has a window of {size} and a constant of {norm.bias:g}; Caffe takes "
            "odd windows and constants above 0"
        )
    alpha = norm.alpha * size / norm.bias
    parameter = f"lrn_param {{ local_size: {size} alpha: {alpha!r} beta: {norm.beta!r} }}"
    inner = name if norm.bias == 1 else f"{name}.unscaled"
    if norm.columns == 1:
        layers.add(inner, "LRN", [x.name], parameter)
    else:
        parts = layers.add(f"{name}.columns", "Slice", [x.name], tops=norm.columns)
        normed = [
            layers.add(f"{name}.column{number}", "LRN", [part], parameter)[0]
            for number, part in enumerate(parts, start=1)
        ]
        layers.add(inner, "Concat", normed)
    if norm.bias != 1:
        scale = norm.bias**-norm.beta
        layers.add(name, "Power", [inner], f"power_param {{ scale: {scale!r} }}")
    return Blob(name, x.shape)


def _within_channel(
    layers: Layers, name: str, layer: WithinChannelNorm, values: Sequence[Blob]
) -> Blob:
    if layer.bias != 1:
        raise ValueError(f"layer {name} adds {layer.bias}; Caffe's norm within a channel adds 1")
    numbers = f"local_size: {layer.window} alpha: {layer.alpha!r} beta: {layer.beta!r}"
    region = "norm_region: WITHIN_CHANNEL"
    layers.add(name, "LRN", [values[0].name], f"lrn_param {{ {numbers} {region} }}")
    return Blob(name, values[0].shape)


def _batch_norm(layers: Layers, name: str, layer: nn.BatchNorm2d, values: Sequence[Blob]) -> Blob:
    assert layer.running_mean is not None
    assert layer.running_var is not None
    statistics = [layer.running_mean, layer.running_var, torch.ones(1)]
    layers.blobs[f"{name}.statistics"] = statistics
    made = layers.add(
        f"{name}.statistics",
        "BatchNorm",
        [values[0].name],
        f"batch_norm_param {{ eps: {layer.eps!r} }}",
    )
    layers.blobs[name] = [layer.weight, layer.bias]
    layers.add(name, "Scale", made, "scale_param { bias_term: true }")
    return Blob(name, values[0].shape)


def _join(layers: Layers, name: str, layer: nn.Module, values: Sequence[Blob]) -> Blob:
    layers.add(name, "Concat", [each.name for each in values])
    return Blob(name, (sum(each.shape[0] for each in values), *values[0].shape[1:]))


KINDS: Final[dict[type[nn.Module], Write]] = {
    nn.Conv2d: _convolution,
    nn.Linear: _linear,
    nn.ReLU: _same("ReLU"),
    nn.Tanh: _same("TanH"),
    nn.Flatten: _nothing,
    Dropout: _dropout,
    nn.ZeroPad2d: _zero_pad,
    PadToStride: _pad,
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveAvgPool2d: _mean_pool,
    LocalResponseNorm: _response_norm,
    WithinChannelNorm: _within_channel,
    nn.BatchNorm2d: _batch_norm,
    Concat: _join,
    Add: _same("Eltwise"),
}
"""Kinds of layers that Caffe has, or that can be made of those it has."""
