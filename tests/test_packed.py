"""Packed nets against the nets they were packed from, in float64 where that is the question."""

from dataclasses import replace
from itertools import chain
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.native import library
from alexnet.nets import ALEXNETS
from alexnet.nets.alexnet import AlexNet
from alexnet.packed import SAME_ANSWERS, FullyConnected, PackedNet, pack, pack_verified
from tests.blocks import block_net

# What rounding makes of logits, as a share of the largest: 8 bits in the weights of three layers,
# 7 bits and a sign in each row of them, 8 bits everywhere. Each is a few times what was seen.
BF16_WEIGHTS, INT8_WEIGHTS, BF16 = 0.02, 0.06, 0.05

Net = TypeVar("Net", bound=nn.Module)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fill(net: Net) -> Net:
    """Give the net weights with which each layer matters to the answers."""
    for number, parameter in enumerate(net.parameters()):
        size = parameter[0].numel() if parameter.dim() > 1 else 25
        parameter.data = draw(*parameter.shape, seed=number) * (2 / size) ** 0.5
    return net


def make(name: str) -> AlexNet:
    """Return a preset at its smallest input, with narrow fully connected layers."""
    variant = replace(ALEXNETS[name], fc_units=64)
    return fill(variant.build(classes=5, input_size=variant.smallest_input()))


def pictures_for(net: AlexNet, count: int = 3) -> Tensor:
    return draw(count, 3, net.input_size, net.input_size, seed=99)


@torch.no_grad()
def answer(net: nn.Module, x: Tensor) -> Tensor:
    """Return the net's own answers in evaluation mode; leave its mode as it was."""
    training = net.training
    y: Tensor = net.eval()(x)
    net.train(training)
    return y


def difference(given: Tensor, wanted: Tensor) -> float:
    assert given.dtype == torch.float32
    assert given.shape == wanted.shape
    return float((given.double() - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", ALEXNETS)
def test_every_preset_answers_as_its_net(name: str) -> None:
    net = make(name)
    x = pictures_for(net)
    wanted = answer(net, x)
    bounds: dict[FullyConnected, float] = {
        "same": SAME_ANSWERS,
        "bf16": BF16_WEIGHTS,
        "int8": INT8_WEIGHTS,
    }
    for weights, bound in bounds.items():
        assert difference(pack(net, fully_connected=weights)(x), wanted) < bound
    assert difference(pack(net.double())(x), answer(net, x.double())) < SAME_ANSWERS


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "torchvision"])
@pytest.mark.parametrize("weights", ["same", "bf16", "int8"])
def test_bfloat16_is_near_for_few_and_many_pictures(name: str, weights: FullyConnected) -> None:
    net = make(name)
    packed = pack(net, dtype=torch.bfloat16, fully_connected=weights)
    for count in (1, 6, 7):
        x = pictures_for(net, count)
        assert difference(packed(x), answer(net, x)) < BF16 + INT8_WEIGHTS


def test_without_kernels_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "library", lambda: None)
    net = make("alexnet-2012")
    x = pictures_for(net)
    assert difference(pack(net)(x), answer(net, x)) < SAME_ANSWERS
    assert difference(pack(net, fully_connected="int8")(x), answer(net, x)) < INT8_WEIGHTS


def test_the_layers_of_blocks_are_packed_and_heads_left_out() -> None:
    net = block_net()
    x = draw(3, 3, 16, 16)
    wanted = answer(net, x)
    packed = pack(net)
    assert difference(packed(x), wanted) < SAME_ANSWERS
    assert not any(type(each) is nn.Conv2d for each in packed.modules())
    head = net.head.weight.data_ptr()
    assert head not in [each.data_ptr() for each in chain(packed.parameters(), packed.buffers())]
    assert difference(pack(net, dtype=torch.bfloat16)(x), wanted) < BF16
    assert type(net.block.conv3x3) is nn.Conv2d


def test_batches_and_sizes_may_change() -> None:
    net = make("torchvision")  # which averages pool5 to one size
    packed = pack(net)
    for count, size in ((1, 63), (5, 63), (2, 95), (1, 63)):
        x = draw(count, 3, size, size, seed=size)
        assert difference(packed(x), answer(net, x)) < SAME_ANSWERS


def test_pictures_of_any_layout_and_type_are_taken() -> None:
    net = make("alexnet")
    packed, x = pack(net), pictures_for(net)
    wanted = packed(x)
    assert torch.equal(packed(x.contiguous(memory_format=torch.channels_last)), wanted)
    assert torch.equal(packed(x.transpose(2, 3).contiguous().transpose(2, 3)), wanted)
    assert torch.equal(packed(x.double()), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(packed(x), wanted)


@pytest.mark.parametrize("weights", ["same", "bf16", "int8"])
def test_the_net_stays_as_it_was(weights: FullyConnected) -> None:
    net = make("alexnet")
    frozen = net.get_submodule("conv3").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    addresses = [each.data_ptr() for each in net.parameters()]
    pack(net, dtype=torch.bfloat16, fully_connected=weights)
    pack(net, fully_connected=weights)(pictures_for(net))
    assert all(module.training for module in net.modules())
    assert [each.data_ptr() for each in net.parameters()] == addresses
    fixed = [each for each in net.parameters() if not each.requires_grad]
    assert list(map(id, fixed)) == list(map(id, frozen.parameters()))
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_float32_weights_are_not_copied_and_others_take_fewer_bytes() -> None:
    net = ALEXNETS["alexnet"].build(classes=5, input_size=67)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = {each.data_ptr() for each in net.parameters()}
    packed = pack(net)
    weights = [each for each in packed.buffers() if each.dim() > 1]
    assert len(weights) == 8
    assert {each.data_ptr() for each in weights} <= own
    count = sum(net.get_parameter(f"fc{number}.weight").numel() for number in (6, 7, 8))
    for name, saved in (("bf16", 2), ("int8", 3)):
        fewer = pack(net, fully_connected=name)  # type: ignore[arg-type]
        assert packed.weight_bytes - fewer.weight_bytes == saved * count
    whole = sum(each.nbytes for each in net.parameters())
    assert packed.weight_bytes == whole + 4 * (4096 + 4096 + 5)  # the scales


def test_a_packed_net_does_not_train() -> None:
    packed = pack(make("alexnet"))
    assert packed.eval() is packed
    assert not any(module.training for module in packed.modules())
    with pytest.raises(ValueError, match="a packed net only answers; train the net"):
        packed.train()


class Swish(nn.Module):
    """A layer that nobody here knows, which does something else in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * 0 if self.training else x * torch.sigmoid(self.beta * x)


def test_layers_that_are_not_known_run_as_they_are() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding="same", dilation=2, bias=False),
        nn.ReLU(inplace=True),
        Dropout(0.25),
        nn.Conv2d(8, 12, (3, 2), stride=2, padding=(1, 0), groups=4),
        Swish(12),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Dropout(0.5),
        nn.ConvTranspose2d(12, 4, 2),
        nn.Tanh(),
        nn.Linear(5, 6),
        nn.Sigmoid(),
        nn.Flatten(),
        Dropout(0.5),
        nn.Linear(120, 7, bias=False),
        nn.ReLU(),
        Dropout(0.75),
        nn.ReLU(),
        Dropout(0.75),
    )
    fill(net)
    x = draw(4, 3, 13, 17)
    wanted = answer(net.double(), x.double())
    net.float()
    assert float(wanted.abs().max()) > 0
    assert difference(pack(net)(x), wanted) < SAME_ANSWERS
    assert difference(pack(net, dtype=torch.bfloat16)(x), wanted) < BF16
    assert isinstance(pack_verified(net, x), PackedNet)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_that_makes_its_input_flat_is_packed_with_its_relu(dtype: torch.dtype) -> None:
    flat = InnerProduct(4 * 5 * 7, 16), InnerProduct(16, 6, axis=1)
    net = fill(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), flat[0], nn.ReLU(), flat[1]))
    for count in (1, 9):
        x = draw(count, 3, 5, 7)
        packed = pack(net, dtype=dtype)
        assert [type(step).__name__ for step in packed.steps] == [
            "_Convolution",
            "_FullyConnected",
            "_FullyConnected",
        ]
        near = SAME_ANSWERS if dtype == torch.float32 else BF16
        assert difference(packed(x), answer(net, x)) < near
        eight = pack(net, fully_connected="int8")
        assert difference(eight(x), answer(net, x)) < INT8_WEIGHTS


def test_a_layer_that_stands_twice_runs_twice() -> None:
    relu, layer = nn.ReLU(), fill(nn.Linear(6, 6))
    net = nn.Sequential(layer, relu, layer, relu)
    x = draw(2, 6)
    assert difference(pack(net)(x), answer(net, x)) < SAME_ANSWERS


class Skip(nn.Module):
    """A net that does not run its children in order."""

    def __init__(self) -> None:
        super().__init__()
        self.fc6 = fill(nn.Linear(6, 6))
        self.fc7 = fill(nn.Linear(6, 6))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc6(x) + self.fc7(x)
        return y


def test_a_net_whose_answers_would_change_is_not_packed() -> None:
    net, x = Skip(), draw(2, 6)
    assert pack_verified(net, x) is net
    assert not net.training
    assert pack_verified(net, x, dtype=torch.bfloat16) is net
    with pytest.raises(ValueError, match=r"with int8 weights the answers .* differ by \d+% of"):
        pack_verified(net, x, fully_connected="int8")


def test_a_net_without_numbers_is_not_packed() -> None:
    net = make("alexnet")
    net.get_parameter("fc8.bias").data.fill_(torch.nan)
    assert pack_verified(net, pictures_for(net)) is net
    net.get_parameter("fc7.weight").data[3, 4] = torch.inf
    with pytest.raises(ValueError, match="a weight is not finite"):
        pack_verified(net, pictures_for(net), fully_connected="int8")


def test_the_answers_outlive_the_net() -> None:
    net = make("caffenet")
    x = pictures_for(net)
    wanted, packed = answer(net, x), pack(net)
    devices = {each.device for each in chain(packed.parameters(), packed.buffers())}
    del net
    assert devices == {torch.device("cpu")}
    assert difference(packed(x), wanted) < SAME_ANSWERS
