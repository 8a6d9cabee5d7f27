"""Pictures a second and core: ours beside Pillow in torch's DataLoader, webdataset, and a decoder.

    python -m benchmarks.pictures_per_second FOLDER [--pictures 48] [--batch 16] [--repeats 7]

FOLDER holds photos anywhere below it. Those of 500 x 375 pixels are taken as they are, and again
scaled to a shorter side of 256 and stored as JPEG of quality 90. Two Markdown tables are printed.

Everybody ends with batches of float32 tensors of 227 x 227 windows, all on one core to which the
process and its workers are pinned, in turn. The others do as most programs do: open, convert to
RGB, resize the shorter side to 256, cut a random window, divide by 255 and normalise. The last
row is the bare decoder, libjpeg-turbo through simplejpeg on bytes in memory, which does not read,
resize or cut: the limit of any path that decodes the whole picture by it.
"""

import argparse
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
import webdataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from alexnet.bench.machine import describe_machine
from alexnet.data.augment import Preprocessing, cut, random_windows
from alexnet.data.folder import Listing
from alexnet.data.image import ImageError, decode_file, resize_shorter_side
from alexnet.data.loader import Loader
from alexnet.data.statistics import compute
from alexnet.device import keep_pages
from alexnet.measure import Lap, Rounds, in_turn, stopwatch

SIZE, CROP = 256, 227
SIDES = {(375, 500), (500, 375)}
QUALITY = 90
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
OURS, BARE = "ours", "bare decoder"
PILLOW = "Pillow in a DataLoader"


@dataclass(frozen=True)
class Photos:
    """Some JPEG files."""

    root: Path
    """The folder that `names` are relative to."""
    names: tuple[str, ...]
    """Paths of the files."""

    def data(self) -> list[bytes]:
        """Return the bytes of each file."""
        return [(self.root / name).read_bytes() for name in self.names]


class PillowPhotos(Dataset[Tensor]):
    """Photos as most programs read them."""

    def __init__(self, photos: Photos) -> None:
        self.files = [photos.root / name for name in photos.names]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return a random window, (3, crop, crop) float32."""
        with Image.open(self.files[index]) as opened:
            return transform(opened.convert("RGB"))


def transform(picture: Image.Image) -> Tensor:
    """Resize, cut a random window and normalise, as torchvision's transforms do with Pillow.

    Shapes:  -> (3, crop, crop) float32
    """
    width, height = picture.size
    scale = SIZE / min(width, height)
    width, height = round(width * scale), round(height * scale)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    left = int(torch.randint(0, width - CROP + 1, ()))
    top = int(torch.randint(0, height - CROP + 1, ()))
    pixels = np.array(picture.crop((left, top, left + CROP, top + CROP)))
    x = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div_(255)
    return x.sub_(MEAN).div_(DEVIATION)


def find_photos(folder: Path, most: int) -> Photos:
    """Return the first photos of 500 x 375 pixels, by name.

    Raises: ValueError if there is none.
    """
    found: list[str] = []
    for path in sorted(folder.rglob("*")):
        if len(found) == most:
            break
        if path.suffix.lower() not in (".jpg", ".jpeg") or not path.is_file():
            continue
        try:
            sides = decode_file(path).shape[:2]
        except ImageError:
            continue
        if sides in SIDES:
            found.append(str(path.relative_to(folder)))
    if not found:
        raise ValueError(f"{folder} has no photo of 500 x 375 pixels; give a folder of ImageNet's")
    return Photos(folder, tuple(found))


def shrink(photos: Photos, folder: Path) -> Photos:
    """Write the photos with a shorter side of 256 pixels into another folder."""
    names = []
    for number, name in enumerate(photos.names):
        small = np.ascontiguousarray(resize_shorter_side(decode_file(photos.root / name), SIZE))
        jpeg = simplejpeg.encode_jpeg(small, QUALITY, "RGB", "420")
        names.append(f"{number:04d}.jpg")
        (folder / names[-1]).write_bytes(jpeg)
    return Photos(folder, tuple(names))


def ours(photos: Photos, batch: int) -> Callable[[], object]:
    """Return our path: the loader with one thread, and the window cut of each batch."""
    listing = Listing(photos.root, ("photo",), photos.names, (0,) * len(photos.names))
    loader = Loader(listing, batch_size=batch, picture_size=SIZE, workers=1, cache_bytes=0)
    first = next(loader.epoch(0, seed=0))
    preprocessing = Preprocessing(compute([first.pictures]), SIZE, CROP)
    generator = torch.Generator().manual_seed(0)

    def whole() -> int:
        seen = 0
        for each in loader.epoch(0, seed=0):
            windows = random_windows(len(each.labels), preprocessing.border, generator)
            seen += len(cut(each.pictures, windows, preprocessing))
        return seen

    return whole


def in_dataloader(dataset: Any, batch: int | None, workers: int) -> Callable[[], object]:
    """Return torch's DataLoader over some data set."""
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_size=batch, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: sum(len(each[0] if isinstance(each, tuple | list) else each) for each in loader)


def in_shards(photos: Photos, batch: int, folder: Path) -> Any:
    """Write the photos as a tar shard and return webdataset's own pipeline over it."""
    shard = folder / "photos.tar"
    with tarfile.open(shard, "w") as tar:
        for number, data in enumerate(photos.data()):
            member = tarfile.TarInfo(f"{number:06d}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    found = webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False)
    return found.decode("pil").to_tuple("jpg").map_tuple(transform).batched(batch)


def measure(photos: Photos, batch: int, repeats: int) -> Rounds:
    """Time one pass over the photos by each, in turn."""
    stored = photos.data()

    def bare() -> None:
        for data in stored:
            simplejpeg.decode_jpeg(data)

    with tempfile.TemporaryDirectory(prefix="alexnet-shards-") as temporary:
        shards = in_shards(photos, batch, Path(temporary))
        laps: dict[str, Lap] = {
            OURS: stopwatch(ours(photos, batch)),
            PILLOW: stopwatch(in_dataloader(PillowPhotos(photos), batch, 1)),
            "Pillow, no worker": stopwatch(in_dataloader(PillowPhotos(photos), batch, 0)),
            "webdataset": stopwatch(in_dataloader(shards, None, 1)),
            "webdataset, no worker": stopwatch(in_dataloader(shards, None, 0)),
            BARE: stopwatch(bare),
        }
        return in_turn(laps, repeats=repeats)


def print_table(title: str, photos: Photos, rounds: Rounds) -> None:
    """Print one table in Markdown."""
    size = sum(map(len, photos.data())) / len(photos.names) / 1e3
    print(f"\n{title}, {len(photos.names)} photos of {size:.0f} kB in the mean\n")
    print("| who | pictures/s and core: median (quartiles) | ours is | n |\n|---|--:|--:|--:|")
    count = len(photos.names)
    for name in rounds.seconds:
        rates = sorted(count / each for each in rounds.seconds[name])
        middle = rounds.timing(name)
        low, high = rates[len(rates) // 4], rates[-1 - len(rates) // 4]
        ratio = rounds.ratio(OURS, name)
        print(
            f"| {name} | {count / middle.median:,.0f} ({low:,.0f} to {high:,.0f}) "
            f"| {ratio:.2f} x | {middle.n} |"
        )


def main(words: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Pictures a second and core, beside others.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args(words)
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    keep_pages()
    print(f"{describe_machine()}; pinned to core {core}")
    large = find_photos(arguments.folder, arguments.pictures)
    print_table("500 x 375 pixels", large, measure(large, arguments.batch, arguments.repeats))
    with tempfile.TemporaryDirectory(prefix="alexnet-photos-") as temporary:
        small = shrink(large, Path(temporary))
        rounds = measure(small, arguments.batch, arguments.repeats)
        print_table("shorter side 256 pixels", small, rounds)


if __name__ == "__main__":
    main()
