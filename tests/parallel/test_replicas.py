from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from alexnet.nets import find
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.dropout import Rows
from alexnet.parallel.mesh import join
from alexnet.parallel.replicas import Replica, share_layers
from alexnet.training.step import gradients
from tests.parallel.ranks import on_ranks

TOLERANCE = 1e-12  # float64; sums over pictures are taken in another order


def net_of(name: str) -> Chain:
    net = find(name).build(classes=4, input_size=SIDES[name])
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator)
    return net.double()


SIDES = {"lenet": 28, "resnet18": 33, "alexnet": 67}


def batch(name: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    channels = find(name).channels
    x = torch.randn(8, channels, SIDES[name], SIDES[name], generator=generator, dtype=torch.float64)
    return x, torch.tensor([0, 1, 3, 2, 1, 1, 0, 2])


def whole(name: str, parts: int) -> dict[str, Tensor]:
    net = net_of(name)
    x, labels = batch(name)
    torch.manual_seed(3)
    gradients(net.train(), x, labels, parts=parts)
    return state(net)


def state(net: Chain) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    return found | {name: each.clone() for name, each in net.named_buffers()}


def in_copies(name: str, parts: int) -> dict[str, Tensor]:
    with join() as mesh:
        assert mesh.data is not None
        net, circle = net_of(name), Circle.of(mesh.data)
        x, labels = batch(name)
        indices = torch.arange(8).chunk(mesh.groups)[mesh.group]
        rows = Rows(indices, 8)
        share_layers(net, rows, circle)
        replica = Replica(net.train(), mesh.data, rows=rows, parts=parts)
        torch.manual_seed(3)
        gradients(replica, x[indices], labels[indices], parts=parts, whole=8)
        return state(net)


@pytest.mark.parametrize(
    ("name", "ranks", "parts"),
    [("alexnet", 2, 1), ("alexnet", 4, 1), ("resnet18", 2, 1), ("lenet", 2, 1), ("lenet", 2, 2)],
)
def test_copies_have_the_gradients_of_one_process_with_all_pictures(
    pool: ProcessPoolExecutor, name: str, ranks: int, parts: int
) -> None:
    wanted = whole(name, 1)
    for found in on_ranks(pool, ranks, in_copies, name, parts):
        assert found.keys() == wanted.keys()
        for each, value in wanted.items():
            torch.testing.assert_close(found[each], value, rtol=TOLERANCE, atol=TOLERANCE)
