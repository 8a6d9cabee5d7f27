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


def whole_numbers() -> Tensor:
    with join() as mesh:
        circle = Circle.of(mesh.data, torch.float16)
        return torch.cat(start_gather(torch.tensor([100_001 + circle.rank]), circle).wait())


def test_whole_numbers_are_not_rounded(pool: ProcessPoolExecutor) -> None:
    for found in on_ranks(pool, 2, whole_numbers):
        assert found.tolist() == [100_001, 100_002]


def summed(dtype: torch.dtype, value: float) -> list[Tensor]:
    with join() as mesh:
        circle = Circle.of(mesh.data, dtype)
        x = torch.tensor([1.0, 2.0, value]) * (circle.rank + 1)
        (sums,) = start_sum([x] * circle.size, circle).wait()
        (back,) = start_return(x, circle, 0).wait()
        worst = torch.tensor(circle.rounding.worst())
        return [sums, back, worst]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_on_the_way(pool: ProcessPoolExecutor, dtype: torch.dtype) -> None:
    for rank, (sums, back, worst) in enumerate(on_ranks(pool, 3, summed, dtype, 4.0)):
        assert sums.dtype == torch.float32
        assert sums.tolist() == [6.0, 12.0, 24.0]
        if rank == 0:
            assert back.tolist() == [6.0, 12.0, 24.0]
        assert worst == 0  # half precision holds all of these


def test_a_sum_beyond_float16_is_its_largest_number_and_the_error_says_so(
    pool: ProcessPoolExecutor,
) -> None:
    for rank, (sums, back, worst) in enumerate(on_ranks(pool, 3, summed, torch.float16, 60_000.0)):
        assert sums[:2].tolist() == [6.0, 12.0]
        assert 65_000 < float(sums[2]) <= 65_504
        if rank == 0:
            assert torch.equal(back, sums)
        value = 60_000.0 * (rank + 1)
        assert float(worst) == pytest.approx(1 - float(sums[2]) / 3 / value, rel=1e-3)


def one_of_two(dtype: torch.dtype | None) -> Circle:
    """Return a circle whose messages go nowhere."""
    return Circle(size=2, dtype=dtype)


def test_the_error_is_what_the_type_loses_of_all_messages_since_the_last_question() -> None:
    circle = one_of_two(torch.float16)
    start_gather(torch.tensor([3.0, 4.0]), circle)  # float16 holds them
    assert circle.rounding.relative() == 0
    # the next float16 above 2048 is 2050, and 2049 goes to the even of both, 2048
    start_gather(torch.tensor([2049.0, 0.0]), circle)
    start_sum([torch.tensor([0.0, 4096.0])], circle)
    exact = (1 / (2049.0**2 + 4096.0**2)) ** 0.5
    assert circle.rounding.relative() == pytest.approx(exact, rel=1e-6)  # float32
    assert circle.rounding.relative() == 0
    assert circle.rounding.worst() == pytest.approx(1 / 2049, rel=1e-6)
    assert circle.rounding.worst() == 0


def test_numbers_beyond_float16_become_its_largest_and_count_as_an_error() -> None:
    circle = one_of_two(torch.float16)
    x = torch.tensor([1e6, -1e6, 3.0])
    (found,) = start_gather(x, circle).wait()
    assert found.tolist() == [65_504.0, -65_504.0, 3.0]
    assert circle.rounding.relative() == pytest.approx(1 - 0.065504, rel=1e-6)


def test_gradients_that_float16_makes_nothing_of_show_beside_large_activations() -> None:
    circle = one_of_two(torch.float16)
    start_gather(torch.tensor([512.0]), circle)
    (found,) = start_sum([torch.tensor([1e-9])], circle).wait()
    assert float(found) == 0
    assert circle.rounding.relative() < 1e-11
    assert circle.rounding.worst() == 1


@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_what_is_sent_as_it_is_has_no_error(dtype: torch.dtype | None) -> None:
    circle = one_of_two(dtype)
    (found,) = start_lending(own_rows(0) / 3, circle, 0).wait()
    torch.testing.assert_close(found, own_rows(0) / 3, rtol=0, atol=0)
    assert circle.rounding.relative() == 0


def test_a_process_alone_sends_nothing() -> None:
    x, circle = own_rows(0) / 3, Circle(dtype=torch.float16)
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
