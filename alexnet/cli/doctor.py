"""`alexnet doctor`: what this machine offers a training, what is wrong, what is narrowest."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from alexnet.cli.exit_codes import ENVIRONMENT
from alexnet.cli.options import RUNS, Json
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.bench.narrowest import Journey


@Parameter(name="*")
@dataclass(frozen=True)
class Work:
    """The training that DATA is for."""

    net: str = "alexnet"
    """Name of the net, as alexnet summary takes it, or a .prototxt."""
    batch: int = 32
    """Pictures at a time."""
    workers: int = 0
    """Threads that decode; 0 takes as many as there are cores."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic; auto is bf16 where the chip has it."""


def doctor(
    data: Path | None = None,
    *,
    work: Work = Work(),
    repeats: int = 5,
    as_json: Json = False,
) -> int:
    """Say what this machine offers a training and what is wrong with it, each with the way out.

    With DATA the disk, the decoder, the cutting, the copy to the device and the step are measured
    apart, and the narrowest is named. The exit code is 4 if something is wrong.

    Parameters
    ----------
    data
        Folder of pictures, shards or another data set, of which 256 pictures are read.
    repeats
        Measurements of each part, after a warm-up.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    if work.workers < 0:
        raise ValueError(f"workers is {work.workers}; it must be at least 1, or 0 for all cores")
    from alexnet.bench.doctor import describe, problems, resources

    found = resources(RUNS)
    facts, wrong = describe(found, RUNS), problems(found, RUNS)
    if not as_json:
        _print_facts(facts)
    journey = None if data is None else _measure(data, work, work.workers or found.cores, repeats)
    if as_json:
        about = {"facts": facts, "problems": [asdict(each) for each in wrong]}
        print_json(about | {"data": None if journey is None else asdict(journey)})
        return ENVIRONMENT if wrong else 0
    if journey is not None:
        print()
        _print_journey(journey, repeats)
    print()
    for each in wrong:
        print(f"problem: {each.what}; {each.fix}")
    if not wrong:
        print("nothing is wrong with this machine")
    return ENVIRONMENT if wrong else 0


def _measure(data: Path, work: Work, workers: int, repeats: int) -> "Journey":
    import torch

    from alexnet.bench.case import Case
    from alexnet.bench.narrowest import measure
    from alexnet.device import choose_device, choose_dtype, keep_pages

    device = choose_device(work.device)
    half = choose_dtype(work.precision, device) == torch.bfloat16
    precision: Literal["bf16", "fp32"] = "bf16" if half else "fp32"
    case = Case(net=work.net, batch=work.batch, precision=precision, threads=workers)
    keep_pages()
    note(f"measuring each part {repeats} times")
    return measure(case, data, device=device, repeats=repeats)


def _print_facts(facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, text in facts.items():
        print(f"{name.ljust(width)}  {text}")


def _print_journey(journey: "Journey", repeats: int) -> None:
    print(f"{journey.source}\n")
    rows = [
        (each.name, each.note, f"{each.pictures_per_second:,.0f}", f"{each.spread:.0%}")
        for each in journey.stages
    ]
    print_table(("part", "of what", "pictures/s", "spread"), rows, left=2)
    print(f"\nn = {repeats} each, alone; in a training about {journey.together:,.0f} pictures/s")
    print(f"narrowest: {journey.narrowest}; {journey.advice}")
    for path, reason in list(journey.bad.items())[:5]:
        print(f"not read: {path}: {reason}")
    if len(journey.bad) > 5:
        print(f"not read: {len(journey.bad) - 5} more; alexnet data check names them all")
