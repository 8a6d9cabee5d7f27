"""LARS where tensors are cut: rates from the norms of the whole tensors."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.parallel.collectives import Circle, total
from alexnet.parallel.mesh import join
from alexnet.training.lars import Lars
from alexnet.training.sgd import MomentumSGD
from tests.parallel.ranks import on_ranks
from tests.training.test_sgd import RATES, Arrays, arrays, set_gradients

TRUST, DECAY = 0.02, 0.05


def parts_of(size: int, rank: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x.detach().chunk(size)[rank].clone()


class Cut(nn.Module):
    """A part of `small_net`, by rows; fc8 is whole."""

    def __init__(self, size: int, rank: int) -> None:
        super().__init__()
        whole, own = whole_net(), parts_of(size, rank)
        for name in ("conv1", "conv2"):
            layer = nn.Linear(1, 1)
            for kind in ("weight", "bias"):
                part = own(whole.get_parameter(f"{name}.{kind}"))
                layer.register_parameter(kind, nn.Parameter(part))
            self.add_module(name, layer)
        self.add_module("fc8", whole.get_submodule("fc8"))


def whole_net() -> nn.Module:
    torch.manual_seed(4)
    net = nn.Module()
    net.add_module("conv1", nn.Linear(5, 4))
    net.add_module("conv2", nn.Linear(4, 6))
    net.add_module("fc8", nn.Linear(3, 2))
    return net.double()


def cut_after(steps: int) -> tuple[Arrays, int]:
    """Return this rank's weights after some updates, and the number of messages."""
    with join() as mesh:
        circle = Circle.of(mesh.data)
        messages = 0

        def sum_up(x: Tensor) -> Tensor:
            nonlocal messages
            messages += 1
            return total(x, circle)

        net = Cut(circle.size, circle.rank)
        sgd = MomentumSGD(net, weight_decay=DECAY)
        cut = [name for name, _ in net.named_parameters() if name.startswith("conv")]
        sgd.lars = Lars(TRUST, cut, sum_up)
        for step in range(steps):
            set_gradients(net, step)
            sgd.step(RATES[step])
        return arrays(dict(net.named_parameters())), messages


def test_cut_tensors_on_two_ranks_have_the_norms_of_the_whole(pool: ProcessPoolExecutor) -> None:
    net = whole_net()
    sgd = MomentumSGD(net, weight_decay=DECAY)
    sgd.lars = Lars(TRUST)
    for step in range(3):
        set_gradients(net, step)
        sgd.step(RATES[step])
    for rank, (found, messages) in enumerate(on_ranks(pool, 2, cut_after, 3)):
        assert messages == 3  # one an update
        for name, parameter in net.named_parameters():
            whole = parameter.detach()
            wanted = parts_of(2, rank)(whole) if name.startswith("conv") else whole
            # the squares are added up in another order
            np.testing.assert_allclose(found[name], wanted, rtol=1e-13, atol=1e-14)
