"""The bytes that a call holds, on allocations whose sizes are known."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.allocations import Held, held, peak_bytes


def test_the_peak_is_the_most_that_is_held_at_once() -> None:
    def work() -> Tensor:
        first = torch.empty(1000)
        second = torch.empty(2000)
        del first
        return torch.empty(500, dtype=torch.float64) if second.numel() else second

    assert held(work) == Held(most=4000 + 8000, kept=4000)
    assert held(work).workspace == 8000
    assert peak_bytes(work) == 12000


def test_what_is_held_one_after_the_other_does_not_add_up() -> None:
    def work() -> None:
        for size in (300, 700, 500):
            torch.zeros(size, dtype=torch.uint8)

    assert held(work) == Held(most=700, kept=0)


def test_a_call_that_allocates_nothing_holds_nothing() -> None:
    x = torch.ones(10)
    assert held(lambda: x.view(2, 5)) == Held(0, 0)
    assert held(lambda: x.zero_()) == Held(0, 0)


def test_nothing_is_gained_by_releasing_what_was_there_before() -> None:
    before = [torch.empty(100)]

    def work() -> Tensor:
        before.clear()
        return torch.empty(150)

    assert held(work) == Held(most=600, kept=600)


def test_a_cast_and_a_sum_hold_the_wide_copy_besides_the_result() -> None:
    x = torch.ones(1000, dtype=torch.bfloat16)
    assert held(lambda: x.float().sum()) == Held(most=4000 + 4, kept=4)


def test_the_threads_of_backward_are_counted() -> None:
    x = torch.ones(1000, requires_grad=True)

    def work() -> Tensor:
        y = (x.double() * 2.0).sum()
        y.backward()
        assert x.grad is not None
        return x.grad

    found = held(work)
    assert found.kept == 4000
    assert 8000 <= found.workspace <= 3 * 8000 + 64


def test_an_operator_of_torch_is_counted_with_what_it_holds_inside() -> None:
    x = torch.ones(2, 3, 8, 8)
    patches = 2 * 27 * 36 * 4
    found = held(lambda: F.unfold(x, 3))
    assert found.kept == patches
    assert found.workspace in (0, x.nbytes)  # some versions of torch copy x


def test_an_error_in_the_call_is_the_callers() -> None:
    def work() -> None:
        raise ValueError("no work")

    with pytest.raises(ValueError, match="no work"):
        held(work)
    assert peak_bytes(lambda: torch.empty(10)) == 40


def test_nothing_is_written_to_the_terminal() -> None:
    code = "import torch; from alexnet.allocations import held; held(lambda: torch.ones(3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr + done.stdout == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_counts_in_its_own_blocks() -> None:
    device = torch.device("cuda")
    found = held(lambda: torch.empty(2**20, device=device) + 1, device)
    assert found == Held(most=2 * 4 * 2**20, kept=4 * 2**20)
