"""Time response normalisation, forward and backward, beside torch.nn.LocalResponseNorm.

    python -m benchmarks.response_norm [--keep-pages] [--repeats 7]

prints a Markdown table. Ours and torch's run in turn in one process; torch's runs in float32 in
each row, since it has no bfloat16 on the CPU.
"""

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from alexnet.bench.machine import describe_machine
from alexnet.device import keep_pages
from alexnet.layers.response_norm import LocalResponseNorm

SHAPES = [(64, 96, 55, 55), (64, 256, 27, 27)]
WARM_UPS = 2


def time_step(layer: nn.Module, x: Tensor, dy: Tensor) -> float:
    """Return the milliseconds of one forward and backward pass."""
    started_at = time.perf_counter()
    torch.autograd.grad(layer(x), x, dy)
    return (time.perf_counter() - started_at) * 1e3


def draw(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the same normal numbers for the same shape, channels last."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype)
    return x.to(memory_format=torch.channels_last)


def compare(shape: tuple[int, ...], dtype: torch.dtype, repeats: int) -> str:
    """Return the table's row for one shape and type."""
    ours, theirs = LocalResponseNorm(convention="torch"), nn.LocalResponseNorm(5, k=2.0)
    x, dy = draw(shape, dtype).requires_grad_(), draw(shape, dtype)
    x_float, dy_float = draw(shape, torch.float32).requires_grad_(), draw(shape, torch.float32)
    times = [
        (time_step(ours, x, dy), time_step(theirs, x_float, dy_float))
        for _ in range(WARM_UPS + repeats)
    ][WARM_UPS:]
    our_time, their_time = (statistics.median(column) for column in zip(*times, strict=True))
    our_best, their_best = (min(column) for column in zip(*times, strict=True))
    return (
        f"| {'x'.join(map(str, shape))} | {str(dtype).removeprefix('torch.')} "
        f"| {our_time:.1f} ({our_best:.1f}) | {their_time:.1f} ({their_best:.1f}) "
        f"| {their_time / our_time:.1f} | {repeats} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--keep-pages", action="store_true", help=keep_pages.__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed passes of each")
    arguments = parser.parse_args()
    if arguments.keep_pages:
        keep_pages()
    print(f"{describe_machine()}, pages {'kept' if arguments.keep_pages else 'not kept'}\n")
    print("| shape, channels last | type | ours, ms: median (least) | torch float32 | ratio | n |")
    print("|---|---|---|---|---|---|")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            print(compare(shape, dtype, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
