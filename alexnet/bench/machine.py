"""One line that says which machine a number was measured on."""

import os
import platform
from pathlib import Path

import torch


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
