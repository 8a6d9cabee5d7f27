"""Small packed sets for the tests of shards, and what a folder of them holds."""

from pathlib import Path

from alexnet.data.pack import Packing
from alexnet.data.pack_options import PackOptions
from alexnet.data.pack_plan import Plan, parts_of_folder, plan_shards
from alexnet.data.shard_index import Index

SMALL = PackOptions(shard_mb=0.02)
"""Four or five of the tests' pictures in a shard."""


def plan_of(source: Path, options: PackOptions = SMALL) -> Plan:
    """Plan the packing of a folder of pictures."""
    return plan_shards(parts_of_folder(source), options)


def pack(source: Path, out: Path, options: PackOptions = SMALL) -> Index:
    """Pack a folder of pictures in this process."""
    index = Packing(plan_of(source, options), out, workers=2).run()
    assert index is not None
    return index


def content(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Turn one bit of a file over."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ (1 << bit)]))
