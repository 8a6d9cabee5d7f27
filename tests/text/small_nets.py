"""Small nets from text, for the tests of nets as a whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from alexnet.text.graph import TextNet
from alexnet.text.kind import Phase
from alexnet.text.prototxt import parse

DATA = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 2 dim: 3 dim: 7 dim: 9 } } }\n"
)
FILLED = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" }'


def net_of(
    text: str,
    phase: Phase = "TEST",
    *,
    level: int = 0,
    stages: Sequence[str] = (),
    generator: torch.Generator | None = None,
) -> TextNet:
    if generator is None:
        generator = torch.Generator().manual_seed(4)
    net = parse(text, "NetParameter", source="net.prototxt")
    return TextNet(net, phase, level=level, stages=stages, generator=generator)


def layer(name: str, kind: str, bottoms: str, top: str = "", text: str = "") -> str:
    read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms.split())
    made = " ".join(f'top: "{each}"' for each in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {read} {made} {text} }}\n'


def conv(name: str, bottom: str, *, outputs: int = 4, kernel: int = 3, more: str = "") -> str:
    numbers = f"num_output: {outputs} kernel_size: {kernel} {FILLED}"
    return layer(name, "Convolution", bottom, text=f"convolution_param {{ {numbers} }} {more}")


def inner(name: str, bottom: str, *, outputs: int = 5, more: str = "") -> str:
    numbers = f"num_output: {outputs} {FILLED}"
    return layer(name, "InnerProduct", bottom, text=f"inner_product_param {{ {numbers} }} {more}")


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X = draw(2, 3, 7, 9)


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


CHAIN = (
    DATA
    + conv("conv", "data", outputs=6)
    + layer("relu", "ReLU", "conv", "conv")
    + layer("norm", "LRN", "conv", "norm", "lrn_param { local_size: 3 alpha: 0.1 }")
    + layer("pool", "Pooling", "norm", "pool", "pooling_param { kernel_size: 3 stride: 2 }")
    + inner("fc", "pool")
)
