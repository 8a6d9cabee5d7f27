"""Whole nets with swapped arithmetic: what they compute, and what is built around them."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from alexnet.convolution import choose
from alexnet.convolution.convolve import convolve
from alexnet.convolution.swap import swap
from alexnet.inspection.summary import layer_figures
from alexnet.layers.fused import fuse, members
from alexnet.model import architecture
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from alexnet.packed import pack, pack_verified

pytestmark = pytest.mark.usefixtures("cache", "hurried")

SIZES = {"alexnet": 67, "vgg11": 32, "googlenet": 64, "resnet18": 64, "lenet-5": 32, "lenet": 28}
"""The nets, and an input for each that is small."""
CASES = [*((name, "im2col") for name in SIZES), ("alexnet", "auto"), ("lenet-5", "auto")]

TEXT = """
name: "text"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 6 kernel_size: 3 group: 3 weight_filler { type: "xavier" } } }
layer { name: "up1" type: "Deconvolution" bottom: "conv1" top: "up1"
  convolution_param { num_output: 3 kernel_size: 2 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "fc2" type: "InnerProduct" bottom: "up1" top: "fc2"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let auto choose at once: which is taken does not matter here."""
    monkeypatch.setattr(choose, "REPEATS", 1)
    monkeypatch.setattr(choose, "TURN_SECONDS", 1e-9)


def build(name: str, size: int) -> Chain:
    net = architecture(name).build(classes=5, input_size=size)
    net.init_weights(torch.Generator().manual_seed(0))
    return net.eval()


def pictures(net: Chain, channels: int, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, net.input_size, net.input_size, generator=generator)


def named(name: str) -> tuple[Chain, Tensor]:
    net = build(name, SIZES[name])
    return net, pictures(net, architecture(name).channels)


def close(ours: Tensor, theirs: Tensor, *, tolerance: float = 1e-4) -> None:
    """Compare by the largest element: float32 sums in other orders, through up to 20 layers."""
    ours, theirs = ours.detach(), theirs.detach()
    assert float((ours - theirs).abs().max()) <= tolerance * float(theirs.abs().max())


def gradients(net: Chain, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    logits = net(x)
    return list(
        torch.autograd.grad(logits.square().mean(), [x, *net.parameters()], allow_unused=True)
    )


@pytest.mark.parametrize(("name", "algorithm"), CASES)
def test_nets_give_the_same_logits_gradients_and_activations(name: str, algorithm: str) -> None:
    net, x = named(name)
    first = next(layer for layer, each in net.named_modules() if isinstance(each, nn.Conv2d))
    wanted, slopes = net(x), gradients(net, x)
    seen = net.activations(x, (first,))[first]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    swapped = swap(net, algorithm)
    convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    assert len(swapped) == len(convolutions)
    assert {each.algorithm for each in swapped} == {algorithm}
    assert all("torch" not in type(each).__module__ for each in convolutions)
    close(net(x), wanted)
    close(net(x, upto=first), seen)
    for ours, theirs in zip(gradients(net, x), slopes, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            close(ours, theirs)
    assert list(net.state_dict()) == list(state)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in state.items())
    swap(net, "native")
    assert torch.equal(net(x), wanted)


def test_fused_steps_do_not_take_over_what_is_swapped() -> None:
    net = build("alexnet", 67)
    taken = [members(step)[0] for step in fuse(net.children()) if not isinstance(step, nn.Module)]
    assert net.conv2 in taken
    swap(net, "im2col")
    steps = list(fuse(net.children()))
    assert all(getattr(net, f"conv{number}") in steps for number in range(1, 6))


@pytest.mark.parametrize("name", SIZES)
def test_summaries_of_swapped_nets_are_those_of_the_nets(name: str) -> None:
    net, x = named(name)
    net, x = net.to("meta"), x[:1].to("meta")
    wanted = layer_figures(net, x)
    swap(net, "im2col")
    assert layer_figures(net, x) == wanted


@pytest.mark.parametrize("name", SIZES)
def test_packed_nets_answer_as_the_swapped_net(name: str) -> None:
    net, x = named(name)
    with torch.inference_mode():
        wanted = net(x)
    swap(net, "im2col")
    if net.branches:
        assert pack_verified(net, x) is net
        return
    close(pack(net)(x), wanted)
    close(pack(net, dtype=torch.bfloat16)(x), wanted, tolerance=0.1)  # bfloat16 between layers
    assert not any(type(each).__module__ == "torch.nn.modules.conv" for each in net.modules())


@pytest.mark.parametrize("algorithm", ["im2col", "auto"])
def test_nets_from_texts_are_swapped_too(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "net.prototxt").write_text(TEXT)
    found = architecture(str(tmp_path / "net.prototxt"))
    net = found.build(classes=5)
    net.init_weights(torch.Generator().manual_seed(0))
    x = pictures(net.eval(), 3)
    wanted, slopes = net(x), gradients(net, x)
    names = [each.name.rpartition(".")[2] for each in swap(net, algorithm)]
    assert names == ["conv1", "up1"]
    close(net(x), wanted)
    for ours, theirs in zip(gradients(net, x), slopes, strict=True):
        close(ours, theirs)


def test_auto_and_native_may_differ_by_the_tolerance_only() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    x = torch.randn(1, 16, 20, 20)
    wanted = layer(x)
    swap(layer, "auto")
    close(layer(x), wanted, tolerance=1e-5)
    close(convolve(x, layer.weight, layer.bias, padding=1), wanted, tolerance=1e-5)


def test_all_nets_by_name_can_be_swapped() -> None:
    for name in NETS:
        with torch.device("meta"):
            net = architecture(name).build()
        assert {each.reason for each in swap(net, "im2col")} == {""}
