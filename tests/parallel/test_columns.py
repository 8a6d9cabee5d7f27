from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.nets import NETS
from alexnet.nets.alexnet import Variant
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns, whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.mesh import join
from tests.parallel.ranks import on_ranks

# Sums over the columns are taken in another order than in one process.
TOLERANCE = 1e-12


def small_net(name: str = "alexnet") -> Chain:
    """Return a net of the family with few kernels, float64, the same in each process."""
    variant = NETS[name]
    assert isinstance(variant, Variant)
    few = replace(variant, kernels=(8, 16, 16, 16, 16), fc_units=24)
    net = few.build(classes=6, input_size=67)
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return net.double()


def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(4, 3, 67, 67, generator=generator, dtype=torch.float64)
    return x, torch.tensor([0, 5, 3, 2])


def gradients_of(net: Chain) -> dict[str, Tensor]:
    x, labels = pictures()
    torch.manual_seed(3)
    F.cross_entropy(net.train()(x), labels).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def gradients_in_columns(name: str, columns: int) -> dict[str, Tensor]:
    with join(columns) as mesh:
        circle = Circle.of(mesh.model)
        column = Columns(small_net(name), circle, Rows())
        return {n: whole_tensor(g, circle) for n, g in gradients_of(column).items()}


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "torchvision", "bvlc-alexnet"])
def test_two_columns_have_the_gradients_of_one_process(
    pool: ProcessPoolExecutor, name: str
) -> None:
    wanted = gradients_of(small_net(name))
    for found in on_ranks(pool, 2, gradients_in_columns, name, 2):
        assert found.keys() == wanted.keys()
        for each, gradient in wanted.items():
            torch.testing.assert_close(found[each], gradient, rtol=TOLERANCE, atol=TOLERANCE)
