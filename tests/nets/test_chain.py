"""What all nets share: activations by name, heads, and the layers that hold no others."""

import pytest
import torch
from torch import nn

from alexnet.nets import find
from alexnet.nets.chain import Chain, leaves
from tests.blocks import WEIGHT, Branches, block_net


class Two(Chain):
    """A convolution and a ReLU that works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.input_size = 2, 4
        self.conv1, self.relu1 = nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)


def pictures(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_children_run_in_their_order() -> None:
    net, x = Two(), torch.randn(2, 1, 5, 6)
    assert torch.equal(net(x), nn.functional.conv2d(x, net.conv1.weight, net.conv1.bias).relu())


def test_an_activation_is_what_the_layer_put_out_before_the_next_worked_in_place() -> None:
    net, x = Two(), torch.randn(2, 1, 5, 6)
    seen = net.activations(x, ["conv1", "relu1"])
    assert float(seen["conv1"].detach().min()) < 0
    assert torch.equal(seen["relu1"], seen["conv1"].relu())
    assert torch.equal(net(x, upto="conv1"), seen["conv1"])


def test_layers_inside_a_block_are_named_with_a_dot() -> None:
    net, x = block_net().eval(), pictures()
    seen = net.activations(x, ["block.conv5x5", "block", "conv1"])
    block = net.get_submodule("block")
    assert isinstance(block, Branches)
    assert torch.equal(seen["block.conv5x5"], block.conv5x5(seen["conv1"]))
    assert torch.equal(seen["block"], block(seen["conv1"]))
    assert torch.equal(net(x, upto="block.norm"), net.activations(x, ["block.norm"])["block.norm"])


def test_nothing_is_computed_past_the_last_layer_that_is_asked_for() -> None:
    net = block_net().eval()
    net.fc = nn.Linear(1, 1)  # it would refuse its input
    assert list(net.activations(pictures(), ["block.add"])) == ["block.add"]
    assert not any(layer._forward_hooks for layer in net.modules())


@pytest.mark.parametrize(("name", "near"), [("block.conv3", "block.conv3x3"), ("pol", "pool")])
def test_an_unknown_layer_names_the_nearest_also_inside_a_block(name: str, near: str) -> None:
    message = (
        rf"no layer is called '{name}' \(did you mean '{near}'\?\); "
        "the layers are conv1, block, pool, flatten, fc$"
    )
    with pytest.raises(ValueError, match=message):
        block_net().activations(pictures(), [name])


def test_a_net_has_one_head_unless_it_says_otherwise() -> None:
    net, x = Two(), torch.randn(2, 1, 5, 6)
    heads = net.heads(x)
    assert torch.equal(heads.logits, net(x))
    assert (heads.auxiliary, heads.weight) == ((), 0.0)
    assert block_net().heads(pictures()).weight == WEIGHT


def test_a_net_without_a_source_draws_no_weights() -> None:
    with pytest.raises(NotImplementedError):
        Two().init_weights()


def test_leaves_are_the_layers_that_hold_no_others_and_lead_to_the_logits() -> None:
    names = [name for name, _ in leaves(block_net())]
    inside = [f"block.{name}" for name in ("conv3x3", "conv5x5", "concat", "norm", "add", "relu")]
    assert names == ["conv1", *inside, "pool", "flatten", "fc"]
    with torch.device("meta"):
        googlenet = [name for name, _ in leaves(find("googlenet").build())]
    assert "inception_3a.conv3x3" in googlenet
    assert not [name for name in googlenet if name.startswith("loss")]


def test_leaves_of_other_modules_have_their_dotted_names() -> None:
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    assert [name for name, _ in leaves(net)] == ["0.0", "1"]
