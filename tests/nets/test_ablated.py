"""The paper's net without a part: what is gone, and that nothing else is."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor, nn

from alexnet.nets import ABLATED, NETS, find
from alexnet.nets.ablated import APART
from alexnet.nets.alexnet import AlexNet, Variant
from alexnet.nets.variants import ALEXNET, ALEXNET_2012_HALF

GONE = {
    "alexnet-no-norm": {"after_conv1", "after_conv2"},
    "alexnet-2x2-pools": {"pool_size"},
    "alexnet-half": {"kernels", "columns"},
    "alexnet-apart": {"crosses"},
    "alexnet-tanh": {"activation", "initial_biases"},
    "alexnet-no-dropout": {"dropout_rate"},
}


def layers(variant: Variant, kind: type[nn.Module]) -> list[nn.Module]:
    with torch.device("meta"):
        return [layer for layer in variant.build(classes=10).modules() if isinstance(layer, kind)]


@pytest.mark.parametrize("name", ABLATED)
def test_a_net_differs_from_the_papers_in_its_part_alone(name: str) -> None:
    assert find(name) is ABLATED[name]
    differs = {f.name for f in fields(Variant) if getattr(ALEXNET, f.name) != value(name, f.name)}
    assert differs - {"source", "published", "notes"} == GONE[name]


def value(name: str, field: str) -> object:
    return getattr(NETS[name], field)


def test_parts_are_gone_from_the_module() -> None:
    names = {
        name: [child for child, _ in net.build(classes=10, input_size=67).named_children()]
        for name, net in (("whole", ALEXNET), *ABLATED.items())
    }
    whole = names["whole"]
    assert [x for x in whole if x not in names["alexnet-no-norm"]] == ["norm1", "norm2"]
    assert names["alexnet-2x2-pools"] == names["alexnet-apart"] == whole
    assert names["alexnet-tanh"] == [x.replace("relu", "tanh") for x in whole]


def test_pools_of_two_do_not_overlap_and_keep_the_sizes_of_the_maps() -> None:
    pools = layers(ABLATED["alexnet-2x2-pools"], nn.MaxPool2d)
    sizes = [(pool.kernel_size, pool.stride) for pool in pools if isinstance(pool, nn.MaxPool2d)]
    assert sizes == [(2, 2)] * 3
    for size in (67, 99, 131, 163, 227):
        assert ABLATED["alexnet-2x2-pools"].pool5_size(size) == ALEXNET.pool5_size(size)
    assert ABLATED["alexnet-2x2-pools"].smallest_input() < ALEXNET.smallest_input()


def test_the_half_net_is_the_papers_note() -> None:
    """conv1 to conv4 have half the kernels; conv5, fc6 and fc7 are as wide, in one column."""
    half = ABLATED["alexnet-half"]
    assert half.kernels == (48, 128, 192, 192, 256)
    assert (half.columns, half.fc_units) == (1, 4096)
    with torch.device("meta"):
        ours = sum(p.numel() for p in half.build().parameters())
        as_it_ran = sum(p.numel() for p in ALEXNET_2012_HALF.build().parameters())
    assert ours == as_it_ran == 59_798_312


def test_columns_that_never_talk_know_nothing_of_each_other_up_to_pool5() -> None:
    torch.manual_seed(0)
    net = APART.build(classes=2, input_size=67).eval()
    whole = ALEXNET.build(classes=2, input_size=67).eval()
    for each, meets in ((net, False), (whole, True)):
        before = up_to_pool5(each)
        with torch.no_grad():  # the first column's kernels
            each.get_parameter("conv2.weight")[:128] += 1
        changed = (up_to_pool5(each) != before).flatten(2).any(2)[0]
        assert changed[:128].any()
        assert bool(changed[128:].any()) is meets


def up_to_pool5(net: AlexNet) -> Tensor:
    x = 50 * torch.randn(1, 3, 67, 67, generator=torch.Generator().manual_seed(1))
    names = [name for name, _ in net.named_children()]
    with torch.no_grad():
        for layer in list(net.children())[: names.index("pool5") + 1]:
            x = layer(x)
    return x


def test_no_dropout_trains_as_it_tests() -> None:
    net = ABLATED["alexnet-no-dropout"].build(classes=2, input_size=67)
    x = torch.randn(2, 3, 67, 67)
    with torch.no_grad():
        assert torch.equal(net.train()(x), net.eval()(x))
