"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    import torch

    from alexnet.model import Model

RUNS = Path("runs")

Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]
Views = Annotated[
    Literal[1, 10],
    Parameter(help="Windows of each picture: the centre, or corners, centre and mirror images."),
]


@Parameter(name="*")
@dataclass(frozen=True)
class Machine:
    """Where a net runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic; auto is bf16 where the chip has it."""
    weights: Literal["same", "bf16", "int8"] = "same"
    """Weights of fc6 to fc8; int8, a quarter of the bytes, changed 2 of 1,000 first answers."""
    convolution: str = "native"
    """What convolutions are computed by: native (torch's own), auto (measures each once and takes
    the quickest), direct, im2col, fft, winograd or winograd-M; all but native in float32 on a CPU.
    """


@Parameter(name="*")
@dataclass(frozen=True)
class Format:
    """How answers are printed."""

    as_json: Json = False
    as_csv: Annotated[
        bool, Parameter(name="--csv", negative=(), help="Print picture,rank,class,probability.")
    ] = False


def newest_folder(name: str) -> Path | None:
    """Return the last of runs/name-1, runs/name-2, ... that exists, if one does."""
    last, number = None, 1
    while (RUNS / f"{name}-{number}").exists():
        last, number = RUNS / f"{name}-{number}", number + 1
    return last


def new_folder(name: str) -> Path:
    """Return the first of runs/name-1, runs/name-2, ... that does not exist."""
    last = newest_folder(name)
    number = int(last.name.rpartition("-")[2]) + 1 if last else 1
    return RUNS / f"{name}-{number}"


def open_by(run: Path, device: "torch.device", convolution: str) -> "Model":
    """Open a model whose convolutions are computed by an algorithm."""
    from alexnet.convolution.swap import check_algorithm, swap
    from alexnet.model import open_model

    check_algorithm(convolution, device)
    model = open_model(run, device=device)
    if convolution != "native":
        swap(model.net, convolution)
    return model
