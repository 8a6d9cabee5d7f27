"""`alexnet data imagenet`: ILSVRC's published archives as a data set to train on."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.data.ilsvrc import Devkit
    from alexnet.data.imagenet import Block, Target

Flag = Annotated[bool, Parameter(negative=())]
MOST_NAMES = 5


@Parameter(name="*")
@dataclass(frozen=True)
class Archives:
    """What was downloaded from image-net.org, or the folders that it was extracted to."""

    devkit: Path
    """ILSVRC2012_devkit_t12.tar.gz, or 2010's ILSVRC2010_devkit-1.0.tar.gz."""
    train: Path | None = None
    """ILSVRC2012_img_train.tar, or a folder of class folders."""
    val: Path | None = None
    """ILSVRC2012_img_val.tar, or a folder of its pictures."""
    boxes: Path | None = None
    """ILSVRC2012_bbox_train_v2.tar.gz: bounding boxes, for task 2."""
    val_boxes: Path | None = None
    """ILSVRC2012_bbox_val_v3.tgz."""
    test: Path | None = None
    """ILSVRC2010_images_test.tar; of no other year were the labels published."""
    test_labels: Path | None = None
    """ILSVRC2010_test_ground_truth.txt."""
    patch: Path | None = None
    """patch_images.tar of 2010, with better files for pictures that show nothing."""


@Parameter(name="*")
@dataclass(frozen=True)
class Choices:
    """What is made of it."""

    year: int = 2012
    """2012 or 2010; the development kit must be of that year."""
    size: int = 0
    """Shorter side of the stored JPEG, 256 as in the paper; 0 keeps the files as they are."""
    quality: int = 95
    """Quality of the stored JPEG, 1 to 100."""
    check_md5: Flag = False
    """Compare the archives of 2012 with their published MD5s first."""
    complete: Flag = False
    """Refuse when pictures are missing; otherwise that is only noted."""
    threads: int = 0
    """Pictures to decode at a time; 0 takes one for each processor."""


def imagenet(
    out: Path, *, archives: Archives, choices: Choices = Choices(), as_json: Json = False
) -> int:
    """Make a data set of ILSVRC's archives: train/WNID/*.JPEG, val/WNID/*.JPEG, classes.json.

    Nothing is extracted first. A run that was stopped goes on when it is given again.

    Parameters
    ----------
    out
        Folder to write to; alexnet train reads it.
    """
    from alexnet.data.boxes import write_boxes
    from alexnet.data.folder import DataError
    from alexnet.data.ilsvrc import write_classes
    from alexnet.data.imagenet import (
        Form,
        Stopped,
        Target,
        begun,
        finish,
        read_replacements,
    )
    from alexnet.data.shard_index import write_durably
    from alexnet.training.interrupt import Interrupted, stop_requests

    form = Form(choices.size, choices.quality)
    devkit = _check(archives, choices)
    with stop_requests() as request:
        stopped = lambda: bool(request.reason)  # noqa: E731
        target = Target(out, form, choices.threads or _processors(), stopped)
        with begun(target, year=devkit.year, patched=archives.patch is not None):
            write_durably(out / "classes.json", write_classes(devkit))
            replacements = read_replacements(archives.patch) if archives.patch else {}
            try:
                with _one_thread_each():
                    summary = _write_parts(archives, devkit, target, replacements)
            except Stopped as error:
                raise Interrupted(f"{error}; the same command goes on with it") from error
            sources = [path for path in (archives.boxes, archives.val_boxes) if path]
            if sources:
                with _progress("boxes", None) as step:
                    num_boxes, odd = write_boxes(out, sources, report=step)
                summary["boxes"] = {"number": num_boxes, "mended": dict(sorted(odd.items()))}
            lacking = _compare(devkit, summary["counts"])
            if lacking and choices.complete:
                raise DataError(f"{out}: {'; '.join(lacking)}; leave out --complete to go without")
            summary["missing"] = lacking
            finish(out, summary)
    _print(out, summary, as_json)
    return 0


def _check(archives: Archives, choices: Choices) -> "Devkit":
    """Refuse what does not go together, compare MD5s, and read the development kit."""
    from alexnet.data.folder import DataError
    from alexnet.data.ilsvrc import YEARS, read_devkit
    from alexnet.data.ilsvrc_archives import PUBLISHED_MD5, check_md5

    if choices.year not in YEARS:
        raise ValueError(f"year {choices.year} is not read; it must be 2010 or 2012")
    if choices.threads < 0:
        raise ValueError(f"threads is {choices.threads}; it must be at least 1, or 0")
    if not (archives.train or archives.val or archives.test):
        raise ValueError("no pictures given; name --train, --val or both")
    if choices.year == 2012 and (archives.test or archives.test_labels or archives.patch):
        raise ValueError("--test, --test-labels and --patch are for --year 2010 only")
    if choices.check_md5 and choices.year != 2012:
        raise ValueError("no MD5 of 2010's archives is known; leave out --check-md5")
    if choices.check_md5:
        given = {
            "devkit": archives.devkit,
            "val": archives.val,
            "boxes": archives.boxes,
            "val_boxes": archives.val_boxes,
            "train": archives.train,
        }
        for part, path in given.items():
            if path is not None:
                with _progress(f"MD5 of {path.name}", path.stat().st_size) as step:
                    check_md5(path, PUBLISHED_MD5[part], report=step)
    devkit = read_devkit(archives.devkit, test_labels=archives.test_labels)
    if devkit.year != choices.year:
        raise DataError(
            f"{archives.devkit} is of {devkit.year}, not {choices.year}; say --year {devkit.year}"
        )
    if archives.test and not devkit.test:
        raise DataError(
            f"{archives.devkit} has no labels of the test pictures; give --test-labels "
            f"ILSVRC2010_test_ground_truth.txt"
        )
    return devkit


def _write_parts(
    archives: Archives,
    devkit: "Devkit",
    target: "Target",
    replacements: dict[tuple[str, str], bytes],
) -> dict[str, Any]:
    """Write the pictures of each part; return their numbers and what was unusual."""
    from alexnet.data.imagenet import numbered_blocks, training_blocks, write_blocks

    left_out: list[str] = []
    parts: dict[str, tuple[Iterator[Block], int]] = {}
    if archives.train:
        blocks = training_blocks(archives.train, devkit, left_out=left_out)
        parts["train"] = blocks, sum(synset.num_train_images for synset in devkit.classes)
    for part, source, truth in (
        ("val", archives.val, devkit.validation),
        ("test", archives.test, devkit.test),
    ):
        if source:
            blocks = numbered_blocks(source, devkit, part=part, left_out=left_out)
            parts[part] = blocks, len(truth)
    counts: dict[str, Counter[str]] = {}
    num_bytes: Counter[str] = Counter()
    remarks: dict[str, list[str]] = defaultdict(list)
    for part, (blocks, total) in parts.items():
        counts[part] = Counter()
        with _progress(f"{part}/", total) as step:
            for stored in write_blocks(
                blocks, target, part=part, replacements=replacements, report=step
            ):
                counts[part][stored.path.split("/")[1]] += 1
                num_bytes[part] += stored.num_bytes
                if stored.remark:
                    kind, _, reason = stored.remark.partition(": ")
                    remarks[kind].append(stored.path + (f" ({reason})" if reason else ""))
    if left_out:
        remarks["left out, no pictures by their names"] = left_out
    by_class = {part: Counter(dict(sorted(found.items()))) for part, found in counts.items()}
    return {"counts": by_class, "bytes": dict(num_bytes), "remarks": dict(remarks)}


def _compare(devkit: "Devkit", counts: dict[str, Counter[str]]) -> list[str]:
    """Say where there are other numbers of pictures than the development kit has."""
    found = []
    if "train" in counts:
        other = [
            f"{synset.wnid} has {counts['train'][synset.wnid]:,} of {synset.num_train_images:,}"
            for synset in devkit.classes
            if counts["train"][synset.wnid] != synset.num_train_images
        ]
        if other:
            found.append(f"train/ differs from meta.mat in {len(other):,} classes: {_some(other)}")
    for part, truth in (("val", devkit.validation), ("test", devkit.test)):
        if part in counts and counts[part].total() != len(truth):
            found.append(
                f"{part}/ has {counts[part].total():,} pictures, the ground truth {len(truth):,}"
            )
    return found


def _print(out: Path, summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"data": str(out), **summary})
        return
    rows = [
        (f"{part}/", counts.total(), len(counts), f"{summary['bytes'][part] / 1e6:,.1f}")
        for part, counts in summary["counts"].items()
    ]
    print_table((str(out), "pictures", "classes", "MB"), rows)
    print("\nlabels go by WNID; classes.json has ILSVRC's and cuda-convnet's beside them")
    if "boxes" in summary:
        print(f"boxes.jsonl.gz: {summary['boxes']['number']:,} bounding boxes")
        for what, times in summary["boxes"]["mended"].items():
            print(f"  {times:,} times {what}")
    for kind, paths in summary["remarks"].items():
        note(f"{len(paths):,} {kind}: {_some(paths)}")
    for text in summary["missing"]:
        note(text)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return shown if more <= 0 else f"{shown} and {more:,} more (all in imagenet.json)"


def _processors() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch scale each picture in one thread, for several pictures are scaled at a time."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Show a bar on a terminal; yield what is told the steps, or the position and the end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn())
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
    task = bar.add_task(what, total=total)

    def step(number: int, end: int | None = None) -> None:
        if end is None:
            bar.advance(task, number)
        else:
            bar.update(task, completed=number)

    with bar:
        yield step
