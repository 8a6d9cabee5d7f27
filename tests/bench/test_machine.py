"""The machine that a number was measured on."""

import os

import pytest
import torch

from alexnet.bench import machine
from alexnet.bench.machine import (
    describe_machine,
    gemm_ceiling,
    memory_bandwidth,
    peak_memory_bytes,
)


def test_the_line_names_cores_threads_and_versions() -> None:
    line = describe_machine()
    assert f"{os.cpu_count()} cores, {torch.get_num_threads()} threads" in line
    assert line.endswith(f"torch {torch.__version__}")


def test_the_ceiling_is_two_operations_a_multiply_add_in_the_best_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter([0.5, 0.25, 0.5, 0.5, 0.5, 4.0, 4.0, 2.0, 4.0, 4.0])
    monkeypatch.setattr(machine, "GEMM_SIZES", (8, 16))
    monkeypatch.setattr(machine, "GEMM_SECONDS", 100)
    monkeypatch.setattr(machine, "_seconds", lambda a, out: next(seconds))
    assert gemm_ceiling(torch.float32) == max(2 * 8**3 / 0.25, 2 * 16**3 / 2.0)


def test_a_product_that_would_take_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def seconds(a: torch.Tensor, out: torch.Tensor) -> float:
        sizes.append(len(a))
        return 1.0

    monkeypatch.setattr(machine, "GEMM_SIZES", (8, 16))
    monkeypatch.setattr(machine, "_seconds", seconds)
    assert gemm_ceiling(torch.bfloat16) == 2 * 8**3
    assert set(sizes) == {8}


def test_the_bandwidth_counts_bytes_read_and_written_in_the_best_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 4.0, 10.0, 12.0, 20.0, 23.0])
    monkeypatch.setattr(machine, "COPIED_BYTES", 1000)
    monkeypatch.setattr(machine, "COPIES", 3)
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert memory_bandwidth() == 2 * 1000 / 2.0


def test_the_peak_holds_what_was_held_and_never_falls() -> None:
    before = peak_memory_bytes()
    held = torch.ones(2**24)
    during = peak_memory_bytes()
    slack = 2**20  # the kernel adds up what its threads count only now and then
    assert during >= max(before, held.nbytes) - slack
    del held
    assert peak_memory_bytes() >= during - slack
