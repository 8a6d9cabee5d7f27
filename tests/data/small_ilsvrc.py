"""ILSVRC's archives in miniature, laid out as those of 2010 and 2012 are, for the tests."""

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import simplejpeg

from alexnet.data.ilsvrc import read_devkit
from alexnet.data.imagenet import (
    Stored,
    Target,
    begun,
    numbered_blocks,
    read_replacements,
    training_blocks,
    write_blocks,
)

CRANE, BIRD, TENCH = "n03126707", "n02012849", "n01440764"
WORDS = {CRANE: "crane", BIRD: "crane", TENCH: "tench, Tinca tinca"}
IDS = {CRANE: 1, BIRD: 2, TENCH: 3}  # in another order than the sorted WNIDs
SORTED = sorted(IDS)
TRUTH = (3, 1, 1, 2, 3)  # of the validation pictures 1 to 5
FIELDS = ("WNID", "words", "gloss", "num_children", "children", "wordnet_height")


def jpeg(seed: int, *, height: int = 24, width: int = 32) -> bytes:
    """Return a small picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    data: bytes = simplejpeg.encode_jpeg(pixels, quality=90, colorspace="RGB")
    return data


def tar_of(files: Mapping[str, bytes], *, gzipped: bool = False) -> bytes:
    """Return a tar, in GNU's form as ImageNet's are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0) if gzipped else buffer.getvalue()


def meta_mat(
    *, year: int = 2012, rows: Sequence[Mapping[str, Any]] | None = None, lacking: str = ""
) -> bytes:
    """Return a meta.mat: the classes, and one inner node of the hierarchy behind them."""
    if rows is None:
        rows = [
            {"WNID": wnid, f"ILSVRC{year}_ID": number, "num_train_images": 2}
            for wnid, number in IDS.items()
        ]
    root = {"WNID": "n00001740", f"ILSVRC{year}_ID": 4, "num_train_images": 0}
    names = [f"ILSVRC{year}_ID", *FIELDS, "num_train_images"]
    names = [name for name in names if name != lacking]
    synsets = np.empty((len(rows) + 1, 1), dtype=[(name, object) for name in names])
    for index, row in enumerate([*rows, root]):
        inner = row is root
        full = {
            "words": "entity" if inner else WORDS.get(str(row["WNID"]), "thing"),
            "gloss": "that which is",
            "num_children": 3 if inner else 0,
            "children": np.arange(1, 4) if inner else np.zeros(0),
            "wordnet_height": 5 if inner else 0,
            **row,
        }
        synsets[index, 0] = tuple(full[name] for name in names)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": synsets}, do_compression=True)
    return buffer.getvalue()


def devkit_files(*, year: int = 2012, truth: Sequence[int] = TRUTH) -> dict[str, bytes]:
    """Return the files of a development kit."""
    top = {2012: "ILSVRC2012_devkit_t12", 2010: "devkit-1.0"}[year]
    return {
        f"{top}/readme.txt": b"Development kit\n",
        f"{top}/data/meta.mat": meta_mat(year=year),
        f"{top}/data/ILSVRC{year}_validation_ground_truth.txt": lines(truth),
    }


def lines(numbers: Sequence[int]) -> bytes:
    return "".join(f"{number}\n" for number in numbers).encode()


def voc_xml(
    name: str,
    boxes: Sequence[tuple[float, float, float, float]],
    *,
    size: tuple[int, int] | None = (32, 24),
    label: str = TENCH,
    filename: str | None = None,
) -> bytes:
    """Return an annotation as ImageNet writes it."""
    sizes = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    edges = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{label}</name><bndbox>"
        + "".join(f"<{edge}>{x}</{edge}>" for edge, x in zip(edges, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    inside = name if filename is None else filename
    return f"<annotation><filename>{inside}</filename>{sizes}{objects}</annotation>".encode()


@dataclass
class Published:
    """The files that a person would have downloaded; a test changes some and writes them."""

    year: int = 2012
    train: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Class by class, the pictures by name."""
    val: dict[str, bytes] = field(default_factory=dict)
    """The pictures by path."""
    devkit: dict[str, bytes] = field(default_factory=dict)
    """The development kit's files."""

    def __post_init__(self) -> None:
        self.train = {
            wnid: {f"{wnid}_{n}.JPEG": jpeg(10 * IDS[wnid] + n) for n in (18, 5)} for wnid in IDS
        }
        # Not in their order, as in the archive of 2010, which has them in a folder.
        place = "val/" if self.year == 2010 else ""
        self.val = {
            f"{place}ILSVRC{self.year}_val_{n:08d}.JPEG": jpeg(100 + n) for n in (2, 1, 5, 4, 3)
        }
        self.devkit = devkit_files(year=self.year)

    def write(self, folder: Path) -> list[str]:
        """Write the archives and return the command line's words for them."""
        folder.mkdir(exist_ok=True)
        inner = {f"{wnid}.tar": tar_of(pictures) for wnid, pictures in self.train.items()}
        (folder / "train.tar").write_bytes(tar_of(inner))
        (folder / "val.tar").write_bytes(tar_of(self.val))
        (folder / "devkit.tar.gz").write_bytes(tar_of(self.devkit, gzipped=True))
        words = ["--year", str(self.year)]
        for name, file in (("train", "train.tar"), ("val", "val.tar"), ("devkit", "devkit.tar.gz")):
            words += [f"--{name}", str(folder / file)]
        return words


def make(
    folder: Path, target: Target, *, patch: Path | None = None, left_out: list[str] | None = None
) -> list[Stored]:
    """Write train/ and val/ of the archives in a folder."""
    devkit = read_devkit(folder / "devkit.tar.gz")
    none: list[str] = [] if left_out is None else left_out
    parts = {
        "train": training_blocks(folder / "train.tar", devkit, left_out=none),
        "val": numbered_blocks(folder / "val.tar", devkit, part="val", left_out=none),
    }
    replacements = read_replacements(patch) if patch else {}
    stored: list[Stored] = []
    with begun(target, year=devkit.year, patched=bool(patch)):
        for part, blocks in parts.items():
            stored += write_blocks(
                blocks, target, part=part, replacements=replacements, report=lambda number: None
            )
    return stored


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
