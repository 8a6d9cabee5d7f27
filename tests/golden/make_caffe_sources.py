"""Ask the original Caffe what its data layers and its tools for data give, and keep the answers.

    python -m tests.golden.make_caffe_sources BUILD/tools

draws the pictures, lists and HDF5 files of tests/golden/caffe_data, lets convert_imageset and
compute_image_mean make databases and a mean of them, and writes sources.npz (CASE/data, CASE/label:
the first batches of each layer, by extract_features) and conversions.npz (CASE/KEY: the bytes that
convert_imageset wrote). The tests only read these.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alexnet.data.databases import open_database
from alexnet.text.datum import decode_datum
from tests.golden.source_cases import BATCHES, CONVERSIONS, FOLDER, SOURCES

EMPTY_NET = b"\n\x05empty"  # a .caffemodel without layers


def draw(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture of large patches and noise, so that each reader's rule shows."""
    patches = random.integers(0, 256, (3, 3, 3)).repeat(height, 0).repeat(width, 1)
    rows, columns = np.arange(height) * 3, np.arange(width) * 3
    noise = random.integers(-20, 21, (height, width, 3))
    return (patches[rows][:, columns] + noise).clip(0, 255).astype(np.uint8)


def make_inputs() -> None:
    """Write the pictures, the lists and the HDF5 files."""
    random = np.random.default_rng(12)
    pictures = FOLDER / "pictures"
    pictures.mkdir(parents=True)
    names = ["a.png", "b c.png", "d.png", "e.png", "f.png"]
    for name in names:
        Image.fromarray(draw(random, 10, 12)).save(pictures / name)
    Image.fromarray(draw(random, 13, 9)[:, :, 0]).save(pictures / "gray.png")
    Image.fromarray(draw(random, 21, 18)).save(pictures / "photo.jpg", quality=90)
    Image.fromarray(draw(random, 14, 11)).quantize(16).save(pictures / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(draw(random, 11, 16)).save(pictures / "turned.jpg", exif=turned, quality=90)
    everything = [*names, "gray.png", "photo.jpg", "palette.png", "turned.jpg"]
    lists = (("equal.txt", names), ("all.txt", everything), ("sizes.txt", everything[5:7]))
    for file, listed in lists:
        lines = [f"{name} {3 * number - 4}\n" for number, name in enumerate(listed)]
        (FOLDER / file).write_text("".join(lines))
    # One window of an object and one of background, so that nothing is left to chance.
    (FOLDER / "windows.txt").write_text(
        "# 0\nphoto.jpg\n3\n21\n18\n2\n4 0.9 2 1 15 12\n0 0.4 0 0 5 5\n"
        "# 1\na.png\n3\n10\n12\n1\n7 0.1 6 3 11 9\n"
    )
    for number, rows in enumerate((3, 4)):
        with h5py.File(FOLDER / f"rows{number}.h5", "w") as file:
            file["data"] = random.standard_normal((rows, 2, 3)).astype(np.float32)
            file["label"] = np.arange(rows, dtype=np.float32) + 10 * number
    (FOLDER / "hdf5.txt").write_text("rows0.h5\nrows1.h5\n")


def run(tools: Path, *words: str) -> None:
    """Run one of Caffe's tools in FOLDER.

    Raises: SystemExit with its log if it fails.
    """
    command = [str(tools / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def make_databases(tools: Path) -> None:
    """Let Caffe write the databases that stay, and their mean."""
    run(tools, "convert_imageset", "pictures/", "equal.txt", "raw_lmdb")
    run(tools, "convert_imageset", "--encoded", "pictures/", "equal.txt", "encoded_lmdb")
    run(tools, "convert_imageset", "--backend=leveldb", "pictures/", "equal.txt", "raw_leveldb")
    run(tools, "compute_image_mean", "raw_lmdb", "mean.binaryproto")


def answers(tools: Path, folder: Path) -> dict[str, Any]:
    """Return the tops of each data layer over the first batches."""
    (folder / "empty.caffemodel").write_bytes(EMPTY_NET)
    found: dict[str, Any] = {}
    for case, text in SOURCES.items():
        (folder / "net.prototxt").write_text(text)
        out = [folder / f"{case}_{top}" for top in ("data", "label")]
        weights, net = folder / "empty.caffemodel", folder / "net.prototxt"
        databases = ",".join(map(str, out))
        run(
            tools,
            "extract_features",
            *(str(weights), str(net), "data,label", databases, str(BATCHES), "lmdb"),
        )
        for top, path in zip(("data", "label"), out, strict=True):
            values = [decode_datum(value)[0] for _, value in open_database(path)]
            if len({value.shape for value in values}) == 1:
                found[f"{case}/{top}"] = np.stack(values)
            else:
                for number, value in enumerate(values):
                    found[f"{case}/{top}{number}"] = value
    return found


def conversions(tools: Path, folder: Path) -> dict[str, Any]:
    """Return what convert_imageset writes, by case and key."""
    found = {}
    for case, flags in CONVERSIONS.items():
        run(tools, "convert_imageset", *flags, "pictures/", "all.txt", str(folder / case))
        for key, value in open_database(folder / case):
            found[f"{case}/{key.decode()}"] = np.frombuffer(value, np.uint8)
    return found


def main() -> None:
    """Make everything anew."""
    tools = Path(sys.argv[1]).resolve()
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_inputs()
    make_databases(tools)
    with tempfile.TemporaryDirectory() as scratch:
        np.savez_compressed(FOLDER / "sources.npz", **answers(tools, Path(scratch)))
        np.savez_compressed(FOLDER / "conversions.npz", **conversions(tools, Path(scratch)))
    for left in (*FOLDER.glob("*/lock.mdb"), *FOLDER.glob("*/LO*")):
        left.unlink()


if __name__ == "__main__":
    main()
