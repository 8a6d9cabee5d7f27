"""`alexnet data pack`, `verify` and `index`: pictures in tar shards that are reached at random."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json, print_table
from alexnet.data.pack_options import PackOptions

if TYPE_CHECKING:
    from alexnet.data.pack_plan import Files
    from alexnet.data.shard_index import Index

DEFAULTS = PackOptions()
MOST_LINES = 20


def pack(
    source: Path,
    out: Path,
    *,
    options: Annotated[PackOptions, Parameter(name="*")] = DEFAULTS,
    workers: int | None = None,
) -> int:
    """Pack pictures into tar shards with an index; run again, it goes on where it stopped.

    Any WebDataset reader takes the shards. torchrun splits the work: torchrun --nproc-per-node 4
    -m alexnet data pack DIR OUT writes the same bytes as one process.

    Parameters
    ----------
    source
        Folder of pictures, one sub-folder per class, or train/ and val/ of them; or shards, or a
        tar of such folders.
    out
        Folder of the shards, on a disk that all machines see.
    workers
        Threads that decode; one for each processor if not given.
    """
    import torch

    from alexnet.data.loader import Share
    from alexnet.data.pack import Packing
    from alexnet.data.pack_plan import plan_shards
    from alexnet.parallel.mesh import World

    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")
    torch.set_num_threads(1)  # each thread that decodes scales its own picture
    world = World.of(os.environ)
    _check_places(source, out)
    plan = plan_shards(_parts(source), options)
    threads = workers or max(1, (os.cpu_count() or 1) // world.local_size)
    share = Share(world.rank, world.size)
    index = Packing(plan, out, share=share, workers=threads, report=note).run()
    if index is not None:
        _print_set(out, index)
    return 0


def verify(out: Path, *, as_json: Json = False) -> int:
    """Compare every byte of shards with their index, and name each sample that is damaged.

    Parameters
    ----------
    out
        Folder of shards.
    """
    from alexnet.cli.exit_codes import REFUSED
    from alexnet.data.verify import verify_shards

    found = verify_shards(out, note)
    if as_json:
        print_json(asdict(found))
        return REFUSED if found.damages else 0
    damages = found.damages
    samples = len({(each.shard, each.sample) for each in damages if each.sample})
    print_table(
        ("", "whole", "in all"),
        [
            ("shards", found.shards - len({d.shard for d in damages if d.shard}), found.shards),
            ("samples", found.samples - samples, found.samples),
        ],
    )
    for each in damages[:MOST_LINES]:
        note(each.message)
    if len(damages) > MOST_LINES:
        note(f"and {len(damages) - MOST_LINES:,} more; --json lists all")
    if damages:
        note(
            f"alexnet: {out} is not whole ({len(damages):,}); remove the damaged shards and "
            "run the same 'alexnet data pack' again, or bring back a copy"
        )
    return REFUSED if damages else 0


def index(shards: list[Path]) -> int:
    """Make the index of tar shards that another program wrote, and keep it beside them.

    Parameters
    ----------
    shards
        A folder of tar files, or all of its tar files.
    """
    from alexnet.data.folder import DataError
    from alexnet.data.shard_index import INDEX, encode_index
    from alexnet.data.shard_scan import scan_shards
    from alexnet.store import write_atomically

    folders = {path if path.is_dir() else path.parent for path in shards}
    if len(folders) != 1:
        raise ValueError(f"the shards lie in {len(folders)} folders; an index is for one folder")
    folder = folders.pop()
    if (folder / INDEX).exists():
        raise DataError(f"{folder / INDEX} exists; remove it if another is to be made")
    tars = sorted(folder.glob("*.tar"))
    left = sorted(set(tars) - set(shards)) if folder not in shards else []
    if left:
        raise ValueError(f"{left[0]} is not among the shards; give the folder, or move it away")
    if not tars:
        raise DataError(f"{folder} has no tar files; give a folder of shards")
    made = scan_shards(tars)
    write_atomically(folder / INDEX, encode_index(made))
    _print_set(folder, made)
    return 0


def _parts(source: Path) -> Mapping[str, "Files"]:
    from alexnet.data.pack_plan import parts_of_folder
    from alexnet.data.shards import is_shards, open_parts

    return open_parts(source) if is_shards(source) else parts_of_folder(source)


def _check_places(source: Path, out: Path) -> None:
    from alexnet.data.folder import DataError

    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give a folder for the shards")
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{out} lies in {source}, whose pictures are packed; give another folder")


def _print_set(folder: Path, index: "Index") -> None:
    rows = []
    for number, part in enumerate(index.parts):
        own = index.rows[index.rows["part"] == number]
        shards = sorted(set(own["shard"].tolist()))
        size = sum(index.shards[shard].size for shard in shards)
        rows.append((part, len(own), len(set(own["label"].tolist())), len(shards), size))
    print_table(("part", "pictures", "classes", "shards", "bytes"), rows)
    skipped = [each for shard in index.shards for each in shard.skipped]
    for _, path, reason in skipped[:MOST_LINES]:
        note(f"not packed: {path}: {reason}")
    if len(skipped) > MOST_LINES:
        note(f"and {len(skipped) - MOST_LINES:,} more that could not be read")
    print(f"{folder}: stored {index.how}; 'alexnet data verify {folder}' compares every byte")
