"""Comparisons as Markdown tables, for docs/RESULTS.md."""

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

import torch

from alexnet.bench.case import Case, PeerMissing, Precision
from alexnet.bench.peers import Chosen, Work, choose
from alexnet.bench.report import OURS, Report, compare
from alexnet.device import choose_dtype, keep_pages

HEADER = (
    "| work | who | images/s | ms: median (least, quartiles' distance) | of GEMM ceiling "
    "| ours is | difference | n |\n|---|---|--:|--:|--:|--:|--:|--:|"
)


def available(names: Sequence[str], work: Work, precision: Precision) -> list[Chosen]:
    """Return those who are installed, and say who is not."""
    found = []
    for name in names:
        try:
            found += choose([name], work, precision)
        except PeerMissing as missing:
            print(f"left out: {missing}", file=sys.stderr)
    return found


def precision_here(name: str) -> Precision:
    """Return the arithmetic that `auto` stands for on this machine, or the one that is named."""
    if name == "auto":
        half = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
        return "bf16" if half else "fp32"
    found: Precision = next(each for each in get_args(Precision) if each == name)
    return found


def parse_case(
    description: str, *, batch: int, precisions: Sequence[str], repeats: int
) -> tuple[Case, int]:
    """Return the case and the repeats that the command line names; the others are defaults."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--precision", choices=("auto", *precisions), default="auto")
    parser.add_argument("--input-size", type=int, default=0, help="pixels; 0 takes the net's own")
    parser.add_argument("--repeats", type=int, default=repeats, help="measurements of each")
    arguments = parser.parse_args()
    case = Case(
        net=arguments.net,
        batch=arguments.batch,
        precision=precision_here(arguments.precision),
        input_size=arguments.input_size,
        threads=torch.get_num_threads(),
    )
    return case, arguments.repeats


def measure(work: Work, case: Case, names: Sequence[str], repeats: int) -> Report:
    """Return the comparison with those who are installed; pages are kept, as in training."""
    keep_pages()
    torch.set_num_threads(case.threads)
    peers = available(names, work, case.precision)
    return compare(work, case, peers, repeats=repeats)


def print_report(report: Report, title: str) -> None:
    """Print the machine, a row for each, and what a reader who compares should know."""
    case = report.case
    ceilings = ", ".join(f"{p} {flop / 1e9:,.0f}" for p, flop in report.gemm_ceilings.items())
    memory = report.row(OURS).peak_memory_mib or 0
    limit = f"GEMM ceiling {ceilings} GFLOP/s; " if ceilings else ""
    print(f"{report.machine}; {limit}ours alone held {memory:,.0f} MiB\n")
    print(HEADER)
    for row in report.rows:
        share, away = row.share_of_gemm_ceiling, row.difference
        cells = (
            f"{title}, `{case.net}`, {case.side} pixels, batch {case.batch}",
            f"{row.name.partition(':')[0]}, {row.precision}",
            f"{row.images_per_second:.1f}",
            f"{row.median_ms:.1f} ({row.least_ms:.1f}, {row.spread_ms:.1f})",
            "" if share is None else f"{share:.0%}",
            "" if row.name == OURS else f"{row.times_ours:.2f} x as fast",
            "" if away is None else f"{away:.0e}",
            str(row.n),
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    print()
    for note in report.notes:
        print(f"- {note}")
