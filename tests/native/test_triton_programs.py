"""The Triton programs through Triton's whole compiler, which needs no GPU, only its name.

A process of its own compiles, since Triton may be interpreting in this one.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.native.stages import Norm, Pool, Stage, Values, Windows

pytest.importorskip("triton", reason="triton comes with the CUDA builds of torch only")

NORM = Norm(2, 2, 2.0, 1e-4, 0.75, columns=2)
STAGES = (
    Stage(relu_first=True, norm=NORM, pool=Pool(3, 2)),
    Stage(norm=NORM),
    Stage(pool=Pool(3, 2, 1, ceil=True), relu_last=True),
)
CAPABILITY = 80  # the oldest GPUs that compute in bfloat16
PROGRAMS = {
    "norm_pool",
    "norm_pool_backward",
    "spatial_norm",
    "spatial_products",
    "spatial_norm_backward",
    "cut",
    "update",
}


def compile_all() -> list[tuple[str, str]]:
    """Return the name and the assembly of every program."""
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    class NoDevice:
        """What Triton asks of a device before it launches."""

        def get_current_target(self) -> Any:
            return GPUTarget("cuda", CAPABILITY, 32)

        def get_current_device(self) -> int:
            return 0

        def get_current_stream(self, device: int) -> int:
            return 0

    driver.set_active(NoDevice())
    compiled: list[tuple[str, str]] = []
    launch = JITFunction.run

    def compile_only(program: Any, *arguments: Any, grid: Any, warmup: bool) -> None:
        kernel = launch(program, *arguments, grid=grid, warmup=True)
        compiled.append((program.__name__, kernel.asm["ptx"]))

    JITFunction.run = compile_only
    call_all(torch.bfloat16)
    return compiled


def call_all(dtype: torch.dtype) -> None:
    from alexnet.native import triton_kernels

    x = torch.zeros(2, 96, 9, 9, dtype=dtype).to(memory_format=torch.channels_last)
    for stage in STAGES:
        n, c, h, w = stage.output_shape(x.shape)
        y = torch.zeros(n, c, h, w, dtype=dtype).to(memory_format=torch.channels_last)
        winners = torch.zeros((n, h, w, c) if stage.pool else (0,), dtype=torch.uint8)
        triton_kernels.norm_pool(x, y, winners, stage)
        triton_kernels.norm_pool_backward(y, x if stage.norm else None, winners, x, stage)
    triton_kernels.spatial_norm(x, x, NORM)
    triton_kernels.spatial_norm_backward(x, x, x, NORM)
    pictures, out = torch.zeros(2, 9, 9, 3, dtype=torch.uint8), torch.zeros(2, 8, 8, 3, dtype=dtype)
    corners, flip = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.bool)
    windows = Windows(corners, corners, flip)
    for values in (Values(None, None, 1.0), Values(torch.zeros(9, 9, 3), torch.zeros(2, 3), 58.0)):
        triton_kernels.cut(pictures, windows, values, out)
    weights = torch.zeros(4096)
    for copies in (None, weights.bfloat16()):
        triton_kernels.update(weights, weights, weights.to(dtype), copies, (0.9, 0.01, 0.0005))


def test_every_program_compiles_and_takes_16_bytes_at_a_time(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TRITON_INTERPRET", "0")
            environment.setenv("TRITON_CACHE_DIR", str(tmp_path))
            process.submit(int).result()  # this starts the process
        compiled = process.submit(compile_all).result()
    assert {name for name, _ in compiled} == PROGRAMS
    for name, assembly in compiled:
        assert f".target sm_{CAPABILITY}" in assembly
        assert name == "cut" or "ld.global.v4.b32" in assembly, f"{name} loads single numbers"
