"""Time each compiled kernel beside the torch operations that do the same.

    python -m benchmarks.kernels [--repeats 9] [--only norm]

prints a Markdown table. Ours and torch's run in turn in one process, forward and backward together
where there is a backward; pages are kept for both. torch has no normalisation in bfloat16 on the
CPU, so it runs in float32 there.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.bench.machine import describe_machine
from alexnet.data.augment import Preprocessing, cut, random_windows
from alexnet.data.statistics import Statistics
from alexnet.device import keep_pages
from alexnet.layers.response_norm import LocalResponseNorm
from alexnet.measure import in_turn, stopwatch
from alexnet.native.operators import norm_pool
from alexnet.native.stages import Norm, Pool, Stage
from alexnet.training.sgd import MomentumSGD

SHAPES = [(64, 96, 55, 55), (64, 256, 27, 27)]
WEIGHTS = 60_965_224
PICTURES = 128


class Pair(NamedTuple):
    """The same work done twice."""

    name: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    other: str
    """Who the other is."""


def draw(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the same normal numbers for the same shape, channels last."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def passes(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], object]:
    """Return a function that runs forward and backward once."""
    leaf = x.clone().requires_grad_()
    dy = draw(tuple(function(x).shape), x.dtype)
    return lambda: torch.autograd.grad(function(leaf), leaf, dy)


def norms(shape: tuple[int, ...]) -> Iterator[Pair]:
    """Yield the norm alone, in both types."""
    theirs = passes(nn.LocalResponseNorm(5, k=2.0), draw(shape))
    for dtype in (torch.float32, torch.bfloat16):
        ours = passes(LocalResponseNorm(convention="torch"), draw(shape, dtype))
        name = f"norm, {'x'.join(map(str, shape))}, {str(dtype).removeprefix('torch.')}"
        yield Pair(name, ours, theirs, "nn.LocalResponseNorm float32")


def stages(shape: tuple[int, ...]) -> Iterator[Pair]:
    """Yield ReLU, norm and pool together, and ReLU and pool without the norm."""
    norm, pool = Norm(2, 2, 2.0, 1e-4 / 5, 0.75), Pool(3, 2)
    own_norm, size = nn.LocalResponseNorm(5, k=2.0), "x".join(map(str, shape))
    x = draw(shape)
    yield Pair(
        f"ReLU + norm + pool, {size}",
        passes(lambda x: norm_pool(x, Stage(True, norm, pool)), x),
        passes(lambda x: F.max_pool2d(own_norm(F.relu(x)), 3, 2), x),
        "three torch layers",
    )
    for dtype in (torch.float32, torch.bfloat16):
        yield Pair(
            f"ReLU + pool, {size}, {str(dtype).removeprefix('torch.')}",
            passes(lambda x: norm_pool(x, Stage(True, None, pool)), x.to(dtype)),
            passes(lambda x: F.max_pool2d(F.relu(x), 3, 2), x.to(dtype)),
            "two torch layers",
        )


def updates() -> Iterator[Pair]:
    """Yield the update of as many weights as the paper's net has."""

    def ours(net: nn.Module) -> Callable[[], object]:
        optimizer = MomentumSGD(net)
        return with_gradients(net, lambda: optimizer.step(0.01))

    def theirs(net: nn.Module, fused: bool) -> Callable[[], object]:
        optimizer = torch.optim.SGD(
            net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, fused=fused
        )
        return with_gradients(net, optimizer.step)

    def with_gradients(net: nn.Module, step: Callable[[], object]) -> Callable[[], object]:
        gradients = [torch.ones_like(parameter) for parameter in net.parameters()]

        def run() -> None:
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter.grad = gradient
            step()

        return run

    def net() -> nn.Module:
        return nn.ParameterList([nn.Parameter(torch.zeros(WEIGHTS))])

    yield Pair("update, 61 M weights", ours(net()), theirs(net(), False), "torch SGD")
    yield Pair("update, 61 M weights", ours(net()), theirs(net(), True), "torch SGD, fused")


def cuts() -> Iterator[Pair]:
    """Yield windows of 227 pixels cut from 128 pictures of 256, mean image subtracted."""
    pictures = torch.randint(0, 256, (PICTURES, 256, 256, 3), dtype=torch.uint8)
    mean = torch.full((256, 256, 3), 120.0)
    statistics = Statistics(mean, mean[0, 0], torch.ones(3), torch.eye(3))
    preprocessing = Preprocessing(statistics)
    windows = random_windows(PICTURES, preprocessing.border, torch.Generator().manual_seed(0))
    shift = torch.ones(PICTURES, 3)

    def theirs() -> Tensor:
        looks = []
        corners = zip(
            windows.top.tolist(), windows.left.tolist(), windows.flip.tolist(), strict=True
        )
        for picture, shifted, (top, left, flip) in zip(pictures, shift, corners, strict=True):
            window = slice(top, top + 227), slice(left, left + 227)
            look = picture[window].float() - mean[window] + shifted
            looks.append(look.flip(1) if flip else look)
        return torch.stack(looks).permute(0, 3, 1, 2)

    name = f"crop, flip, lighting, mean, {PICTURES} pictures"
    yield Pair(
        name, lambda: cut(pictures, windows, preprocessing, shift=shift), theirs, "torch, in a loop"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Kernels beside torch's operations.")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    arguments = parser.parse_args()
    keep_pages()
    print(f"{describe_machine()}\n")
    print("| work | ours, ms: median (least) | torch, ms: median (least) | ratio | torch's | n |")
    print("|---|--:|--:|--:|---|--:|")
    every = [pair for shape in SHAPES for pair in norms(shape)]
    every += [pair for shape in SHAPES for pair in stages(shape)]
    for pair in [*every, *updates(), *cuts()]:
        if arguments.only not in pair.name:
            continue
        laps = {"ours": stopwatch(pair.ours), "theirs": stopwatch(pair.theirs)}
        rounds = in_turn(laps, repeats=arguments.repeats)
        cells = [
            f"{timing.median * 1e3:.1f} ({timing.least * 1e3:.1f})"
            for timing in map(rounds.timing, laps)
        ]
        ratio = rounds.ratio("ours", "theirs")
        print(
            f"| {pair.name} | {' | '.join(cells)} | {ratio:.1f} "
            f"| {pair.other} | {arguments.repeats} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
