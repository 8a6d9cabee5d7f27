from concurrent.futures import ProcessPoolExecutor
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet, HybridStep
from alexnet.parallel.layout import Scheme
from alexnet.parallel.mesh import join
from alexnet.training.step import gradients
from tests.parallel.ranks import on_ranks
from tests.parallel.test_columns import TOLERANCE, small_net


def net_of(name: str) -> Chain:
    """Return a net in float64, the same in each process."""
    if name != "resnet18":
        return small_net(name)
    torch.manual_seed(1)
    return NETS[name].build(classes=6, input_size=67).double()


LABELS = torch.tensor([0, 5, 3, 2, 1, 1, 4])


def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(len(LABELS), 3, 67, 67, generator=generator, dtype=torch.float64)


def whole(name: str) -> tuple[Tensor, dict[str, Tensor]]:
    net = net_of(name)
    torch.manual_seed(3)
    loss = gradients(net.train(), pictures(), LABELS)
    return loss, {n: p.grad for n, p in net.named_parameters() if p.grad is not None}


def gradients_of(dtype: torch.dtype, counts: tuple[int, ...], scheme: Scheme) -> dict[str, Tensor]:
    """Return gradients of the whole net, computed by ranks that have so many pictures."""
    with join() as mesh:
        circle = Circle.of(mesh.data)
        own = torch.arange(sum(counts)).split(list(counts))[circle.rank]
        rows = Rows(own, sum(counts))
        net = HybridNet(small_net().to(dtype), circle, rows).train()
        torch.manual_seed(3)
        HybridStep(net, rows, scheme).gradients(pictures()[own].to(dtype), LABELS[own])
        return {
            n: whole_tensor(p.grad, circle) if n in net.cut_names else p.grad
            for n, p in net.named_parameters()
            if p.grad is not None
        }


@pytest.mark.parametrize("scheme", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)], ids=str
)
def test_a_process_may_have_no_pictures_in_each_type_that_has_kernels(
    pool: ProcessPoolExecutor, dtype: torch.dtype, tolerance: float, scheme: Scheme
) -> None:
    # a few units of the type's last place in each of ten layers, added up in another order
    wanted = gradients_of(dtype, (5,), scheme)
    for counts in ((5, 0), (0, 5)):
        for found in on_ranks(pool, 2, gradients_of, dtype, counts, scheme):
            assert found.keys() == wanted.keys()
            for name, gradient in wanted.items():
                error = (found[name] - gradient).float().norm() / gradient.float().norm()
                assert float(error) < tolerance, name


def test_a_net_that_the_trick_cannot_cut_is_refused() -> None:
    net = Chain()
    net.add_module("fc1", nn.Linear(4, 4))
    message = "a chain of convolutional and then fully connected ones; train this one as replicas"
    with pytest.raises(ValueError, match=message):
        HybridNet(net, Circle(), Rows())
    with torch.device("meta"):
        net = NETS["googlenet"].build(classes=8)
    with pytest.raises(ValueError, match="this net has auxiliary classifiers, which one weird"):
        HybridNet(net, Circle(), Rows())


def hybrid(name: str, scheme: Scheme) -> tuple[Tensor, dict[str, Tensor]]:
    """Return loss and gradients of the whole net; ranks have 4 and 3, or 2, 2, 2 and 1 pictures."""
    with join() as mesh:
        circle = Circle.of(mesh.data)
        indices = torch.arange(len(LABELS)).tensor_split(mesh.groups)[mesh.group]
        rows = Rows(indices, len(LABELS))
        net = HybridNet(net_of(name), circle, rows)
        step = HybridStep(net.train(), rows, scheme)
        torch.manual_seed(3)
        loss = step.gradients(pictures()[indices], LABELS[indices], whole=len(LABELS))
        cut = {id(p) for layer in net.classifier for p in layer.parameters()}
        found = {}
        for n, p in net.named_parameters():
            assert p.grad is not None
            found[n] = whole_tensor(p.grad, circle) if id(p) in cut else p.grad
        return loss, found


ARRANGEMENTS: list[tuple[str, int, Scheme]] = [
    *((name, 2, scheme) for name in ("alexnet", "torchvision") for scheme in get_args(Scheme)),
    *(("alexnet-1col", 3, scheme) for scheme in get_args(Scheme)),
    ("resnet18", 2, "c"),  # whose batch norm takes its statistics over all processes
]


@pytest.mark.parametrize(("name", "ranks", "scheme"), ARRANGEMENTS)
def test_one_weird_trick_has_the_gradients_of_one_process(
    pool: ProcessPoolExecutor, name: str, ranks: int, scheme: Scheme
) -> None:
    loss, wanted = whole(name)
    for own_loss, found in on_ranks(pool, ranks, hybrid, name, scheme):
        torch.testing.assert_close(own_loss, loss, rtol=1e-6, atol=0)  # a float32 figure
        assert found.keys() == wanted.keys()
        for each, gradient in wanted.items():
            torch.testing.assert_close(found[each], gradient, rtol=TOLERANCE, atol=TOLERANCE)
