"""The seven policies against their equations in float64, and Caffe's steps."""

import math
from collections.abc import Callable

import pytest

from alexnet.caffe.policy import rate_at
from alexnet.text.message import Message

SETTINGS = {
    "base_lr": 0.01,
    "gamma": 0.9,
    "power": 0.75,
    "stepsize": 7,
    "stepvalue": [3, 5, 11],
    "max_iter": 40,
}


def solver(policy: str, **changes: object) -> Message:
    return Message("SolverParameter", SETTINGS | {"lr_policy": policy} | changes)


EQUATIONS: dict[str, Callable[[int], float]] = {
    "fixed": lambda i: 0.01,
    "step": lambda i: 0.01 * 0.9 ** (i // 7),
    "exp": lambda i: 0.01 * 0.9**i,
    "inv": lambda i: 0.01 * (1 + 0.9 * i) ** -0.75,
    "multistep": lambda i: 0.01 * 0.9 ** sum(i >= v for v in (3, 5, 11)),
    "poly": lambda i: 0.01 * (1 - i / 40) ** 0.75,
    "sigmoid": lambda i: 0.01 / (1 + math.exp(-0.9 * (i - 7))),
}


@pytest.mark.parametrize("policy", EQUATIONS)
def test_a_policy_follows_its_equation_through_a_run(policy: str) -> None:
    step = 0
    for iteration in range(40):
        rate, step = rate_at(solver(policy), iteration, step)
        expected = EQUATIONS[policy](iteration)
        # float32 throughout: some units in the last place
        assert rate == pytest.approx(expected, rel=2e-6)


def test_multistep_goes_on_by_one_step_at_most_in_an_iteration() -> None:
    steps = []
    step = 0
    for iteration in (20, 21, 22, 23):  # as after the loading of weights without a state
        _, step = rate_at(solver("multistep"), iteration, step)
        steps.append(step)
    assert steps == [1, 2, 3, 3]


def test_step_does_not_depend_on_the_steps_before() -> None:
    assert rate_at(solver("step"), 15, 0) == rate_at(solver("step"), 15, 9)


def test_a_rate_that_overflows_is_infinite_as_in_the_original() -> None:
    assert rate_at(solver("exp", gamma=10.0), 1000, 0)[0] == math.inf
