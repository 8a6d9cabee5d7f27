from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor

from alexnet.parallel.collectives import (
    Circle,
    collect,
    gather,
    start_gather,
    start_lending,
    start_return,
    start_sum,
    total,
)
from alexnet.parallel.mesh import join
from tests.parallel.ranks import on_ranks


def own_rows(rank: int) -> Tensor:
    return torch.arange(6, dtype=torch.float64).view(2, 3) + 10 * (rank + 1)


def weights(rank: int, size: int) -> Tensor:
    """Return what each process multiplies all rows with."""
    return torch.arange(2 * size * 3, dtype=torch.float64).view(2 * size, 3) * (rank + 1)


def gathered(way: str) -> tuple[Tensor, Tensor]:
    with join() as mesh:
        circle = Circle.of(mesh.data)
        x = own_rows(circle.rank).requires_grad_()
        y = (gather if way == "gather" else collect)(x, circle, 0)
        (y * weights(circle.rank, circle.size)).sum().backward()
        assert x.grad is not None
        return y.detach(), x.grad


def test_gather_sums_what_all_make_of_a_part_and_collect_keeps_the_own(
    pool: ProcessPoolExecutor,
) -> None:
    rows = torch.cat([own_rows(0), own_rows(1)])
    everybody = weights(0, 2) + weights(1, 2)
    for rank, (y, gradient) in enumerate(on_ranks(pool, 2, gathered, "gather")):
        torch.testing.assert_close(y, rows, rtol=0, atol=0)
        torch.testing.assert_close(gradient, everybody.chunk(2)[rank], rtol=0, atol=0)
    for rank, (y, gradient) in enumerate(on_ranks(pool, 2, gathered, "collect")):
        torch.testing.assert_close(y, rows, rtol=0, atol=0)
        torch.testing.assert_close(gradient, weights(rank, 2).chunk(2)[rank], rtol=0, atol=0)


def totalled() -> tuple[Tensor, Tensor]:
    with join() as mesh:
        circle = Circle.of(mesh.data)
        x = own_rows(circle.rank).requires_grad_()
        y = total(x, circle)
        (y * (circle.rank + 1)).sum().backward()
        assert x.grad is not None
        return y.detach(), x.grad


def test_a_total_adds_up_values_and_gradients(pool: ProcessPoolExecutor) -> None:
    for y, gradient in on_ranks(pool, 3, totalled):
        torch.testing.assert_close(y, own_rows(0) + own_rows(1) + own_rows(2), rtol=0, atol=0)
        torch.testing.assert_close(gradient, torch.full_like(gradient, 6.0), rtol=0, atol=0)


def messages() -> list[Tensor]:
    with join() as mesh:
        circle = Circle.of(mesh.data)
        lent = start_lending(own_rows(circle.rank), circle, 1)
        back = start_return(own_rows(circle.rank), circle, 0)
        sums = start_sum([own_rows(circle.rank) + i for i in range(circle.size)], circle)
        nothing = start_return(own_rows(circle.rank), circle, 0).without_use().wait()
        return [*lent.wait(), *back.wait(), *sums.wait(), *nothing]


def test_messages_may_be_under_way_at_the_same_time(pool: ProcessPoolExecutor) -> None:
    both = own_rows(0) + own_rows(1)
    for rank, (lent, back, summed, nothing) in enumerate(on_ranks(pool, 2, messages)):
        torch.testing.assert_close(lent, own_rows(1), rtol=0, atol=0)
        if rank == 0:
            torch.testing.assert_close(back, both, rtol=0, atol=0)
        torch.testing.assert_close(summed, both + 2 * rank, rtol=0, atol=0)
        assert nothing.shape == (0, 3)


def rounded() -> Tensor:
    with join() as mesh:
        circle = Circle.of(mesh.data, torch.bfloat16)
        parts = start_gather(own_rows(circle.rank) / 3, circle).wait()
        return torch.cat(parts)


def test_a_circle_of_half_precision_rounds_what_it_sends(pool: ProcessPoolExecutor) -> None:
    exact = torch.cat([own_rows(0), own_rows(1)]) / 3
    for found in on_ranks(pool, 2, rounded):
        torch.testing.assert_close(found, exact.bfloat16().double(), rtol=0, atol=0)


def test_a_process_alone_sends_nothing() -> None:
    x, circle = own_rows(0), Circle()
    assert gather(x, circle, 0) is x
    assert collect(x, circle, 0) is x
    assert total(x, circle) is x
    for parts in (
        start_gather(x, circle),
        start_sum([x], circle),
        start_lending(x, circle, 0),
        start_return(x, circle, 0),
    ):
        torch.testing.assert_close(parts.wait()[0], x, rtol=0, atol=0)


def test_a_part_must_be_whole() -> None:
    circle = Circle(rank=1, size=2)
    torch.testing.assert_close(circle.own(torch.arange(4), 0), torch.tensor([2, 3]))
    with pytest.raises(ValueError, match="3 elements along dimension 0 are no 2 parts"):
        circle.own(torch.arange(3), 0)
