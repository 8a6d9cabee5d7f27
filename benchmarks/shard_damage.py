"""Turn over a bit of every byte of a small packed set, cut it at every length, and count finds.

    python -m benchmarks.shard_damage

It prints one line. Pictures are drawn here; nothing is read from outside.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg

from alexnet.data.folder import DataError
from alexnet.data.pack import Packing
from alexnet.data.pack_options import PackOptions
from alexnet.data.pack_plan import parts_of_folder, plan_shards
from alexnet.data.shard_index import INDEX, decode_index
from alexnet.data.verify import verify_shards

CLASSES, PER_CLASS, SIDE = 2, 4, 16


def main() -> None:
    """Print how many flips and cuts there were, and how many were found."""
    with tempfile.TemporaryDirectory() as folder:
        packed = make_set(Path(folder))
        flips = cuts = flips_found = cuts_found = 0
        for path in sorted(packed.iterdir()):
            whole = path.read_bytes()
            for position in range(len(whole)):
                damaged = bytearray(whole)
                damaged[position] ^= 1 << (position % 8)
                flips += 1
                flips_found += found(path, bytes(damaged))
            for size in range(len(whole)):
                cuts += 1
                cuts_found += found(path, whole[:size])
            path.write_bytes(whole)
    print(f"{flips_found:,} of {flips:,} flips and {cuts_found:,} of {cuts:,} cuts found")


def make_set(folder: Path) -> Path:
    """Draw pictures of noise and pack them into two shards or more."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / "photos" / f"class{label}").mkdir(parents=True)
        for number in range(PER_CLASS):
            picture = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            jpeg = simplejpeg.encode_jpeg(picture, colorspace="RGB")
            (folder / "photos" / f"class{label}" / f"{number}.jpg").write_bytes(jpeg)
    plan = plan_shards(parts_of_folder(folder / "photos"), PackOptions(shard_mb=0.012))
    Packing(plan, folder / "packed", workers=1).run()
    return folder / "packed"


def found(path: Path, damaged: bytes) -> bool:
    """Put damaged bytes into a file of the set and say whether they are noticed."""
    if path.name == INDEX:
        try:
            decode_index(damaged, path)
        except DataError:
            return True
        return False
    with path.open("r+b") as file:
        file.write(damaged)
        os.truncate(file.fileno(), len(damaged))
    return bool(verify_shards(path.parent).damages)


if __name__ == "__main__":
    main()
