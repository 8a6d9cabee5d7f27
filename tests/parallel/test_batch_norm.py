from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from alexnet.parallel.batch_norm import SharedBatchNorm
from alexnet.parallel.collectives import Circle
from alexnet.parallel.mesh import join
from tests.parallel.ranks import on_ranks

Found = tuple[list[Tensor], dict[str, Tensor]]


def norm(momentum: float | None) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(5, momentum=momentum).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    return layer


def pictures() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(7, 5, 3, 4, dtype=torch.float64, generator=generator) * 3 + 100
    return x, torch.randn(x.shape, dtype=torch.float64, generator=generator)


def passes(layer: nn.BatchNorm2d, rows: slice) -> Found:
    """Return outputs, gradients of inputs and weights after two passes, and the state."""
    x, dy = (each[rows] for each in pictures())
    x.requires_grad_()
    layer(x.detach() * 2)
    y = layer(x)
    y.backward(dy)
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    assert x.grad is not None
    return [y.detach(), x.grad, *gradients], layer.state_dict()


def shared(momentum: float | None) -> Found:
    with join() as mesh:
        circle = Circle.of(mesh.data)
        return passes(SharedBatchNorm(norm(momentum), circle), rows_of(circle.rank))


def rows_of(rank: int) -> slice:
    return slice(0, 4) if rank == 0 else slice(4, 7)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_two_processes_norm_as_one_does(pool: ProcessPoolExecutor, momentum: float | None) -> None:
    (y, dx, *weights), state = passes(norm(momentum), slice(None))
    found = on_ranks(pool, 2, shared, momentum)
    for rank, ((own_y, own_dx, *_), own_state) in enumerate(found):
        rows = rows_of(rank)
        torch.testing.assert_close(own_y, y[rows], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(own_dx, dx[rows], rtol=1e-9, atol=1e-10)
        assert own_state.keys() == state.keys()
        for name, value in state.items():
            torch.testing.assert_close(own_state[name], value, rtol=1e-12, atol=1e-12)
    for index, gradient in enumerate(weights):
        summed = sum(each[0][2 + index] for each in found)
        torch.testing.assert_close(summed, gradient, rtol=1e-10, atol=1e-10)


def test_halves_come_back_as_halves_and_answers_are_torchs() -> None:
    layer = norm(0.1).float()
    own = SharedBatchNorm(layer, Circle())
    x = pictures()[0].float()
    own.eval()
    torch.testing.assert_close(own(x), layer.eval()(x), rtol=0, atol=0)
    assert own.weight is layer.weight
    assert own.running_mean is layer.running_mean
