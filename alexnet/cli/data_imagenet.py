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
    """Shorter side of the stored JPEG, 256 as in the paper; 0 keeps the files as they are, as
    pictures are that are no larger."""
    quality: int = 95
    """Quality of the stored JPEG, 1 to 100."""
    check_md5: Flag = False
    """Compare the archives of 2012 with their published MD5s first."""
    complete: Flag = False
    """Refuse when pictures are missing; otherwise that is only noted."""
    shards: Flag = False
    """Write tar shards with an index, as alexnet data pack does, in place of a folder."""
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
    from alexnet.data.imagenet import Form, Stopped, Target, begun
    from alexnet.training.interrupt import Interrupted, stop_requests

    form = Form(choices.size, choices.quality)
    devkit = _check(archives, choices)
    threads = choices.threads or len(os.sched_getaffinity(0))
    with _one_thread_each():
        if choices.shards:
            return _write_shards(out, devkit, archives, choices, threads)
        with stop_requests() as request:
            target = Target(out, form, threads, lambda: bool(request.reason))
            with begun(target, year=devkit.year, patched=archives.patch is not None):
                try:
                    summary = _write_folder(target, devkit, archives, complete=choices.complete)
                except Stopped as error:
                    raise Interrupted(f"{error}; the same command goes on with it") from error
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
    if choices.shards and (archives.boxes or archives.val_boxes):
        raise ValueError("boxes are kept beside a folder; leave out --shards, or the boxes")
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


def _list_blocks(
    archives: Archives, devkit: "Devkit"
) -> dict[str, tuple[Iterator["Block"], list[str]]]:
    """Return the blocks of each part, and a list to be filled with files that are no pictures."""
    from alexnet.data.imagenet import numbered_blocks, training_blocks

    parts: dict[str, tuple[Iterator[Block], list[str]]] = {}
    if archives.train:
        left_out: list[str] = []
        parts["train"] = training_blocks(archives.train, devkit, left_out=left_out), left_out
    for part, source in (("val", archives.val), ("test", archives.test)):
        if source:
            left_out = []
            blocks = numbered_blocks(source, devkit, part=part, left_out=left_out)
            parts[part] = blocks, left_out
    return parts


def _write_folder(
    target: "Target", devkit: "Devkit", archives: Archives, *, complete: bool
) -> dict[str, Any]:
    """Write the pictures, the classes and the boxes; return what came of it."""
    from alexnet.data.boxes import write_boxes
    from alexnet.data.folder import DataError
    from alexnet.data.ilsvrc import write_classes
    from alexnet.data.imagenet import finish, read_replacements, write_blocks
    from alexnet.store import write_atomically

    root = target.root
    write_atomically(root / "classes.json", write_classes(devkit))
    patches = read_replacements(archives.patch) if archives.patch else {}
    parts: dict[str, dict[str, Any]] = {}
    for part, (blocks, left_out) in _list_blocks(archives, devkit).items():
        counts: Counter[str] = Counter({synset.wnid: 0 for synset in devkit.classes})
        remarks: dict[str, list[str]] = defaultdict(list)
        num_bytes = 0
        with _progress(f"{part}/", sum(_expected(devkit, part).values())) as step:
            written = write_blocks(blocks, target, part=part, replacements=patches, report=step)
            for stored in written:
                counts[stored.path.split("/")[1]] += 1
                num_bytes += stored.num_bytes
                if stored.remark:
                    kind, _, reason = stored.remark.partition(": ")
                    remarks[kind].append(stored.path + (f" ({reason})" if reason else ""))
        if left_out:
            remarks["left out, no pictures by their names"] = left_out
        parts[part] = {
            "pictures": counts.total(),
            "bytes": num_bytes,
            "classes": dict(counts),
            "remarks": dict(remarks),
            "other_numbers": _compare(counts, _expected(devkit, part)),
        }
    boxes = None
    if sources := [path for path in (archives.boxes, archives.val_boxes) if path]:
        with _progress("boxes", None) as step:
            num_boxes, odd = write_boxes(root, sources, report=step)
        boxes = {"number": num_boxes, "mended": dict(sorted(odd.items()))}
    for part, about in parts.items():
        if complete and about["other_numbers"]:
            raise DataError(
                f"{root}/{part} has other numbers of pictures than the development kit: "
                f"{_some(about['other_numbers'])}; leave out --complete to go without"
            )
    finish(root, parts, boxes)
    return {"parts": parts, "boxes": boxes}


def _write_shards(
    out: Path, devkit: "Devkit", archives: Archives, choices: Choices, threads: int
) -> int:
    """Pack the pictures as they come out of the archives; classes.json lies with the shards."""
    from alexnet.data.folder import DataError
    from alexnet.data.ilsvrc import write_classes
    from alexnet.data.ilsvrc_files import list_files
    from alexnet.data.imagenet import read_replacements
    from alexnet.data.pack import Packing
    from alexnet.data.pack_options import PackOptions
    from alexnet.data.pack_plan import plan_shards
    from alexnet.store import write_atomically

    patches = read_replacements(archives.patch) if archives.patch else {}
    files = {}
    for part, (blocks, left_out) in _list_blocks(archives, devkit).items():
        files[part] = list_files(blocks, devkit, part=part, replacements=patches)
        if left_out:
            note(f"{len(left_out):,} left out, no pictures by their names: {_some(left_out)}")
        counts = Counter(files[part].classes[label] for label in files[part].labels)
        for text in _compare(counts, _expected(devkit, part)):
            if choices.complete:
                raise DataError(f"{part}: {text}; leave out --complete to go without")
            note(f"{part}: {text}")
    options = PackOptions(size=choices.size, quality=choices.quality)
    index = Packing(plan_shards(files, options), out, workers=threads, report=note).run()
    write_atomically(out / "classes.json", write_classes(devkit))
    if index is not None:
        print(
            f"{out}: {len(index.rows):,} pictures in {len(index.shards):,} shards; "
            f"'alexnet data verify {out}' compares every byte"
        )
    return 0


def _expected(devkit: "Devkit", part: str) -> Counter[str]:
    """Return the number of pictures of each class by the development kit."""
    if part == "train":
        return Counter({synset.wnid: synset.num_train_images for synset in devkit.classes})
    wnid_of = {synset.ilsvrc_id: synset.wnid for synset in devkit.classes}
    return Counter(
        wnid_of[number] for number in (devkit.validation if part == "val" else devkit.test)
    )


def _compare(counts: Counter[str], expected: Counter[str]) -> list[str]:
    return [
        f"{wnid} has {counts[wnid]:,} of {expected[wnid]:,}"
        for wnid in sorted(expected)
        if counts[wnid] != expected[wnid]
    ]


def _print(out: Path, summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"data": str(out), **summary})
        return
    parts, boxes = summary["parts"], summary["boxes"]
    rows = [
        (
            f"{part}/",
            about["pictures"],
            sum(count > 0 for count in about["classes"].values()),
            f"{about['bytes'] / 1e6:,.1f}",
        )
        for part, about in parts.items()
    ]
    print_table((str(out), "pictures", "classes", "MB"), rows)
    print("\nlabels go by WNID; classes.json has ILSVRC's and cuda-convnet's beside them")
    if boxes:
        print(f"boxes.jsonl.gz: {boxes['number']:,} bounding boxes")
        for what, times in boxes["mended"].items():
            print(f"  {times:,} times {what}")
    for part, about in parts.items():
        for kind, paths in about["remarks"].items():
            note(f"{len(paths):,} {kind}: {_some(paths)}")
        if texts := about["other_numbers"]:
            note(
                f"{part}/ has other numbers of pictures than the development kit in "
                f"{len(texts):,} classes: {_some(texts)}"
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    more = len(names) - MOST_NAMES
    return shown if more <= 0 else f"{shown} and {more:,} more (all in imagenet.json)"


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
