"""What a solver's text must say before anything is built or read for it.

Source: BVLC Caffe 1.0: solver.cpp, solvers/sgd_solver.cpp, sgd_solvers.hpp.
What differs: Caffe stops at what it reaches, some of it after hours, and takes a number that is
missing as 0. Here a solver is refused at once, and numbers that a policy reads must be given.
"""

import math
from typing import Final

from alexnet.nearest import nearest
from alexnet.text.message import Message
from alexnet.text.upgrade import SOLVER_TYPES

POLICY_NEEDS: Final = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
}
"""The policies of learning rates, and the fields that each reads beside base_lr."""
TRAIN_NETS: Final = ("net", "net_param", "train_net", "train_net_param")
"""The fields of which one names the net that is trained."""
_LEAST: Final = {
    "max_iter": 0,
    "test_interval": 0,
    "display": 0,
    "snapshot": 0,
    "average_loss": 1,
    "iter_size": 1,
    "test_iter": 0,
    "stepvalue": 0,
}


def check_solver(solver: Message) -> None:
    """Check an upgraded solver.

    Raises: TextError, with the place of the field, if its learning rate has no known policy or
            lacks a number of it; if not exactly one train net is given; if test nets, test_iter and
            test_state differ in number; if a number is not finite or below its least; if its type
            or regularisation is unknown or goes with other numbers.
    """
    _check_numbers(solver)
    _check_nets(solver)
    _check_policy(solver)
    _check_update(solver)


def _check_numbers(solver: Message) -> None:
    for field, value in solver.items():
        if field.type == "float" and not math.isfinite(value):
            raise solver.refuse(f"{field.name} is {value}; it must be a finite number", field.name)
    for name, least in _LEAST.items():
        for value in solver[name] if solver.field(name).repeated else [solver[name]]:
            if value < least:
                raise solver.refuse(f"{name} is {value}; it must be {least} or more", name)


def _check_nets(solver: Message) -> None:
    named = [name for name in TRAIN_NETS if name in solver]
    if not named:
        raise solver.refuse(f"no net is given; give one of {', '.join(TRAIN_NETS)}")
    if len(named) > 1:
        raise solver.refuse(f"{' and '.join(named)} all name the net to train; keep one", named[-1])
    count = len(solver["test_iter"])
    own = len(solver["test_net"]) + len(solver["test_net_param"])
    generic = "net" in solver or "net_param" in solver
    if count < own or (count > own and not generic):
        raise solver.refuse(
            f"{own} test nets have {count} test_iter; give one test_iter for each",
            "test_iter" if count else "test_net",
        )
    states = len(solver["test_state"])
    if states not in (0, count):
        raise solver.refuse(
            f"{count} test nets have {states} test_state; give one for each, or none", "test_state"
        )
    if count and solver["test_interval"] == 0:
        raise solver.refuse("test_iter is given without test_interval; give how often to test")


def _check_policy(solver: Message) -> None:
    policy = solver["lr_policy"]
    if policy not in POLICY_NEEDS:
        known = ", ".join(POLICY_NEEDS)
        raise solver.refuse(
            f"lr_policy is {policy!r}{nearest(policy, POLICY_NEEDS)}; it must be one of {known}",
            "lr_policy",
        )
    for name in ("base_lr", *POLICY_NEEDS[policy]):
        if name not in solver:
            raise solver.refuse(
                f"lr_policy {policy!r} needs {name}, which is not given", "lr_policy"
            )
    if "gamma" in POLICY_NEEDS[policy] and solver["gamma"] < 0:
        raise solver.refuse(f"gamma is {solver['gamma']:g}; it must be 0 or more", "gamma")
    if "stepsize" in POLICY_NEEDS[policy] and solver["stepsize"] <= 0:
        raise solver.refuse(f"stepsize is {solver['stepsize']}; it must be 1 or more", "stepsize")


def _check_update(solver: Message) -> None:
    kind, regularisation = solver["type"], solver["regularization_type"]
    known = SOLVER_TYPES.values()
    if kind not in known:
        raise solver.refuse(
            f"type is {kind!r}{nearest(kind, known)}; it must be one of {', '.join(known)}", "type"
        )
    if regularisation not in ("L1", "L2"):
        raise solver.refuse(
            f"regularization_type is {regularisation!r}; it must be 'L1' or 'L2'",
            "regularization_type",
        )
    if kind in ("AdaGrad", "RMSProp") and solver["momentum"] != 0:
        raise solver.refuse(f"{kind} takes no momentum; delete it", "momentum")
    if kind == "RMSProp" and not 0 <= solver["rms_decay"] < 1:
        raise solver.refuse(
            f"rms_decay is {solver['rms_decay']:g}; it must be in [0, 1)", "rms_decay"
        )
