"""A comparison from beginning to end: ours first, then the others, then all in turn."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from alexnet.bench import work
from alexnet.bench.case import Case, Contender, Precision, check_answer
from alexnet.bench.machine import describe_machine, gemm_ceiling, peak_memory_bytes
from alexnet.bench.peers import Chosen, Work
from alexnet.measure import WARM_UPS, Rounds, in_turn

OURS = "ours"
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """What was measured of one contender."""

    name: str
    precision: Precision
    images_per_second: float
    """At the median time."""
    median_ms: float
    """Milliseconds of one call: a step, or an answer to a batch."""
    least_ms: float
    spread_ms: float
    """Distance between the quartiles."""
    n: int
    calls: int
    """Calls that each measurement is the mean of."""
    share_of_gemm_ceiling: float | None
    """Operations of the work / median time / what torch's matrix product reaches; none in int8."""
    times_ours: float
    """How many times as long as ours: the median over rounds of their time / our time."""
    difference: float | None
    """Largest difference of logits from our float32 net's, as a share of the largest logit."""
    peak_memory_mib: float | None
    """What the process had held at most when only we had worked in it; none for the others."""
    note: str


@dataclass(frozen=True)
class Report:
    """A comparison's circumstances and rows."""

    work: Work
    case: Case
    machine: str
    gemm_ceilings: dict[str, float]
    """FLOP per second by precision."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        case = asdict(self.case) | {"input_size": self.case.side}
        rest = {"machine": self.machine, "gemm_ceilings": self.gemm_ceilings}
        rows = [asdict(row) for row in self.rows]
        return {"work": self.work} | case | rest | {"rows": rows, "notes": list(self.notes)}

    def row(self, name: str) -> Row:
        """Return the row of that name."""
        return next(row for row in self.rows if row.name == name)


def compare(
    kind: Work,
    case: Case,
    peers: Sequence[Chosen],
    *,
    repeats: int,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Time our work and that of the peers in turn, after their answers have been compared.

    Raises: PeerMissing if a peer is not installed, WrongAnswer if one computes something else,
            ValueError for sizes that do not fit.
    """
    ours = work.training(case) if kind == "train" else work.inference(case)
    assert ours.answer is not None
    answer = ours.answer()
    for _ in range(WARM_UPS):
        ours.lap(1)
    peak = peak_memory_bytes()
    differences: dict[str, float | None] = {
        OURS: check_answer(ours, answer, case.reference(crossing=False))
    }
    contenders = {OURS: ours}
    reference = case.reference(crossing=True) if peers else None
    for peer in peers:
        say(f"setting up {peer.name} in {peer.precision}")
        built = peer.build(case.with_precision(peer.precision))
        name = f"{built.name}:{built.precision}"
        contenders[name] = replace(built, name=name)
        differences[name] = None
        if built.answer is not None and reference is not None:
            differences[name] = check_answer(built, built.answer(), reference)
        gc.collect()
    ceilings: dict[str, float] = {}
    for precision in {each.precision for each in contenders.values()} - {"int8"}:
        ceilings[precision] = gemm_ceiling(case.with_precision(precision).dtype)
    say(f"timing {', '.join(contenders)} in turn, {repeats} times")
    rounds = in_turn({name: each.lap for name, each in contenders.items()}, repeats=repeats)
    flop = work.training_flop(case) if kind == "train" else work.inference_flop(case)
    rows = []
    for name, each in contenders.items():
        row = _row(each, rounds, case)
        ceiling = ceilings.get(each.precision)
        seconds = row.median_ms / 1e3
        share = flop / seconds / ceiling if ceiling else None
        memory = peak / MIB if name == OURS else None
        rows.append(
            replace(
                row,
                share_of_gemm_ceiling=share,
                difference=differences[name],
                peak_memory_mib=memory,
            )
        )
    return Report(kind, case, describe_machine(), ceilings, tuple(rows), _notes(case, contenders))


def _row(contender: Contender, rounds: Rounds, case: Case) -> Row:
    name, note = contender.name, contender.note
    timing = rounds.timing(name)
    return Row(
        name=name,
        precision=contender.precision,
        images_per_second=case.batch / timing.median,
        median_ms=timing.median * 1e3,
        least_ms=timing.least * 1e3,
        spread_ms=timing.spread * 1e3,
        n=timing.n,
        calls=rounds.calls[name],
        share_of_gemm_ceiling=None,
        times_ours=rounds.ratio(OURS, name),
        difference=None,
        peak_memory_mib=None,
        note=note,
    )


def _notes(case: Case, contenders: dict[str, Contender]) -> tuple[str, ...]:
    notes = []
    if len(contenders) > 1 and case.crosses_columns:
        notes.append(
            "norms of the others run across the edge of a column, ours end there; their answers "
            "were compared with those of our net with such norms"
        )
    if len(contenders) > 1:
        notes.append("memory is the process's before the others were set up in it")
    notes += [f"{each.name}: {each.note}" for each in contenders.values() if each.note]
    return tuple(notes)
