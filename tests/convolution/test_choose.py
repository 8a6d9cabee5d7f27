"""What `auto` takes: what is tried, what decides, what is remembered."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.convolution import choices, choose
from alexnet.convolution.algorithms import ALGORITHMS, find
from alexnet.convolution.choose import chosen, forget, is_ordinary, remembered
from alexnet.convolution.convolve import convolve
from alexnet.convolution.native import NATIVE
from alexnet.convolution.problem import Cost, Direction, Problem, Way, describe
from alexnet.measure import Lap, Rounds

CHEAP = Cost(multiplications=10, additions=10, bytes=10, workspace=0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALEXNET_CACHE", str(tmp_path / "own"))
    forget()
    return tmp_path / "own" / "convolution.json"


class Fake:
    """An algorithm beside native that does as native does, and counts what is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.timed: list[tuple[str, ...]] = []
        self.change: Callable[[Tensor], Tensor] = lambda y: y
        self.refusal = ""
        self.cost = CHEAP
        self.seconds: Mapping[str, tuple[float, ...]] = {
            "native": (2.0, 2.0, 2.0),
            "fake": (1.0, 1.0, 1.0),
        }
        self.again: list[tuple[str, ...]] = []
        self.doubted = False
        self.later: Mapping[str, tuple[float, ...]] = {}  # in the second look, if not empty
        algorithm = replace(
            NATIVE,
            name="fake",
            forward=lambda *given: self._note("forward", NATIVE.forward(*given)),
            input_gradient=lambda *given: self._note(
                "input_gradient", NATIVE.input_gradient(*given)
            ),
            weight_gradient=lambda *given: self._note(
                "weight_gradient", NATIVE.weight_gradient(*given)
            ),
            refusal=lambda problem: self.refusal,
            cost=lambda direction, problem, workspace: self.cost,
        )
        monkeypatch.setitem(ALGORITHMS, "fake", algorithm)
        monkeypatch.setattr(choose, "CANDIDATES", ("fake",))
        monkeypatch.setattr(choose, "BEHIND", float("inf"))
        monkeypatch.setattr(choose, "in_turn", self._in_turn)

    def _note(self, direction: str, y: Tensor) -> Tensor:
        self.calls.append(direction)
        return self.change(y)

    def _in_turn(
        self, laps: Mapping[str, Lap], *, repeats: int, warm_ups: int, turn_seconds: float
    ) -> Rounds:
        second, self.doubted = self.doubted, False
        (self.again if second else self.timed).append(tuple(laps))
        seconds = self.later or self.seconds if second else self.seconds
        rounds = Rounds({name: seconds[name] for name in laps}, dict.fromkeys(laps, 1))
        self.doubted = not second and choose._decide(rounds).algorithm != "native"
        return rounds


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(monkeypatch)


def some(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


X, W = some(2, 3, 7, 6), some(4, 3, 3, 3, seed=1)


def way_of(x: Tensor, w: Tensor, *, workspace: int = 2**20) -> Way:
    return Way(describe(x, w, stride=1, padding=1, dilation=1, groups=1), "auto", workspace)


WAY = way_of(X, W)


def taken(x: Tensor = X, w: Tensor = W, way: Way | None = None) -> str:
    return chosen("forward", x, w, way or way_of(x, w)).name


# ---- What decides -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("native", "other", "expected"),
    [
        ((2.0, 2.0, 2.0), (1.0, 1.0, 1.0), "fake"),
        ((1.0, 1.0, 1.0), (2.0, 2.0, 2.0), "native"),
        ((1.06, 1.06, 1.06), (1.0, 1.0, 1.0), "fake"),
        ((1.04, 1.04, 1.04), (1.0, 1.0, 1.0), "native"),  # within MARGIN
        ((3.0, 3.0, 1.0), (1.0, 1.0, 1.0), "native"),  # the median says so, the least does not
        ((1.0, 1.0, 1.0), (1.0, 1.0, 0.9), "native"),  # and the other way round
    ],
)
def test_another_is_taken_when_median_and_least_both_say_so_by_the_margin(
    fake: Fake, native: tuple[float, ...], other: tuple[float, ...], expected: str
) -> None:
    fake.seconds = {"native": native, "fake": other}
    assert taken() == expected
    choice = remembered("forward", X, W, WAY)
    assert choice is not None
    assert choice.seconds == {"native": float(np.median(native)), "fake": float(np.median(other))}


def test_of_several_the_quickest_is_taken(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "CANDIDATES", ("fake", "im2col"))
    monkeypatch.setattr(choose, "HOPELESS", float("inf"))
    fake.seconds = {"native": (3.0, 3.0), "fake": (2.0, 2.0), "im2col": (1.0, 1.0)}
    assert taken() == "im2col"


def test_who_is_not_quicker_a_second_time_is_not_taken(fake: Fake) -> None:
    fake.later = {"native": (1.0, 1.0, 1.0), "fake": (1.0, 1.0, 1.0)}
    assert taken() == "native"
    assert fake.again == [("native", "fake")]


def test_each_direction_is_measured_with_its_own_tensors(fake: Fake) -> None:
    x, w = X.clone().requires_grad_(), W.clone().requires_grad_()
    convolve(x, w, padding=1).sum().backward()
    assert set(fake.calls) == {"forward", "input_gradient", "weight_gradient"}
    assert len(fake.timed) == 3
    works = [work.partition(" of ")[0] for work in choices.choices()]
    assert works == ["forward", "input gradient", "weight gradient"]


def test_what_the_choice_depends_on_is_written_in_words(fake: Fake) -> None:
    taken()
    (work,) = choices.choices()
    assert work == (
        "forward of 2 x 3 x 7 x 6 and 4 x 3 x 3 x 3, stride 1 1, padding 1+1 1+1, "
        "dilation 1 1, groups 1, float32, contiguous and contiguous, workspace 1048576"
    )


# ---- What is tried ----------------------------------------------------------------------------


def test_what_is_slower_by_far_in_one_call_is_not_timed_further(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    laps = iter((1.0, 1.6))
    monkeypatch.setattr(choose, "BEHIND", 1.5)
    monkeypatch.setattr(choose, "stopwatch", lambda step: lambda calls: next(laps))
    assert taken() == "native"
    assert fake.timed == []
    choice = remembered("forward", X, W, WAY)
    assert choice is not None
    assert choice.seconds == {"native": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y + 1e-5 * y.abs().max(),
        lambda y: y * float("nan"),
        lambda y: y.roll(1, 0),
    ],
    ids=["twice the tolerance", "not numbers", "other pictures"],
)
def test_what_differs_from_native_is_no_candidate(
    fake: Fake, change: Callable[[Tensor], Tensor]
) -> None:
    fake.change = change
    assert taken() == "native"
    assert fake.timed == []


def test_what_differs_by_less_than_half_the_tolerance_is_one(fake: Fake) -> None:
    fake.change = lambda y: y + 4e-6 * y.abs().max()
    assert taken() == "fake"


def test_what_refuses_is_not_run(fake: Fake) -> None:
    fake.refusal = "it is Sunday"
    assert taken() == "native"
    assert fake.calls == []


def test_what_needs_more_than_the_workspace_is_not_run(fake: Fake) -> None:
    fake.cost = replace(CHEAP, workspace=2**20 + 1)
    assert taken() == "native"
    assert fake.calls == []
    assert taken(way=way_of(X, W, workspace=2**21)) == "fake"


@pytest.mark.parametrize(
    "cost",
    [
        replace(CHEAP, multiplications=10**12),
        replace(CHEAP, additions=10**12),
        replace(CHEAP, bytes=10**12),
    ],
)
def test_what_is_hopeless_by_its_equations_is_not_run(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, cost: Cost
) -> None:
    other = replace(ALGORITHMS["fake"], name="other", cost=lambda *given: CHEAP)
    monkeypatch.setitem(ALGORITHMS, "other", other)
    monkeypatch.setattr(choose, "CANDIDATES", ("fake", "other"))
    fake.cost, fake.seconds = cost, {"native": (2.0,), "other": (1.0,), "fake": (0.5,)}
    assert taken() == "other"
    assert fake.timed == [("native", "other")]


def test_every_candidate_is_an_algorithm() -> None:
    assert [find(name).name for name in choose.CANDIDATES] == list(choose.CANDIDATES)


# ---- What is remembered -----------------------------------------------------------------------


def test_the_same_work_is_measured_once_in_this_process_and_the_next(fake: Fake) -> None:
    assert [taken(), taken(x=some(2, 3, 7, 6, seed=9))] == ["fake", "fake"]
    assert len(fake.timed) == 1
    choices._held.clear()
    assert taken() == "fake"
    assert len(fake.timed) == 1
    forget()
    assert remembered("forward", X, W, WAY) is None
    assert taken() == "fake"
    assert len(fake.timed) == 2


def test_other_orders_in_memory_sizes_types_and_threads_are_measured_again(fake: Fake) -> None:
    taken()
    taken(x=X.contiguous(memory_format=torch.channels_last))
    taken(w=W.contiguous(memory_format=torch.channels_last))
    taken(x=X.transpose(2, 3))
    taken(x=some(2, 3, 7, 5))
    taken(x=X.double(), w=W.double())
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        taken()
    finally:
        torch.set_num_threads(threads)
    assert len(fake.timed) == 7


def test_a_choice_that_is_not_known_or_refuses_now_is_measured_again(fake: Fake) -> None:
    taken()
    fake.refusal = "it is Sunday"
    assert remembered("forward", X, W, WAY) is None
    assert taken() == "native"
    (work,) = choices.choices()
    choices.record(work, choices.Choice("of another version", {}))
    assert remembered("forward", X, W, WAY) is None


def test_of_two_who_ask_at_once_one_measures(fake: Fake) -> None:
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(taken())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["fake"] * 4
    assert len(fake.timed) == 1


@pytest.mark.parametrize(
    "x", [torch.zeros(2, 3, 7, 6), X * float("inf"), X * float("nan")], ids=["0", "inf", "nan"]
)
def test_tensors_that_cannot_show_an_error_decide_nothing(fake: Fake, x: Tensor) -> None:
    assert taken(x=x) == "native"
    assert choices.choices() == {}
    assert taken() == "fake"


# ---- What measuring leaves alone --------------------------------------------------------------


def test_random_numbers_and_graphs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    x, w = X.clone().requires_grad_(), W.clone().requires_grad_()
    for direction, a, b in (
        ("forward", x, w),
        ("input_gradient", some(2, 4, 7, 6).requires_grad_(), w),
        ("weight_gradient", x, some(2, 4, 7, 6).requires_grad_()),
    ):
        known: Direction = direction  # type: ignore[assignment]
        chosen(known, a, b, WAY)
        assert a.grad is None
        assert b.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert torch.equal(x.detach(), X)


def test_tensors_that_are_not_numbers_here_and_now_are_native_without_measuring(
    fake: Fake,
) -> None:
    meta = X.to("meta"), W.to("meta")
    assert taken(*meta) == "native"
    assert taken(x=X[:0]) == "native"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert taken() == "native"
    assert fake.calls == []
    assert choices.choices() == {}


class Tagged(Tensor):
    """A tensor that may compute otherwise."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_ordinary_tensors_are_told_from_those_that_are_traced_cast_or_derived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_ordinary(X, nn.Parameter(W))
    assert not is_ordinary(X.as_subclass(Tagged), W)
    assert not is_ordinary(X, W.double())
    assert not is_ordinary(X.to(torch.complex64), W.to(torch.complex64))
    seen: list[bool] = []

    def look(x: Tensor) -> Tensor:
        seen.append(is_ordinary(X, W))
        return x * 1

    torch.func.vmap(look)(X)
    torch.jit.trace(look, X, check_trace=False)
    with torch.autograd.forward_ad.dual_level():
        look(X)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    look(X)
    assert seen == [False] * 4


# ---- What a user can meet ---------------------------------------------------------------------


def test_an_unknown_algorithm_is_an_error() -> None:
    message = r"no algorithm is called 'im2row' \(did you mean 'im2col'\?\); choose one of "
    with pytest.raises(ValueError, match=message):
        chosen("forward", X, W, WAY._replace(algorithm="im2row"))


def test_an_algorithm_that_was_asked_for_and_refuses_is_an_error(fake: Fake) -> None:
    fake.refusal = "it is Sunday"
    with pytest.raises(
        ValueError, match="fake cannot do this convolution: it is Sunday; take auto"
    ):
        chosen("forward", X, W, WAY._replace(algorithm="fake"))


def test_a_problem_is_described_by_all_its_numbers() -> None:
    words = set()
    plain = WAY.problem
    for name, value in (
        *(("batch", 3), ("channels", 4), ("kernels", 5), ("size", (9, 9)), ("kernel", (2, 2))),
        *(("stride", (2, 1)), ("padding", ((0, 1), (1, 1))), ("dilation", (1, 2))),
        *(("groups", 2), ("dtype", torch.float64)),
    ):
        given: Problem = replace(plain, **{name: value})  # type: ignore[arg-type]
        words.add(choose._work("forward", given, ("other", "other"), 1))
    words.add(choose._work("forward", plain, ("other", "other"), 1))
    words.add(choose._work("forward", plain, ("other", "other"), 2))
    assert len(words) == 12
