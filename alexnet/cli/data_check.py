"""`alexnet data check`: everything in a data set that would make a training go wrong."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import CONTROL, print_json

if TYPE_CHECKING:
    from alexnet.data.check import Report
    from alexnet.data.examine import Progress
    from alexnet.data.findings import Finding, Item, Severity

COLUMNS = 100
MOST_PATHS = 6
BELOW = " " * 4
HEADINGS = {"error": "ERROR", "warning": "Warning", "note": "Note"}


def check(
    data: Path,
    *,
    strict: Annotated[bool, Parameter(negative=(), help="Let warnings count as errors.")] = False,
    show: int = 5,
    tiny: int = 64,
    as_json: Json = False,
) -> int:
    """Look through a data set for bad pictures, copies, leaks and classes that cannot be learned.

    Every picture is decoded. The exit code is 3 if a training would go wrong, else 0.

    Parameters
    ----------
    data
        Folder of pictures, one sub-folder per class, or of train/ and val/. Of shards, CIFAR, IDX
        and lists of files the pixels are checked.
    show
        Lines to print of each kind of finding; --json has all of them.
    tiny
        Shorter side, in pixels, below which a picture is called tiny. Training scales it to 256.
    """
    if show < 1:
        raise ValueError(f"show is {show}; it must be at least 1, as in --show 5")
    if tiny < 0:
        raise ValueError(f"tiny is {tiny}; give a number of pixels, as in --tiny 64, or 0 for none")
    from alexnet.data.check import check as check_data

    with show_progress(then="comparing") as progress:
        report = check_data(data, progress=progress, tiny=tiny)
    counts = report.count()
    refused = counts["error"] > 0 or (strict and counts["warning"] > 0)
    if as_json:
        print_json(printable({"data": str(data), "refused": refused, **report.to_json()}))
    else:
        _print_report(data, report, show)
        print(_verdict(counts, strict=strict))
    return 3 if refused else 0


@contextmanager
def show_progress(*, then: str) -> Iterator["Progress"]:
    """Show a bar on standard error if that is a terminal; `then` is what comes after it is full."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        "{task.description}",
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("decoding", total=None)

        def show(done: int, total: int) -> None:
            text = "decoding" if done < total else then
            bar.update(task, completed=done, total=total, description=text)

        yield show


def _print_report(data: Path, report: "Report", show: int) -> None:
    named = ", ".join(f"{name} {count:,}" for name, count in report.sets.items() if name)
    total = sum(report.sets.values())
    least, median, greatest = report.sides
    trained = {name: counts[0] for name, counts in report.classes.items()}
    small, large = min(trained, key=trained.__getitem__), max(trained, key=trained.__getitem__)
    print(plain(f"{data}: {report.form}"))
    counts = f"{trained[small]:,} ({small}) to {trained[large]:,} ({large})"
    facts = [
        ("pictures", f"{total:,}{f' ({named})' if named else ''}, {_size(report.num_bytes)}"),
        ("shorter side", f"{least:,} to {greatest:,} pixels, the median {median:,}"),
        ("classes", f"{len(trained):,} of {counts} pictures to train on"),
    ]
    if least == greatest:
        facts[1] = ("shorter side", f"{least:,} pixels")
    if trained[small] == trained[large]:
        facts[2] = ("classes", f"{len(trained):,} of {trained[small]:,} pictures to train on")
    for name, fact in facts:
        print(f"{name:<13} {plain(fact)}")
    print()
    for finding in report.findings:
        print_finding(finding, show)
        print()


def print_finding(finding: "Finding", show: int) -> None:
    """Print what a finding is, what to do about it, and some of what was found."""
    from alexnet.data.findings import KINDS

    kind = KINDS[finding.kind]
    items = finding.items
    files = sum(len(item.paths) for item in items)
    count = f"{len(items):,}"
    if files > len(items):
        count += f" set{'s' if len(items) > 1 else ''} of {files:,}"
    print(f"{HEADINGS[finding.severity]}: {kind.title} ({count})")
    print("  " + fill(f"-> {kind.advice}", COLUMNS - 2, subsequent_indent="     "))
    shown = items[:show]
    single = all(len(item.paths) == 1 for item in shown)
    width = max(len(plain(item.paths[0] if single else item.detail)) for item in shown)
    for item in shown:
        print(_lines_of_one(item, width) if single else _lines_of_several(item, width))
    if len(items) > show:
        print(f"  and {len(items) - show:,} more: --show {len(items)} or --json")


def _lines_of_one(item: "Item", width: int) -> str:
    path, detail = plain(item.paths[0]), plain(item.detail)
    line = f"  {path:<{width}}  {detail}".rstrip()
    if len(line) <= COLUMNS:
        return line
    return f"  {path}\n{fill(detail, COLUMNS, initial_indent=BELOW, subsequent_indent=BELOW)}"


def _lines_of_several(item: "Item", width: int) -> str:
    paths = [plain(path) for path in item.paths[:MOST_PATHS]]
    if len(item.paths) > MOST_PATHS:
        paths.append(f"and {len(item.paths) - MOST_PATHS:,} more")
    if not paths:
        return fill(plain(item.detail), COLUMNS, initial_indent="  ", subsequent_indent="  ")
    first = f"  {plain(item.detail):<{width}}  "
    return "\n".join(
        (first if row == 0 else " " * len(first)) + path for row, path in enumerate(paths)
    )


def _verdict(counts: Mapping["Severity", int], *, strict: bool) -> str:
    said = ", ".join(
        f"{count} {name if count == 1 else f'{name}s'}" for name, count in counts.items() if count
    )
    if counts["error"]:
        return f"Not fit for training: {said}."
    if counts["warning"]:
        return f"Fit for training{', but not under --strict' if strict else ''}: {said}."
    return f"Fit for training: {said or 'nothing to remark'}."


def _size(num_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes / 1e3:.1f} kB"


def plain(text: str) -> str:
    """Return text that any terminal shows: names on disk need not be text, nor printable."""
    shown = os.fsencode(text).decode("utf-8", "backslashreplace")
    return CONTROL.sub("?", shown)


def printable(value: object) -> object:
    """Write names that are no text as bytes with a backslash, everywhere in plain values."""
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [printable(inner) for inner in value]
    return value
