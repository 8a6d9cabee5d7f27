"""`alexnet caffe train`, `test`, `time`, `device_query` and `upgrade`: Caffe's program.

Flags, log lines and exit codes are the original's. The log goes to standard error.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Effect = Literal["stop", "snapshot", "none"]
Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class State:
    """Which layers of a net are meant, where its text has rules for them."""

    level: int | None = None
    """Level of the net; training takes that of the solver's train_state if it is not given."""
    stage: str = ""
    """Stages of the net, separated by commas, beside those that its text has."""

    @property
    def stages(self) -> list[str]:
        """The stages, one by one."""
        return [word for word in self.stage.split(",") if word]


@Parameter(name="*")
@dataclass(frozen=True)
class Effects:
    """What signals do after the update in progress."""

    sigint_effect: Annotated[Effect, Parameter(name="--sigint_effect")] = "stop"
    """What Ctrl-C does."""
    sighup_effect: Annotated[Effect, Parameter(name="--sighup_effect")] = "snapshot"
    """What a hang-up does."""


@Parameter(name="*")
@dataclass(frozen=True)
class Machine:
    """Where a net runs, and in which arithmetic."""

    gpu: str = ""
    """Number of the GPU to run on; without it the CPU, or what the solver's solver_mode says."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """Arithmetic of products. fp32 gives Caffe's numbers; auto is bf16 where the chip has it."""


ANY_STATE, EFFECTS, ANY_MACHINE = State(), Effects(), Machine()


def train(
    *,
    solver: Path,
    snapshot: Path | None = None,
    weights: str = "",
    machine: Machine = ANY_MACHINE,
    state: State = ANY_STATE,
    effects: Effects = EFFECTS,
) -> int:
    """Train the net of a solver's prototxt, as Caffe does.

    Paths in a prototxt are relative to the folder where the command runs.

    Parameters
    ----------
    solver
        The solver's prototxt.
    snapshot
        A .solverstate to go on from, with the .caffemodel that it names.
    weights
        .caffemodel files to start from, separated by commas; layers are found by name.
    """
    if snapshot is not None and weights:
        raise ValueError("--snapshot and --weights are both given; go on from one or the other")

    from alexnet.caffe.log import LOG, log_to
    from alexnet.caffe.placement import choose_place
    from alexnet.caffe.signals import signal_effects
    from alexnet.caffe.solver import Solver
    from alexnet.device import choose_dtype, keep_pages
    from alexnet.text.upgrade import read_solver

    keep_pages()
    with (
        log_to(sys.stderr),
        signal_effects(sigint=effects.sigint_effect, sighup=effects.sighup_effect) as requested,
    ):
        text = read_solver(solver)
        train_state = text.child("train_state")
        train_state["stage"] = [*train_state["stage"], *state.stages]
        if state.level is not None:
            train_state["level"] = state.level
        asks = "solver_mode" in text and text["solver_mode"] == "GPU"
        place = choose_place(machine.gpu, asked=text["device_id"] if asks else None)
        if snapshot is not None or weights:
            text["weights"] = [weights] if weights else []
        dtype = choose_dtype(machine.precision, place)
        trained = Solver(text, place=place, dtype=dtype, requested=requested)
        if snapshot is not None:
            LOG.info(f"Resuming from {snapshot}")
            trained.restore(snapshot)
        LOG.info("Starting Optimization")
        trained.solve()
        LOG.info("Optimization Done.")
    return 0


def test(
    *,
    model: Path,
    weights: Path,
    iterations: int = 50,
    machine: Machine = ANY_MACHINE,
    state: State = ANY_STATE,
) -> int:
    """Score a net of Caffe's: its outputs batch by batch, and their means.

    Parameters
    ----------
    model
        The net's prototxt, with a data layer for the phase TEST.
    weights
        The .caffemodel, or its twin .caffemodel.h5.
    iterations
        Number of batches.
    """
    from alexnet.caffe.log import log_to
    from alexnet.caffe.nets import copy_weights
    from alexnet.caffe.placement import choose_place, place_net
    from alexnet.caffe.scores import score_net
    from alexnet.device import choose_dtype
    from alexnet.text.graph import TextNet
    from alexnet.text.upgrade import read_net

    with log_to(sys.stderr):
        place = choose_place(machine.gpu)
        net = TextNet(read_net(model), "TEST", level=state.level or 0, stages=state.stages)
        copy_weights(net, weights)
        dtype = choose_dtype(machine.precision, place)
        score_net(place_net(net, place), iterations, place=place, dtype=dtype)
    return 0


def time(
    *,
    model: Path,
    iterations: int = 50,
    phase: Literal["TRAIN", "TEST"] = "TRAIN",
    machine: Machine = ANY_MACHINE,
    state: State = ANY_STATE,
) -> int:
    """Time each layer of a net of Caffe's, forward and backward, and the whole.

    Parameters
    ----------
    model
        The net's prototxt.
    iterations
        Number of passes.
    phase
        The phase that the net is built for.
    """
    from alexnet.caffe.log import log_to
    from alexnet.caffe.placement import choose_place, place_net
    from alexnet.caffe.timing import time_net
    from alexnet.device import choose_dtype, keep_pages
    from alexnet.text.graph import TextNet
    from alexnet.text.upgrade import read_net

    keep_pages()
    with log_to(sys.stderr):
        place = choose_place(machine.gpu)
        dtype = choose_dtype(machine.precision, place)
        net = TextNet(read_net(model), phase, level=state.level or 0, stages=state.stages)
        time_net(place_net(net, place), iterations, place=place, dtype=dtype)
    return 0


def device_query(*, gpu: str = "all") -> int:
    """Print what is known of the GPUs.

    Parameters
    ----------
    gpu
        Numbers separated by commas, or all.
    """
    from alexnet.caffe.log import log_to
    from alexnet.caffe.placement import describe_gpus

    with log_to(sys.stderr):
        describe_gpus(gpu)
    return 0


def upgrade(
    source: Path, target: Path, *, solver: Flag = False, allow_unknown: Flag = False
) -> int:
    """Write a net or a solver of any year as one of Caffe 1.0.

    A .caffemodel stays binary, with its weights; a prototxt stays text.

    Parameters
    ----------
    source
        The file to upgrade: a .prototxt or a .caffemodel.
    target
        The file to write.
    solver
        The prototxt is a solver's, not a net's.
    allow_unknown
        Leave out fields that Caffe does not know, such as those of its forks, and list them.
    """
    from alexnet.caffe.upgrading import upgrade_file

    for note in upgrade_file(source, target, solver=solver, allow_unknown=allow_unknown):
        print(f"{source}: {note}")
    print(f"{target}: written")
    return 0
