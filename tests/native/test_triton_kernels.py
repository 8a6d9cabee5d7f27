"""The Triton kernels against their twins in float64: interpreted on the CPU, compiled on a GPU.

Triton decides when it is imported whether it interprets, so that a process of its own runs the
functions check_...; nothing here imports the kernels outside them.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypedDict

import pytest
import torch
from torch import Tensor

from alexnet.native import twins
from alexnet.native.stages import Box, Constants, Norm, Pool, Stage, Values, Windows

pytest.importorskip("triton", reason="triton comes with the CUDA builds of torch only")

Run = Callable[..., None]

BIG = Norm(2, 2, bias=1.0, alpha=0.3, beta=0.75)  # alpha at which an error of the sum shows


class Tolerance(TypedDict):
    rtol: float
    atol: float


TOLERANCES: dict[torch.dtype, Tolerance] = {
    # Approximate roots to 2e-7 each, their seventh power, and sums of up to 25 float32 terms.
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    # One rounding to 8 bits, which the interpreter does by cutting off the others.
    torch.bfloat16: {"rtol": 2**-7, "atol": 1e-5},
}
TYPES = pytest.mark.parametrize("dtype", TOLERANCES)

STAGES = {
    "paper": ((2, 12, 9, 7), Stage(True, BIG._replace(columns=2), Pool(3, 2))),
    "several tiles": ((1, 17, 9, 11), Stage(False, BIG, Pool(3, 2), relu_last=True)),
    "even window": ((2, 9, 5, 6), Stage(False, Norm(1, 2, 2.0, 0.2, 0.5), Pool(2, 2, 1))),
    "no neighbour below": ((1, 6, 4, 4), Stage(True, Norm(0, 2, 1.0, 0.2, 0.25), Pool(2, 1))),
    "window beyond the column": ((1, 9, 4, 3), Stage(True, Norm(4, 3, 1.0, 0.2, 1.0, columns=3))),
    "norm alone": ((2, 33, 3, 5), Stage(False, BIG)),
    "overlapping, ceil": ((2, 5, 8, 6), Stage(False, None, Pool(3, 2, ceil=True), True)),
    "padding, ceil": ((1, 4, 7, 6), Stage(True, BIG._replace(beta=0.5), Pool(3, 2, 1, True))),
    "pool alone, many channels": ((1, 131, 5, 5), Stage(False, None, Pool(3, 2))),
    "windows apart": ((1, 3, 9, 8), Stage(False, None, Pool(2, 3))),
    "windows that overlap much": ((1, 2, 6, 7), Stage(False, None, Pool(5, 1, 2), True)),
}


@pytest.fixture(scope="module", params=["interpreter", "cuda"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Call check(device, *arguments) in a process that interprets or that compiles."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here; the interpreter runs the same checks")
    device = "cpu" if request.param == "interpreter" else "cuda"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TRITON_INTERPRET", str(int(device == "cpu")))
            process.submit(int).result()  # this starts the process
        yield lambda check, *arguments: process.submit(check, device, *arguments).result()


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(shape, generator=generator)
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return x.to(dtype)


def forward(device: str, x: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
    from alexnet.native import triton_kernels

    n, c, h, w = stage.output_shape(x.shape)
    y = draw(n, c, h, w, dtype=x.dtype, seed=2).to(device)  # every element is to be written
    winners = torch.full((n, h, w, c) if stage.pool else (0,), 77, dtype=torch.uint8, device=device)
    triton_kernels.norm_pool(x.to(device), y, winners, stage)
    return y.cpu(), winners.cpu()


def check_stage(device: str, shape: tuple[int, ...], stage: Stage, dtype: torch.dtype) -> None:
    from alexnet.native import triton_kernels

    x = draw(*shape, dtype=dtype)
    y, winners = forward(device, x, stage)
    exact_x = x.double().requires_grad_()
    expected = twins.norm_pool(exact_x, stage)
    torch.testing.assert_close(y.double(), expected, **TOLERANCES[dtype])

    dy = draw(*y.shape, dtype=dtype, seed=1)
    dx = draw(*shape, dtype=dtype, seed=2).to(device)
    kept = x.to(device) if stage.norm else None
    triton_kernels.norm_pool_backward(dy.to(device), kept, winners.to(device), dx, stage)
    (expected,) = torch.autograd.grad(expected, exact_x, dy.double())
    torch.testing.assert_close(dx.cpu().double(), expected, **TOLERANCES[dtype])


@TYPES
@pytest.mark.parametrize(("shape", "stage"), STAGES.values(), ids=STAGES)
def test_a_stage_and_its_gradient_equal_the_twins(
    run: Run, shape: tuple[int, ...], stage: Stage, dtype: torch.dtype
) -> None:
    run(check_stage, shape, stage, dtype)


def check_winners(device: str, rows: list[list[float]], stage: Stage, expected: list[int]) -> None:
    _, winners = forward(device, torch.tensor(rows)[None, None], stage)
    assert winners.flatten().tolist() == expected


INFINITE, NO_NUMBER = float("inf"), float("nan")
WINNERS = {
    "ties": ([[1, 3, 3], [3, 2, 3]], Pool(2, 1), True, [1, 0]),
    "ties at the edge": ([[1, 1], [1, 1]], Pool(2, 1, 1), True, [3, 2, 2, 1, 0, 0, 1, 0, 0]),
    "not a number": ([[5, NO_NUMBER], [NO_NUMBER, 7]], Pool(2, 1), False, [2]),
    "not a number, ReLU": ([[5, NO_NUMBER], [NO_NUMBER, 7]], Pool(2, 1), True, [255]),
    "infinity": ([[5, -1], [6, INFINITE]], Pool(2, 1), True, [3]),
    "less than all": ([[-INFINITE]], Pool(2, 1, 1), False, [3, 2, 1, 0]),
    "nothing positive": ([[-1, 0], [-2, -3]], Pool(2, 1), True, [255]),
}


@pytest.mark.parametrize(("rows", "pool", "relu", "winners"), WINNERS.values(), ids=WINNERS)
def test_the_first_maximum_of_a_window_wins(
    run: Run, rows: list[list[float]], pool: Pool, relu: bool, winners: list[int]
) -> None:
    run(check_winners, rows, Stage(pool=pool, relu_last=relu), winners)


def check_no_winner(device: str) -> None:
    from alexnet.native import triton_kernels

    x = torch.full((1, 1, 18, 18), -1.0, device=device)
    stage = Stage(pool=Pool(15, 20), relu_last=True)
    _, winners = forward(device, x, stage)
    dx = torch.ones_like(x)
    triton_kernels.norm_pool_backward(
        torch.ones((1, 1, 1, 1), device=device), None, winners.to(device), dx, stage
    )
    assert not dx.any()


def test_a_window_without_a_winner_has_no_gradient(run: Run) -> None:
    # Counted in rows of the largest window, a pixel 17 rows below its top has the number 255.
    run(check_no_winner)


def check_not_a_number(device: str) -> None:
    x = draw(1, 3, 4, 4)
    x[0, 1, 2, 1] = x[0, 2, 0, 0] = float("nan")
    x[0, 0, 3, 3] = float("inf")
    for norm in (None, Norm(0, 0, 1.0, 0.1, 0.75)):
        stage = Stage(False, norm, Pool(2, 2))
        y, _ = forward(device, x, stage)
        if norm:  # the twin's infinity / infinity is no number, the kernels' remains infinite
            assert y[0, 0, 1, 1] == float("inf")
            y[0, 0, 1, 1] = float("nan")
        expected = twins.norm_pool(x.double(), stage)
        torch.testing.assert_close(y.double(), expected, equal_nan=True, **TOLERANCES[x.dtype])


def test_what_is_not_a_number_stays_so_and_infinity_stays_infinite(run: Run) -> None:
    run(check_not_a_number)


def check_spatial_norm(device: str, box: Box, constants: Constants, dtype: torch.dtype) -> None:
    from alexnet.native import triton_kernels

    norm = Norm(box.below, box.above, *constants)
    x, dy = (draw(2, 17, 4, 5, dtype=dtype, seed=seed) for seed in (0, 1))
    y, dx = (draw(2, 17, 4, 5, dtype=dtype, seed=2).to(device) for _ in range(2))
    triton_kernels.spatial_norm(x.to(device), y, norm)
    triton_kernels.spatial_norm_backward(dy.to(device), x.to(device), dx, norm)
    exact_x = x.double().requires_grad_()
    expected = twins.normalise(exact_x, box, constants)
    torch.testing.assert_close(y.cpu().double(), expected, **TOLERANCES[dtype])
    (expected,) = torch.autograd.grad(expected, exact_x, dy.double())
    torch.testing.assert_close(dx.cpu().double(), expected, **TOLERANCES[dtype])


@TYPES
@pytest.mark.parametrize(
    ("box", "constants"),
    [
        (Box((2, 3), 2, 2), Constants(1.0, 0.05, 0.75)),
        (Box((2, 3), 0, 1), Constants(2.0, 0.1, 0.5)),
        (Box((2, 3), 2, 1), Constants(1.0, 0.1, 1.0)),
    ],
    ids=["5 by 5", "2 by 2", "4 by 4"],
)
def test_a_spatial_norm_and_its_gradient_equal_the_twins(
    run: Run, box: Box, constants: Constants, dtype: torch.dtype
) -> None:
    run(check_spatial_norm, box, constants, dtype)


def check_cut(device: str, divide_by: float, with_mean: bool, dtype: torch.dtype) -> None:
    from alexnet.native import triton_kernels

    n, h, w, size = 3, 22, 25, 19  # 1083 numbers a window: two programs
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (n, h, w, 3), generator=generator, dtype=torch.uint8)
    mean = torch.rand((h, w, 3), generator=generator) * 255 if with_mean else None
    shift = draw(n, 3) if divide_by != 1 else None
    windows = Windows(torch.tensor([0, 3, 1]), torch.tensor([6, 0, 2]), torch.arange(n) != 1)
    out = draw(n, size, size, 3, dtype=dtype, seed=2).contiguous().to(device)
    triton_kernels.cut(pictures.to(device), windows, Values(mean, shift, divide_by), out)

    for i, (top, left, flip) in enumerate(zip(*(t.tolist() for t in windows), strict=True)):
        place = slice(top, top + size), slice(left, left + size)
        expected = pictures[i].double()[place]
        if mean is not None:
            expected = expected - mean.double()[place]
        if shift is not None:
            expected = expected + shift[i].double()
        expected = (expected.flip(1) if flip else expected) / divide_by
        # Each of three operations rounds a number below 512 to half of 2**-15 of it.
        tolerance = Tolerance(rtol=2**-7 if dtype == torch.bfloat16 else 0.0, atol=1e-4)
        torch.testing.assert_close(out[i].cpu().double(), expected, **tolerance)


@TYPES
@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("divide_by", [1.0, 57.5])
def test_windows_are_cut_and_mirrored_as_the_equation_says(
    run: Run, divide_by: float, with_mean: bool, dtype: torch.dtype
) -> None:
    run(check_cut, divide_by, with_mean, dtype)


def check_update(device: str, with_copies: bool, dtype: torch.dtype) -> None:
    from alexnet.native import triton_kernels

    shape = 13, 3, 6, 5  # 1170 numbers: two programs
    weights, velocities = (
        draw(*shape, seed=0),
        torch.zeros(shape).to(memory_format=torch.channels_last),
    )
    exact_weights, exact_velocities = weights.double(), velocities.double()
    weights, velocities = weights.to(device), velocities.to(device)
    copies = weights.bfloat16() if with_copies else None
    for step in range(3):
        gradients = draw(*shape, dtype=dtype, seed=step + 1)
        factors = 0.9, 0.1 / (step + 1), 0.01
        triton_kernels.update(weights, velocities, gradients.to(device), copies, factors)
        momentum, rate, decay = factors
        exact_velocities *= momentum
        exact_velocities += rate * (gradients.double() + decay * exact_weights)
        exact_weights -= exact_velocities
    # A dozen roundings of numbers below 16 to half of 2**-20.
    torch.testing.assert_close(weights.cpu().double(), exact_weights, rtol=0, atol=1e-5)
    torch.testing.assert_close(velocities.cpu().double(), exact_velocities, rtol=0, atol=1e-5)
    if copies is not None:
        torch.testing.assert_close(copies.float(), weights, rtol=2**-7, atol=0)


@TYPES
@pytest.mark.parametrize("with_copies", [False, True])
def test_three_updates_equal_the_rule_by_hand(
    run: Run, with_copies: bool, dtype: torch.dtype
) -> None:
    run(check_update, with_copies, dtype)
