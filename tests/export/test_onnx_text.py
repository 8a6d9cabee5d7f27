"""Layers of a prototxt in ONNX Runtime beside the module that the text builds."""

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.export.onnx_graph import Graph, Value
from alexnet.export.onnx_net import as_model
from alexnet.export.onnx_text import write_text
from alexnet.text import prototxt
from alexnet.text.graph import TextNet
from alexnet.text.norms import Affine
from tests.export.sessions import Numbers, answer

HEAD = (
    'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 5 dim: 6 } '
    "} }\n"
)
FILLED = 'filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "uniform" }'
KINDS = {
    "slope": 'type: "ReLU" relu_param { negative_slope: 0.1 }',
    "PReLU": 'type: "PReLU" prelu_param { filler { type: "uniform" } }',
    "shared PReLU": 'type: "PReLU" prelu_param { channel_shared: true }',
    "ELU": 'type: "ELU" elu_param { alpha: 0.7 }',
    "AbsVal": 'type: "AbsVal"',
    "Power": 'type: "Power" power_param { power: 2 scale: 0.5 shift: 3 }',
    "Power of 1": 'type: "Power" power_param { scale: 0.5 }',
    "Exp": 'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1 }',
    "Log": 'type: "Log" log_param { base: 10 scale: 0.1 shift: 9 }',
    "BNLL": 'type: "BNLL"',
    "Clip": 'type: "Clip" clip_param { min: -0.5 max: 1 }',
    "Swish": 'type: "Swish" swish_param { beta: 2 }',
    "SiLU": 'type: "Swish"',
    "BatchNorm": 'type: "BatchNorm"',
    "Scale": 'type: "Scale" scale_param { bias_term: true ' + FILLED + " }",
    "Scale of two axes": 'type: "Scale" scale_param { num_axes: 2 ' + FILLED + " }",
    "Bias": 'type: "Bias" bias_param { filler { type: "uniform" } }',
    "Flatten": 'type: "Flatten"',
    "Reshape": 'type: "Reshape" reshape_param { shape { dim: 0 dim: 2 dim: -1 } }',
    "MVN": 'type: "MVN"',
    "MVN across": 'type: "MVN" mvn_param { across_channels: true }',
    "mean of MVN": 'type: "MVN" mvn_param { normalize_variance: false }',
    "Softmax": 'type: "Softmax"',
    "pool past the edge": 'type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 4 }',
    "mean past the edge": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 2 stride: 4 }',
    "wide pad": 'type: "Pooling" pooling_param { pool: AVE kernel_size: 3 pad: 2 stride: 2 }',
    "global": 'type: "Pooling" pooling_param { pool: MAX global_pooling: true }',
    "transposed": 'type: "InnerProduct" inner_product_param { num_output: 3 transpose: true '
    'weight_filler { type: "xavier" } bias_filler { type: "uniform" } }',
}


def noise() -> Tensor:
    return torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(3))


def build(text: str) -> TextNet:
    net = TextNet(prototxt.parse(HEAD + text, "NetParameter"), "TEST")
    net.fill(torch.Generator().manual_seed(0))
    for name, tensors in net.blobs().items():
        if name == "norm":  # statistics as after a training
            for tensor, low in zip(tensors, (-1.0, 1.0, 2.0), strict=True):
                with torch.no_grad():
                    tensor.uniform_(low, low + 1, generator=torch.Generator().manual_seed(4))
    return net.eval()


def through(net: TextNet, last: str, x: Tensor) -> Numbers:
    """Return what the layers give in ONNX Runtime."""
    graph, values = Graph(), {0: Value("x", tuple(x.shape[1:]))}
    layers = list(net.layers.items())
    for node, (name, layer) in zip(net.wiring.nodes[1:], layers[1:], strict=True):
        made = write_text(graph, name, layer, [values[each] for each in node.bottoms])
        values.update(zip(node.tops, made, strict=True))
    value = graph.settled(values[net.wiring.last[last]])
    model = as_model(graph, "x", tuple(x.shape[1:]), (value.name, value.shape))
    found = answer(model, x)
    assert found.shape[1:] == value.shape
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_a_text_gives_in_onnx_runtime_what_it_gives_here(kind: str) -> None:
    net = build(
        f'layer {{ name: "norm" bottom: "x" top: "y" {KINDS[kind]} }}'
        if kind == "BatchNorm"
        else f'layer {{ name: "it" bottom: "x" top: "y" {KINDS[kind]} }}'
    )
    x = noise()
    with torch.no_grad():
        wanted = net.run({"x": x}, keep=["y"]).blobs["y"].numpy()
    np.testing.assert_allclose(through(net, "y", x), wanted, rtol=2e-5, atol=2e-6)


SEVERAL = {
    "sum": 'layer { name: "a" type: "Eltwise" bottom: "x" bottom: "h" top: "y" '
    "eltwise_param { coeff: 0.5 coeff: -2 } }",
    "product": 'layer { name: "a" type: "Eltwise" bottom: "x" bottom: "h" top: "y" '
    "eltwise_param { operation: PROD } }",
    "largest": 'layer { name: "a" type: "Eltwise" bottom: "x" bottom: "h" top: "y" '
    "eltwise_param { operation: MAX } }",
    "channels": 'layer { name: "a" type: "Concat" bottom: "x" bottom: "h" top: "y" }',
    "rows": 'layer { name: "a" type: "Concat" bottom: "x" bottom: "h" top: "y" '
    "concat_param { axis: 2 } }",
    "parts": 'layer { name: "a" type: "Slice" bottom: "x" top: "p" top: "q" '
    "slice_param { slice_point: 1 } }\n"
    'layer { name: "b" type: "Concat" bottom: "q" bottom: "p" bottom: "h" top: "y" }',
    "halves": 'layer { name: "a" type: "Slice" bottom: "x" top: "p" top: "q" }\n'
    'layer { name: "b" type: "Eltwise" bottom: "p" bottom: "q" top: "y" }',
    "a factor for each channel": 'layer { name: "a" type: "Pooling" bottom: "h" top: "p" '
    "pooling_param { pool: AVE global_pooling: true } }\n"
    'layer { name: "b" type: "Flatten" bottom: "p" top: "q" }\n'
    'layer { name: "c" type: "Scale" bottom: "x" bottom: "q" top: "y" scale_param { axis: 0 } }',
    "copies": 'layer { name: "a" type: "Split" bottom: "h" top: "p" top: "q" }\n'
    'layer { name: "b" type: "Concat" bottom: "p" bottom: "q" top: "y" }',
}


@pytest.mark.parametrize("what", SEVERAL)
def test_branches_meet_in_onnx_runtime_as_here(what: str) -> None:
    tanh = 'layer { name: "tanh" type: "TanH" bottom: "x" top: "h" }\n'
    net, x = build(tanh + SEVERAL[what]), noise()
    with torch.no_grad():
        wanted = net.run({"x": x}, keep=["y"]).blobs["y"].numpy()
    np.testing.assert_allclose(through(net, "y", x), wanted, rtol=1e-5, atol=1e-6)


REFUSED = {
    'type: "Power" power_param { power: 0 }': "layer it gives a constant; leave it out",
    'type: "BatchNorm" batch_norm_param { use_global_stats: false }': (
        "layer it takes the statistics of the batch at hand"
    ),
    'type: "Reshape" reshape_param { shape { dim: -1 dim: 3 } }': (
        "layer it gives the batch another shape"
    ),
    'type: "Scale" scale_param { axis: 0 filler { value: 2 } }': (
        "layer it has numbers for each picture of a batch"
    ),
    'type: "Pooling" top: "m" pooling_param { pool: MAX kernel_size: 2 }': (
        "layer it gives the places of its maxima"
    ),
    'type: "Pooling" top: "m" pooling_param { pool: MAX global_pooling: true }': (
        "layer it gives the places of its maxima"
    ),
    'type: "Tile" tile_param { tiles: 2 }': "layer it is a Tile, which has no ONNX form here",
    'type: "Slice" top: "z" slice_param { axis: 0 }': "layer it works along the batch",
    'type: "InnerProduct" inner_product_param { num_output: 3 axis: 2 transpose: true }': (
        "layer it has axis 2; ONNX takes axis 1 here"
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_form_is_refused_by_the_name_of_the_layer(kind: str) -> None:
    net = build(f'layer {{ name: "it" bottom: "x" top: "y" {kind} }}')
    with pytest.raises(ValueError, match=REFUSED[kind]):
        through(net, "y", noise())


def test_maps_alone_have_a_mean_and_a_variance() -> None:
    net = build(
        'layer { name: "flat" type: "Flatten" bottom: "x" top: "f" }\n'
        'layer { name: "it" type: "MVN" bottom: "f" top: "y" }'
    )
    with pytest.raises(ValueError, match="layer it takes a blob of 2 axes; ONNX takes maps"):
        through(net, "y", noise())


def test_a_second_blob_scales_from_the_first_axis_on() -> None:
    values = [Value("x", (4, 5)), Value("s", (5,))]
    with pytest.raises(ValueError, match="layer it scales by a second blob from axis 1 on"):
        write_text(Graph(), "it", Affine(1, scale=None, bias=None), values)
