"""The net as one writes it in plain PyTorch from the paper, and torch.compile of it.

Convolutions, norms, pools and optimizer are torch's own. What differs from ours as a function:
torch.nn.LocalResponseNorm lets a window run across the edge of a column. The share of neurons
that dropout keeps is in the weights of fc7 and fc8, since torch makes up for it in training.
"""

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.bench.case import RATE, Case, Contender, PeerMissing
from alexnet.bench.geometry import (
    conv1_padding,
    convolution_geometry,
    folded_weight,
    kind_of,
    torch_alpha,
)
from alexnet.bench.work import logits_of
from alexnet.measure import stopwatch
from alexnet.nets.alexnet import POOL_STRIDE, AlexNet, Variant

Compile = Callable[[nn.Module], nn.Module]


class SpatialNorm(nn.Module):
    """The norm over positions that the program of 2012 also ran, with torch's average pool."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return x / (1 + alpha * mean of x ** 2 over 5 x 5) ** 0.75."""
        return x / (1 + self.alpha * F.avg_pool2d(x * x, 5, 1, 2)) ** 0.75


def plain_net(case: Case) -> nn.Sequential:
    """Return the net of a case, with its weights, in torch's own layers."""
    ours = case.draw_alexnet()
    plain = nn.Sequential()
    for name, _ in ours.named_children():
        plain.add_module(name, _plain_layer(name, ours, case.variant))
    return plain


def training(case: Case, compiled: Compile | None = None) -> Contender:
    """Return a training step in plain torch: bf16 under autocast with the fused update.

    In float32 as one writes it, rows before columns before channels in memory; in bf16 and
    compiled with channels last, which is faster there.
    """
    net, x = _in_memory(case, compiled)
    run = compiled(net) if compiled else net
    labels, half = case.draw_labels(), case.dtype != torch.float32
    optimizer = torch.optim.SGD(
        net.parameters(),
        lr=RATE,
        momentum=0.9,
        weight_decay=5e-4,
        fused=half or compiled is not None,
    )

    def step() -> None:
        net.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", case.dtype, enabled=half):
            logits = run(x)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return Contender(
        "compile" if compiled else "torch",
        case.precision,
        stopwatch(step),
        lambda: logits_of(net.eval(), x, case.dtype),
        _note(case, compiled),
    )


def inference(case: Case, compiled: Compile | None = None) -> Contender:
    """Return an answer in plain torch: bf16 under autocast."""
    net, x = _in_memory(case, compiled)
    run = compiled(net.eval()) if compiled else net.eval()

    def answer() -> Tensor:
        return logits_of(run, x, case.dtype)

    name = "compile" if compiled else "torch"
    return Contender(name, case.precision, stopwatch(answer), answer, _note(case, compiled))


def compiled_training(case: Case) -> Contender:
    """Return a training step in plain torch whose net torch.compile has compiled."""
    return training(case, _compile)


def compiled_inference(case: Case) -> Contender:
    """Return an answer in plain torch whose net torch.compile has compiled."""
    return inference(case, _compile)


def find_compiler() -> str:
    """Return the C++ compiler that torch.compile writes for.

    Raises: PeerMissing if there is none.
    """
    names = filter(None, (os.environ.get("CXX"), "g++", "c++", "clang++"))
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise PeerMissing("compile needs a C++ compiler, not installed here; install g++")
    return found


def _compile(net: nn.Module) -> nn.Module:
    compiled: nn.Module = torch.compile(net)  # type: ignore[assignment]
    return compiled


def _in_memory(case: Case, compiled: Compile | None) -> tuple[nn.Module, Tensor]:
    last = compiled is not None or case.dtype != torch.float32
    layout = torch.channels_last if last else torch.contiguous_format
    net: nn.Module = plain_net(case).to(memory_format=layout)  # type: ignore[call-overload]
    return net, case.draw_pictures().contiguous(memory_format=layout)


def _note(case: Case, compiled: Compile | None) -> str:
    last = compiled is not None or case.dtype != torch.float32
    return "channels last in memory" if last else "channels first in memory"


def _plain_layer(name: str, ours: AlexNet, variant: Variant) -> nn.Module:
    """Return torch's own layer for the child of that name."""
    norm = variant.norm
    match kind_of(name):
        case "pad":
            return nn.ZeroPad2d(conv1_padding(variant, ours.input_size))
        case "conv":
            return _convolution(ours, name)
        case "fc":
            weight = folded_weight(ours, name)
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            return _with_weights(linear, weight, ours.get_parameter(f"{name}.bias"))
        case "relu":
            return nn.ReLU(inplace=True)
        case "tanh":
            return nn.Tanh()
        case "norm":
            return nn.LocalResponseNorm(norm.window, torch_alpha(variant), norm.beta, norm.bias)
        case "cnorm":
            return SpatialNorm(variant.spatial_alpha)
        case "pool":
            rounds_up = variant.pool_rounding == "ceil"
            return nn.MaxPool2d(variant.pool_size, POOL_STRIDE, ceil_mode=rounds_up)
        case "average":
            assert variant.average_pool
            return nn.AdaptiveAvgPool2d(variant.average_pool)
        case "flatten":
            return nn.Flatten()
        case "drop":
            return nn.Dropout(variant.dropout_rate)
    raise AssertionError(f"no peer knows the layer {name}")


def _convolution(ours: AlexNet, name: str) -> nn.Module:
    weight = ours.get_parameter(f"{name}.weight")
    stride, padding, groups = convolution_geometry(ours, name)
    convolution = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[-1],
        stride=stride,
        padding=padding,
        groups=groups,
    )
    return _with_weights(convolution, weight, ours.get_parameter(f"{name}.bias"))


@torch.no_grad()
def _with_weights(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor) -> nn.Module:
    assert layer.bias is not None
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer
