from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor

from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet, HybridStep, Scheme
from alexnet.parallel.mesh import join
from alexnet.training.step import gradients
from tests.parallel.ranks import on_ranks
from tests.parallel.test_columns import TOLERANCE, small_net

LABELS = torch.tensor([0, 5, 3, 2, 1, 1, 4])


def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(len(LABELS), 3, 67, 67, generator=generator, dtype=torch.float64)


def whole(name: str) -> tuple[Tensor, dict[str, Tensor]]:
    net = small_net(name)
    torch.manual_seed(3)
    loss = gradients(net.train(), pictures(), LABELS)
    return loss, {n: p.grad for n, p in net.named_parameters() if p.grad is not None}


def hybrid(name: str, scheme: Scheme) -> tuple[Tensor, dict[str, Tensor]]:
    """Return loss and gradients of the whole net; ranks have 4 and 3, or 2, 2, 2 and 1 pictures."""
    with join() as mesh:
        circle = Circle.of(mesh.data)
        indices = torch.arange(len(LABELS)).tensor_split(mesh.groups)[mesh.group]
        rows = Rows(indices, len(LABELS))
        net = HybridNet(small_net(name), circle, rows)
        step = HybridStep(net.train(), rows, scheme)
        torch.manual_seed(3)
        loss = step.gradients(pictures()[indices], LABELS[indices], whole=len(LABELS))
        cut = {id(p) for layer in net.classifier for p in layer.parameters()}
        found = {}
        for n, p in net.named_parameters():
            assert p.grad is not None
            found[n] = whole_tensor(p.grad, circle) if id(p) in cut else p.grad
        return loss, found


@pytest.mark.parametrize("scheme", ["a", "b", "c"])
@pytest.mark.parametrize(
    ("name", "ranks"), [("alexnet", 2), ("torchvision", 2), ("alexnet-1col", 3)]
)
def test_one_weird_trick_has_the_gradients_of_one_process(
    pool: ProcessPoolExecutor, name: str, ranks: int, scheme: Scheme
) -> None:
    loss, wanted = whole(name)
    for own_loss, found in on_ranks(pool, ranks, hybrid, name, scheme):
        torch.testing.assert_close(own_loss, loss, rtol=1e-6, atol=0)  # a float32 figure
        assert found.keys() == wanted.keys()
        for each, gradient in wanted.items():
            torch.testing.assert_close(found[each], gradient, rtol=TOLERANCE, atol=TOLERANCE)
