"""The machine that a number was measured on: its name, its speed, the memory of this process."""

import os
import platform
import resource
import sys
import time
from pathlib import Path

import torch

GEMM_SIZES = (1024, 2048, 4096)
GEMM_RUNS = 5
COPIED_BYTES = 256 * 2**20
COPIES = 5
GEMM_SECONDS = 1.0
"""A product that is expected to take longer is not tried: smaller ones have reached the ceiling."""


def describe_machine() -> str:
    """Return processor, cores, vector and matrix units, and versions."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    units = [unit for unit in ("avx2", "avx512f", "amx_bf16") if unit in text.split()]
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, {' '.join(units) or 'no vector flags known'}, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def gemm_ceiling(dtype: torch.dtype) -> float:
    """Return the most that torch's matrix product reaches here, in FLOP per second.

        2 * n ** 3 / seconds,   the best run of the best n

    A multiply-add is two operations. Work that avoids multiplications, or kernels better than
    torch's, can exceed it.
    """
    best, expected = 0.0, 0.0
    for n in GEMM_SIZES:
        if expected > GEMM_SECONDS:
            break
        a = torch.ones(n, n, dtype=dtype)
        out = torch.empty_like(a)
        torch.mm(a, a, out=out)
        least = min(_seconds(a, out) for _ in range(GEMM_RUNS))
        best, expected = max(best, 2 * n**3 / least), 8 * least
    return best


def memory_bandwidth() -> float:
    """Return how fast torch copies memory that no cache holds, in bytes per second.

    Bytes read and bytes written both count, the best of five copies into memory in use.
    """
    a = torch.ones(COPIED_BYTES, dtype=torch.uint8)
    b = torch.ones_like(a)
    seconds = []
    for _ in range(COPIES):
        started_at = time.perf_counter()
        b.copy_(a)
        seconds.append(time.perf_counter() - started_at)
    return 2 * COPIED_BYTES / min(seconds)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far.

    Linux keeps it as VmHWM; getrusage, which other systems have, would there start from the peak
    of the process that started this one.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _seconds(a: torch.Tensor, out: torch.Tensor) -> float:
    started_at = time.perf_counter()
    torch.mm(a, a, out=out)
    return time.perf_counter() - started_at
