"""Single layers in ONNX Runtime beside the module or its equation."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.export.onnx_graph import Graph, Pads, Value
from alexnet.export.onnx_layers import ready, write
from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.padding import PadToStride
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.radial import RadialBasis
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.layers.subsampling import ScaledTanh, Subsampling
from tests.export.sessions import run_layer


def noise(*shape: int, scale: float = 1.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)) * scale


LAYERS = {
    "convolution": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2), (4, 9, 8)),
    "without bias": (nn.Conv2d(2, 3, 3, bias=False), (2, 5, 7)),
    "linear": (nn.Linear(6, 4), (6,)),
    "linear without bias": (nn.Linear(6, 4, bias=False), (6,)),
    "linear over rows": (nn.Linear(6, 4), (5, 6)),
    "inner product": (InnerProduct(24, 4), (2, 3, 4)),
    "inner product of rows": (InnerProduct(12, 4, axis=2), (2, 3, 4)),
    "flatten": (nn.Flatten(), (2, 3, 4)),
    "relu": (nn.ReLU(), (3, 4, 4)),
    "tanh": (nn.Tanh(), (3,)),
    "sigmoid": (nn.Sigmoid(), (3,)),
    "scaled tanh": (ScaledTanh(), (3, 4, 4)),
    "dropout": (Dropout(0.3), (3, 4)),
    "dropout of training": (Dropout(0.3, scaled="training"), (3, 4)),
    "zeros": (nn.ZeroPad2d((1, 2, 3, 4)), (2, 5, 6)),
    "zeros to a stride": (PadToStride(11, 4), (2, 24, 30)),
    "norm": (LocalResponseNorm(alpha=0.3), (7, 2, 3)),
    "norm of Caffe": (LocalResponseNorm(alpha=0.3, window=3, convention="caffe"), (7, 2, 3)),
    "norm of columns": (LocalResponseNorm(alpha=0.3, columns=2), (8, 2, 3)),
    "norm over places": (WithinChannelNorm(alpha=2.0), (3, 6, 7)),
    "subsampling": (Subsampling(3), (3, 5, 6)),
    "radial basis": (RadialBasis(noise(5, 7), 1.0), (7,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_in_onnx_runtime_what_it_gives_here(name: str) -> None:
    layer, shape = LAYERS[name]
    x = noise(3, *shape)
    with torch.inference_mode():
        wanted = layer.eval()(x).numpy()
    # float32 with the sums in another order
    np.testing.assert_allclose(run_layer(write, layer, x), wanted, rtol=2e-5, atol=2e-6)


def test_a_partial_convolution_reads_the_maps_of_its_table() -> None:
    layer = PartialConvolution([(0,), (1, 2), (0, 2)], 3, 2)
    with torch.no_grad():
        layer.weight.copy_(noise(5, 2, 2))
    x = noise(2, 3, 4, 4)
    with torch.inference_mode():
        wanted = layer(x).numpy()
    np.testing.assert_allclose(run_layer(write, layer, x), wanted, rtol=1e-5, atol=1e-6)


def test_a_norm_ends_at_the_edge_of_its_column() -> None:
    x = noise(1, 4, 1, 1)
    found = run_layer(write, LocalResponseNorm(alpha=1.0, columns=2, window=3), x).ravel()
    a = x.numpy().ravel().astype(np.float64)
    energies = np.array([a[0] ** 2 + a[1] ** 2] * 2 + [a[2] ** 2 + a[3] ** 2] * 2)
    np.testing.assert_allclose(found, a / (2 + energies) ** 0.75, rtol=1e-5)


def test_int8_weights_are_rounded_by_the_scale_of_their_row() -> None:
    layer, x = nn.Linear(50, 4), noise(3, 50)
    w = layer.weight.detach().numpy().astype(np.float64)
    scale = np.abs(w).max(1, keepdims=True) / 127
    wanted = x.numpy() @ (np.round(w / scale) * scale).T + layer.bias.detach().numpy()
    np.testing.assert_allclose(run_layer(write, layer, x, "int8"), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(9, 4), nn.Conv2d(9, 4, 1)])
def test_bfloat16_weights_have_eight_bits(layer: nn.Linear | nn.Conv2d) -> None:
    x = noise(3, 9, 2, 2) if isinstance(layer, nn.Conv2d) else noise(3, 9)
    with torch.no_grad():
        wanted = run_layer(write, layer, x)
        rounded = run_layer(write, layer, x, "bf16")
        layer.weight.copy_(layer.weight.bfloat16())
    np.testing.assert_allclose(run_layer(write, layer, x), rounded, rtol=1e-6, atol=1e-6)
    assert np.abs(wanted - rounded).max() > 1e-5


def test_rounded_weights_keep_their_rounding_before_a_factor_of_dropout() -> None:
    layer = nn.Linear(20, 3)
    graph = Graph(weights="bf16")
    value = Value("x", (20,), factor=0.7)
    (made,) = write(graph, "fc", layer, [value])
    assert made.factor == 1.0
    assert [node.op_type for node in graph.nodes] == ["Mul", "Cast", "Gemm"]


def test_zeros_wait_for_a_convolution_only() -> None:
    graph = Graph()
    value = Value("x", (2, 5, 5), pads=Pads(1, 0, 2, 3))
    assert ready(graph, nn.Conv2d(2, 3, 3), value) == value
    settled = ready(graph, nn.ReLU(), value)
    assert settled.shape == (2, 8, 8)
    assert graph.nodes[0].op_type == "Pad"


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), (1, 5, 5), "pads by reflect"),
        (nn.Conv2d(1, 1, 3, padding="same"), (1, 5, 5), "pads by zeros same"),
        (nn.Flatten(1, 2), (2, 3, 4), "flattens axes 1 to 2"),
        (
            LocalResponseNorm(window=4, convention="torch"),
            (8, 2, 2),
            "window of 4, and ONNX Runtime takes odd ones only",
        ),
        (nn.GELU(), (3,), "layer it is a GELU, which has no ONNX form here; export to safetensors"),
    ],
)
def test_a_layer_without_a_form_is_refused_by_name(
    layer: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"layer it .*{message.removeprefix('layer it ')}"):
        write(Graph(), "it", layer, [Value("x", shape)])
