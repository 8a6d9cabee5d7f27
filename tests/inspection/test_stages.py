"""A net's calls: what they compute, beside the summary; what they keep, beside real tensors."""

import pytest
import torch
from torch import Tensor

from alexnet.inspection.stages import count_stages
from alexnet.inspection.summary import summarise
from alexnet.nets import NETS
from alexnet.nets.chain import Chain

NAMES = ("alexnet", "torchvision", "lenet-5", "resnet18", "googlenet", "vgg11-bn")


def build(name: str, device: str, size: int | None = None) -> Chain:
    with torch.device(device):
        return NETS[name].build(input_size=size)


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_have_the_figures_of_the_summary(name: str) -> None:
    counted = count_stages(build(name, "meta"), NETS[name].channels, torch.float32)
    wanted = summarise(name)
    assert sum(stage.multiply_adds for stage in counted.stages) == wanted.totals["multiply_adds"]
    parameters = sum(sum(stage.parameters) for stage in counted.stages)
    assert parameters == wanted.totals["parameters"]
    assert [n for stage in counted.stages for n in stage.layers] == [r.name for r in wanted.layers]


def test_parameters_of_auxiliary_classifiers_stand_beside() -> None:
    net = build("googlenet", "meta")
    counted = count_stages(net, 3, torch.float32)
    inside = sum(sum(stage.parameters) for stage in counted.stages)
    assert inside + sum(counted.beside) == sum(p.numel() for p in net.parameters())
    assert not counted.is_chain


def test_the_papers_net_is_called_in_stages() -> None:
    stages = count_stages(build("alexnet", "meta"), 3, torch.float32).stages
    assert stages[1].layers == ("relu1", "norm1", "pool1")
    assert stages[1].name == "norm1"
    assert (stages[1].inputs, stages[1].outputs) == (96 * 55 * 55, 96 * 27 * 27)
    assert stages[0].inputs == 3 * 227 * 227
    assert stages[0].kept_bytes == 4 * 3 * 227 * 227  # its input, the picture


def kept_by_torch(net: Chain, x: Tensor) -> int:
    """Return the bytes of all storages that a real forward pass keeps, parameters left out."""
    parameters = {p.untyped_storage().data_ptr() for p in net.parameters()}
    found: dict[int, Tensor] = {}

    def pack(each: Tensor) -> Tensor:
        found[each.untyped_storage().data_ptr()] = each
        return each

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda each: each):
        y = net.train()(x)
    del y
    return sum(
        each.untyped_storage().nbytes() for at, each in found.items() if at not in parameters
    )


@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 67), ("torchvision", 67), ("lenet", 28), ("resnet18", 65), ("vgg11-bn", 32)],
)
def test_what_is_kept_is_what_a_real_pass_keeps(name: str, size: int) -> None:
    counted = count_stages(build(name, "meta", size), NETS[name].channels, torch.float32)
    net = build(name, "cpu", size)
    x = torch.randn(2, NETS[name].channels, size, size)
    kept = sum(stage.kept_bytes for stage in counted.stages)
    # batch norm's own means and deviations, which do not grow with the batch, are halved here
    assert kept == pytest.approx(kept_by_torch(net, x) / 2, rel=1e-3)


def test_bfloat16_halves_what_is_kept_but_not_batch_norms_statistics() -> None:
    single = count_stages(build("torchvision", "meta"), 3, torch.float32)
    half = count_stages(build("torchvision", "meta"), 3, torch.bfloat16)
    kept = [sum(stage.kept_bytes for stage in each.stages) for each in (single, half)]
    assert kept[0] / kept[1] == pytest.approx(2, rel=0.2)  # a pool keeps a byte of each maximum
    net = build("resnet18", "meta")
    counted = count_stages(net, 3, torch.bfloat16)
    assert net.get_submodule("bn1").weight.dtype == torch.float32
    assert sum(stage.normed for stage in counted.stages) == sum(
        each.num_features for each in net.modules() if isinstance(each, torch.nn.BatchNorm2d)
    )
