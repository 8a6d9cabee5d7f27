"""The plan's messages beside those that one of 8 ranks really hands over, byte for byte."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from alexnet.inspection.cuts import Cut, Rates, as_replicas, by_weird_trick, in_columns
from alexnet.inspection.machines import Message
from alexnet.inspection.programs import Rounds, messages_of, plain, weird_trick
from alexnet.inspection.stages import Counted, count_stages
from alexnet.nets import NETS
from alexnet.nets.alexnet import Variant
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet, HybridStep
from alexnet.parallel.layout import Scheme
from alexnet.parallel.replicas import Replica, share_layers
from alexnet.training.step import Worker, gradients
from tests.parallel.simulated import Sent, simulated_rank

RANKS = 8
PICTURES = 4  # of a rank
SIDE = 67


def small_net(name: str, classes: int = 8, device: str = "cpu") -> Chain:
    variant = NETS["alexnet" if name == "wide" else name]
    with torch.device(device):
        if isinstance(variant, Variant):
            few = replace(
                variant, kernels=(8, 16, 16, 16, 16), fc_units=3000 if name == "wide" else 24
            )
            return few.build(classes=classes, input_size=SIDE)
        return variant.build(classes=classes, input_size=SIDE)


def counted(name: str, classes: int = 8) -> tuple[Chain, Counted]:
    net = small_net(name, classes, "meta")
    return net, count_stages(net, 3, torch.float32)


def rates(sent: int = 4) -> Rates:
    return Rates(arithmetic=1e12, memory=1e11, element=4, sent=sent)


def batch(net: Chain, name: str, count: int) -> tuple[Tensor, Tensor]:
    side = net.input_size
    return torch.randn(count, 3, side, side), torch.arange(count) % net.classes


def planned(cut: Cut, pictures: int) -> Counter[Sent]:
    program = plain(cut, pictures, rates())
    return Counter(Sent(m.operation, m.ranks, m.handed_bytes) for m in messages_of(program))


def sent_by(worker: Worker, net: Chain, name: str, copies: int, sent: list[Sent]) -> Counter[Sent]:
    """Return what the second step sends: in the first, torch does not know its buckets yet."""
    x, labels = batch(net, name, PICTURES)
    gradients(worker, x, labels, whole=PICTURES * copies)
    sent.clear()
    gradients(worker, x, labels, whole=PICTURES * copies)
    return Counter(sent)


def sent_in_columns(name: str, columns: int, rank: int) -> Counter[Sent]:
    """Return what a rank of 8 sends in a step of columns, and of their groups' replicas."""
    groups = RANKS // columns
    with simulated_rank(rank, RANKS) as sent:
        mesh = init_device_mesh("cpu", (groups, columns), mesh_dim_names=("data", "model"))
        rows = Rows(torch.arange(PICTURES), PICTURES * groups)
        net = Columns(small_net(name), Circle.of(mesh.get_group("model")), rows).train()
        data = mesh.get_group("data")
        worker = Replica(net, data, rows=rows) if groups > 1 else net
        return sent_by(worker, net, name, groups, sent)


@pytest.mark.parametrize(
    ("name", "columns"), [("alexnet", 2), ("alexnet-1col", 4), ("alexnet-owt", 8)]
)
def test_columns_on_8_ranks_send_what_the_plan_says(name: str, columns: int) -> None:
    net, stages = counted(name)
    wanted = planned(in_columns(net, stages, columns, RANKS // columns), PICTURES)
    for rank in (0, 3, RANKS - 1):
        assert sent_in_columns(name, columns, rank) == wanted


def test_columns_whose_last_layer_stays_whole_send_what_the_plan_says() -> None:
    net, stages = counted("alexnet-1col", classes=6)
    cut = in_columns(net, stages, RANKS, 1)
    with simulated_rank(5, RANKS) as sent:
        rows = Rows(torch.arange(PICTURES), PICTURES)
        own = Columns(small_net("alexnet-1col", 6), Circle.of(dist.group.WORLD), rows).train()
        assert sent_by(own, own, "alexnet-1col", 1, sent) == planned(cut, PICTURES)


@pytest.mark.filterwarnings("ignore:Grad strides do not match:UserWarning")  # of 1 x 1 kernels
@pytest.mark.parametrize("name", ["alexnet", "wide", "resnet18"])
def test_replicas_on_8_ranks_send_what_the_plan_says(name: str) -> None:
    """The wide net has several buckets; the residual one has batch norm's sums."""
    net, stages = counted(name)
    wanted = planned(as_replicas(net, stages, RANKS), PICTURES)
    with simulated_rank(1, RANKS) as sent:
        group, rows = dist.group.WORLD, Rows(torch.arange(PICTURES), PICTURES * RANKS)
        assert group is not None
        own = small_net(name).train()
        share_layers(own, rows, Circle.of(group))
        found = sent_by(Replica(own, group, rows=rows), own, name, RANKS, sent)
    assert found == wanted
    elements = sum(parameter.numel() for parameter in own.parameters())
    gradients_sent = sum(m.handed_bytes for m in messages_of_step(net, stages))
    assert gradients_sent == 4 * elements


def messages_of_step(net: Chain, stages: Counted) -> list[Message]:
    """Return the plan's messages with gradients."""
    program = plain(as_replicas(net, stages, RANKS), PICTURES, rates())
    return [m for m in messages_of(program) if m.layer.startswith("gradients")]


def sent_by_weird_trick(
    name: str, rank: int, rounds: Rounds, *, classes: int, half: bool
) -> Counter[Sent]:
    with simulated_rank(rank, RANKS) as sent:
        circle = Circle.of(dist.group.WORLD, torch.float16 if half else None)
        rows = Rows(torch.arange(PICTURES) + rank * PICTURES, PICTURES * RANKS)
        net = HybridNet(small_net(name, classes), circle, rows).train()
        step = HybridStep(net, rows, rounds.scheme, round_pictures=rounds.fc_batch)
        x, labels = batch(net, name, PICTURES)
        step.gradients(x, labels)
        sent.clear()
        step.gradients(x, labels)
        return Counter(sent)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    ("scheme", "fc_batch", "classes"),
    [("a", 0, 8), ("b", 0, 8), ("b", 16, 8), ("b", 2, 6), ("c", 0, 6), ("c", 8, 8), ("c", 24, 8)],
)
def test_one_weird_trick_on_8_ranks_sends_what_the_plan_says(
    scheme: Scheme, fc_batch: int, classes: int, half: bool
) -> None:
    net, stages = counted("alexnet-owt", classes)
    cut = by_weird_trick(net, stages, RANKS)
    program = weird_trick(cut, PICTURES, rates(2 if half else 4), rounds=Rounds(scheme, fc_batch))
    wanted = Counter(Sent(m.operation, m.ranks, m.handed_bytes) for m in messages_of(program))
    for rank in (0, 6):
        found = sent_by_weird_trick(
            "alexnet-owt", rank, Rounds(scheme, fc_batch), classes=classes, half=half
        )
        assert found == wanted


@pytest.mark.filterwarnings("ignore:Grad strides do not match:UserWarning")  # of 1 x 1 kernels
def test_one_weird_trick_adds_up_batch_norms_sums_as_the_plan_says() -> None:
    net, stages = counted("resnet18")
    program = weird_trick(by_weird_trick(net, stages, RANKS), PICTURES, rates(), rounds=Rounds("c"))
    wanted = Counter(Sent(m.operation, m.ranks, m.handed_bytes) for m in messages_of(program))
    found = sent_by_weird_trick("resnet18", 2, Rounds("c"), classes=8, half=False)
    assert found == wanted
