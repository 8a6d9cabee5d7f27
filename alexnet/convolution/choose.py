"""Which algorithm does a convolution: the one asked for, or the quickest here.

`auto` times torch's own and those of CANDIDATES once for each direction, problem, order of the
elements in memory and number of threads, on the tensors that it is asked about, and remembers the
quickest (`choices`). Another than native must be quicker by MARGIN, twice in a row, so that what
the clock's noise may have decided costs little. Its result must be as exact as native's, or within

    max |y - y_exact| <= TOLERANCE[dtype] / 2 * max |y_exact|

on those tensors; half, because the next tensors will differ. For y_exact stands the result of
im2col, whose sums over blocks lose least: 8e-7 at most on VGG-16's layers, where oneDNN's gradients
of weights were 1e-5 off. Winograd with larger tiles than 4 x 4 mostly fails that in float32.
"""

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor, nn

from alexnet.convolution.algorithms import find
from alexnet.convolution.choices import Choice, alone, recall, record
from alexnet.convolution.choices import forget as forget_all
from alexnet.convolution.problem import (
    CHANNELS_LAST,
    Algorithm,
    Cost,
    Direction,
    Problem,
    Way,
    wide,
)
from alexnet.measure import Rounds, in_turn, stopwatch

CANDIDATES: Final = ("im2col", "fft", "winograd", "winograd-2", "winograd-6")
"""What is tried beside native; the sliding window never wins."""
TOLERANCE: Final = {
    torch.float64: 1e-11,
    torch.float32: 1e-5,
    torch.bfloat16: 2.0**-6,
    torch.float16: 2.0**-9,
}
"""How far `auto` may be from the exact result, as a share of its largest element, unless native is
further. For halves that is two roundings to the type, one of either result."""
MARGIN = 0.05
"""Quicker than native by this share, or native it is."""
HOPELESS = 5.0
"""By its equations an algorithm may cost so many times the cheapest and still be tried."""
BEHIND = 1.5
"""After one call each, those that took so many times native's time are out."""
BYTE = 5.0
"""What moving a byte costs in multiplications or additions, for the sake of `HOPELESS`: a core
does some 50 of these in the time in which 10 bytes come from memory."""
SLOW_SECONDS = 0.25
REPEATS, SLOW_REPEATS = 7, 3
TURN_SECONDS = 0.005

# Of this process: what was taken by threads, direction and way; and what `all_native` affirmed.
_taken: dict[tuple[int, Direction, Way], set[str]] = {}
_settled: set[tuple[object, ...]] = set()


def chosen(direction: Direction, a: Tensor, b: Tensor, way: Way) -> Algorithm:
    """Return the algorithm for one direction of a convolution of these two tensors.

    They are x and w, dy and w, or x and dy. `auto` measures if it must; where that makes no sense
    (`is_ordinary`) it is native.

    Raises: ValueError if the algorithm asked for is unknown, or cannot do this.
    """
    if way.algorithm == "auto":
        name = _quickest(direction, a, b, way) if is_ordinary(a, b) else "native"
        _taken.setdefault((torch.get_num_threads(), direction, way), set()).add(name)
        return find(name)
    algorithm = find(way.algorithm)
    if reason := algorithm.refusal(way.problem):
        raise ValueError(f"{algorithm.name} cannot do this convolution: {reason}; take auto")
    return algorithm


def remembered(direction: Direction, a: Tensor, b: Tensor, way: Way) -> Choice | None:
    """Return what `auto` takes for this on this machine, None if it was not measured yet."""
    work = _work(direction, way.problem, (_layout(a), _layout(b)), way.workspace)
    choice = recall(work)
    known = choice is not None and choice.algorithm in ("native", *CANDIDATES)
    if not known or choice is None or find(choice.algorithm).refusal(way.problem):
        return None  # from a file of other days
    return choice


def all_native(
    first: Direction, a: Tensor, b: Tensor, way: Way, *, gradients: tuple[Direction, ...]
) -> bool:
    """Return whether `auto` is known to be native for a direction and the gradients behind it.

    Then torch's own layer does the same without our detours. What tensors the gradients will see
    is not known yet: those that they were last asked for decide.
    """
    threads = torch.get_num_threads()
    key = first, way, _layout(a), _layout(b), threads, gradients
    if key in _settled:  # small layers take some ten microseconds: so must we not
        return True
    choice = remembered(first, a, b, way)
    if choice is None or choice.algorithm != "native":
        return False
    if any(_taken.get((threads, each, way)) != {"native"} for each in gradients):
        return False
    _settled.add(key)
    return True


def forget() -> None:
    """Forget all that was measured, of other machines too; `choices.choices` shows it."""
    _taken.clear()
    _settled.clear()
    forget_all()


def is_ordinary(a: Tensor, b: Tensor) -> bool:
    """Return whether tensors hold numbers here and now: nothing traces, compiles or casts them."""
    return (  # sizes last: while torch traces, a size is a tensor
        type(a) in (Tensor, nn.Parameter)
        and type(b) in (Tensor, nn.Parameter)
        and a.device.type == "cpu" == b.device.type
        and a.dtype == b.dtype
        and a.dtype in TOLERANCE
        and not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and a.numel() > 0 < b.numel()
    )


def _quickest(direction: Direction, a: Tensor, b: Tensor, way: Way) -> str:
    choice = remembered(direction, a, b, way)
    if choice is None:
        with alone():
            choice = remembered(direction, a, b, way)  # another process may have been quicker
            if choice is None:
                choice = _measure(direction, a, b, way)
                if choice is None:
                    return "native"
                work = _work(direction, way.problem, (_layout(a), _layout(b)), way.workspace)
                record(work, choice)
    return choice.algorithm


@torch.no_grad()
def _measure(direction: Direction, a: Tensor, b: Tensor, way: Way) -> Choice | None:
    """Time the candidates; None if these tensors cannot show whether they agree with native."""

    def run(algorithm: Algorithm) -> Tensor:
        return algorithm.compute(direction, a, b, way.problem, way.workspace)

    exact = run(find("im2col")).to(wide(a.dtype))
    largest = float(exact.abs().max())
    if largest == 0 or not math.isfinite(largest):
        return None

    def error(algorithm: Algorithm) -> float:
        return float((run(algorithm).to(exact.dtype) - exact).abs_().max())

    native = find("native")
    allowed = max(TOLERANCE[a.dtype] / 2 * largest, error(native))
    laps = {"native": stopwatch(lambda: run(native))}
    seconds = laps["native"](1)
    for algorithm in _candidates(direction, way):
        if not error(algorithm) <= allowed:
            continue
        lap = stopwatch(lambda algorithm=algorithm: run(algorithm))  # type: ignore[misc]
        if lap(1) <= BEHIND * seconds:
            laps[algorithm.name] = lap

    if len(laps) == 1:
        return Choice("native", {"native": seconds})
    repeats = REPEATS if seconds < SLOW_SECONDS else SLOW_REPEATS
    choice = _decide(in_turn(laps, repeats=repeats, warm_ups=1, turn_seconds=TURN_SECONDS))
    if choice.algorithm != "native":  # the best of several was lucky perhaps: once more, alone
        laps = {name: laps[name] for name in ("native", choice.algorithm)}
        again = _decide(in_turn(laps, repeats=repeats, warm_ups=1, turn_seconds=TURN_SECONDS))
        choice = replace(choice, algorithm=again.algorithm)
    return choice


def _decide(rounds: Rounds) -> Choice:
    """Take the quickest if both the median ratio and the least times say that it is."""
    times = {name: rounds.timing(name) for name in rounds.seconds}
    least = times["native"].least
    gains = {
        name: min(rounds.ratio(name, "native"), least / timing.least)
        for name, timing in times.items()
    }
    best = max(gains, key=lambda name: gains[name])
    medians = {name: timing.median for name, timing in times.items()}
    return Choice(best if gains[best] > 1 + MARGIN else "native", medians)


def _candidates(direction: Direction, way: Way) -> list[Algorithm]:
    """Return the algorithms that may be worth a try, the cheapest by its equations first."""
    costs: dict[str, Cost] = {}
    for name in CANDIDATES:
        algorithm = find(name)
        if not algorithm.refusal(way.problem):
            cost = algorithm.cost(direction, way.problem, way.workspace)
            if cost.workspace <= way.workspace:
                costs[name] = cost
    work = {
        name: cost.multiplications + cost.additions + BYTE * cost.bytes
        for name, cost in costs.items()
    }
    least = min(work.values(), default=0.0)
    return [
        find(name) for name in sorted(work, key=work.__getitem__) if work[name] <= HOPELESS * least
    ]


def _layout(tensor: Tensor) -> str:
    """Return the order of the elements in memory."""
    if tensor.is_contiguous():
        return "contiguous"
    last = CHANNELS_LAST.get(tensor.dim())
    if last is not None and tensor.is_contiguous(memory_format=last):
        return "channels last"
    return "other"


@lru_cache(maxsize=4096)
def _work(direction: Direction, problem: Problem, layouts: tuple[str, str], workspace: int) -> str:
    """Return all that a choice depends on besides the machine, in words."""
    x = " x ".join(map(str, problem.x_shape))
    w = " x ".join(map(str, problem.w_shape))
    padding = " ".join(f"{before}+{behind}" for before, behind in problem.padding)
    return (
        f"{direction.replace('_', ' ')} of {x} and {w}, stride {_words(problem.stride)}, "
        f"padding {padding}, dilation {_words(problem.dilation)}, groups {problem.groups}, "
        f"{str(problem.dtype).removeprefix('torch.')}, {' and '.join(layouts)}, "
        f"workspace {workspace}"
    )


def _words(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))
