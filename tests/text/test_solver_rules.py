"""Solvers that are refused before they start: P28 to P30 of the named bad texts, and others."""

import pytest

from alexnet.text.message import TextError
from alexnet.text.prototxt import parse
from alexnet.text.solver_rules import POLICY_NEEDS, check_solver

LENET = {
    "net": "'net.prototxt'",
    "base_lr": "0.01",
    "lr_policy": "'inv'",
    "gamma": "0.0001",
    "power": "0.75",
    "stepsize": "100",
    "stepvalue": "[100, 200]",
    "max_iter": "1000",
    "momentum": "0.9",
}


def check(changes: dict[str, str | None]) -> None:
    """Check a solver in which some fields have other values, or None for none."""
    fields = {name: text for name, text in (LENET | changes).items() if text is not None}
    text = "\n".join(f"{name}: {value}" for name, value in fields.items())
    check_solver(parse(text, "SolverParameter", source="n"))


@pytest.mark.parametrize("policy", POLICY_NEEDS)
def test_every_policy_passes_with_what_it_needs_and_fails_without(policy: str) -> None:
    needs = POLICY_NEEDS[policy]
    unused = {"gamma", "power", "stepsize", "stepvalue", "max_iter"} - set(needs)
    given: dict[str, str | None] = {"lr_policy": f"'{policy}'", **dict.fromkeys(unused)}
    check(given)
    for name in ("base_lr", *needs):
        with pytest.raises(
            TextError, match=f"^n:[23]:1: lr_policy '{policy}' needs {name}, which is not given"
        ):
            check(given | {name: None})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "'stp'",
            r"n:3:1: lr_policy is 'stp' \(did you mean 'step'\?\); it must be one of fixed, ",
        ),
        (None, r"n: lr_policy is ''; it must be one of fixed, step, exp, inv, multistep, poly, "),
    ],
)
def test_p28_an_unknown_policy_names_the_nearest(text: str | None, why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        check({"lr_policy": text})


def test_p28_a_policy_without_gamma_is_refused() -> None:
    with pytest.raises(TextError, match=r"^n:3:1: lr_policy 'inv' needs gamma, which is not given"):
        check({"gamma": None})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"net": None}, "n: no net is given; give one of net, net_param, train_net, train_net_par"),
        ({"train_net": "'b'"}, "n:10:1: net and train_net all name the net to train; keep one"),
        ({"net_param": "{ }"}, "n:10:1: net and net_param all name the net to train; keep one"),
        (
            {"net": None, "train_net": "'a'", "train_net_param": "{ }"},
            "n:10:1: train_net and train_net_param all name",
        ),
    ],
)
def test_p29_none_or_two_nets_to_train_are_refused(
    changes: dict[str, str | None], why: str
) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        check(changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"base_lr": "nan"}, "n:2:1: base_lr is nan; it must be a finite number"),
        ({"base_lr": "1e39"}, "n:2:1: base_lr is inf; it must be a finite number"),
        ({"momentum": "-inf"}, "n:9:1: momentum is -inf; it must be a finite number"),
        ({"base_lr": "0x10"}, "n:2:10: base_lr takes a decimal number, not '0x10'"),
        ({"base_lr": "010"}, "n:2:10: base_lr takes a decimal number, not '010'"),
        ({"max_iter": "08"}, "n:8:11: max_iter takes an integer, not '08': digits after a lead"),
    ],
)
def test_p30_numbers_that_are_none_are_refused(changes: dict[str, str | None], why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        check(changes)


def test_p30_integers_in_hexadecimal_and_octal_are_taken_as_google_s_reader_does() -> None:
    check({"max_iter": "0x10", "stepsize": "010"})


@pytest.mark.parametrize(
    "changes",
    [
        {"test_iter": "[1, 2]", "test_interval": "5"},
        {"test_iter": "[1, 2]", "test_interval": "5", "test_net": "'b'", "test_state": "[{}, {}]"},
        {
            "net": None,
            "train_net": "'a'",
            "test_net": "'b'",
            "test_iter": "0",
            "test_interval": "1",
        },
        {"type": "'AdaGrad'", "momentum": None},
        {"type": "'RMSProp'", "momentum": "0", "rms_decay": "0"},
        {"type": "'AdaDelta'", "regularization_type": "'L1'", "display": "0", "max_iter": None},
    ],
)
def test_a_solver_that_caffe_runs_passes(changes: dict[str, str | None]) -> None:
    check(changes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"max_iter": "-1"}, "n:8:1: max_iter is -1; it must be 0 or more"),
        ({"display": "-1"}, "n:10:1: display is -1; it must be 0 or more"),
        ({"snapshot": "-1"}, "n:10:1: snapshot is -1; it must be 0 or more"),
        ({"test_interval": "-1"}, "n:10:1: test_interval is -1; it must be 0 or more"),
        ({"test_iter": "[1, -1]"}, "n:10:1: test_iter is -1; it must be 0 or more"),
        ({"stepvalue": "-5"}, "n:7:1: stepvalue is -5; it must be 0 or more"),
        ({"average_loss": "0"}, "n:10:1: average_loss is 0; it must be 1 or more"),
        ({"iter_size": "0"}, "n:10:1: iter_size is 0; it must be 1 or more"),
        ({"gamma": "-1"}, "n:4:1: gamma is -1; it must be 0 or more"),
        ({"lr_policy": "'step'", "stepsize": "0"}, "n:6:1: stepsize is 0; it must be 1 or more"),
        ({"test_iter": "5"}, "n: test_iter is given without test_interval; give how often"),
        ({"test_net": "'a'"}, "n:10:1: 1 test nets have 0 test_iter; give one test_iter for each"),
        (
            {"net": None, "train_net": "'a'", "test_iter": "5"},
            "n:10:1: 0 test nets have 1 test_iter; give one test_iter for each",
        ),
        (
            {"test_iter": "[5, 5]", "test_state": "{ }"},
            "n:11:1: 2 test nets have 1 test_state; give one for each, or none",
        ),
        ({"type": "'Adm'"}, "n:10:1: type is 'Adm' .did you mean 'Adam'.*one of SGD, Nesterov, "),
        (
            {"regularization_type": "'L3'"},
            "n:10:1: regularization_type is 'L3'; it must be 'L1' or 'L2'",
        ),
        ({"type": "'AdaGrad'"}, "n:9:1: AdaGrad takes no momentum; delete it"),
        ({"type": "'RMSProp'"}, "n:9:1: RMSProp takes no momentum; delete it"),
        (
            {"type": "'RMSProp'", "momentum": None, "rms_decay": "1"},
            r"n:10:1: rms_decay is 1; it must be in \[0, 1\)",
        ),
    ],
)
def test_a_solver_that_caffe_stops_at_is_refused(changes: dict[str, str | None], why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        check(changes)
