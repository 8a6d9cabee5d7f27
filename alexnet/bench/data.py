"""Pictures a second: read and decoded, cut and relit, and the whole path to what the net sees."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from alexnet.bench.case import Case
from alexnet.data.augment import Preprocessing, cut, lighting, random_windows
from alexnet.data.folder import DataError, Listing, list_folder, split_folder
from alexnet.data.loader import Batch, Loader
from alexnet.data.statistics import compute
from alexnet.measure import Lap, Rounds, in_turn, stopwatch

PICTURES = 256
"""Pictures drawn where no folder is given, and the most that are read of one."""
WIDTH, HEIGHT = 500, 375
"""Size of a drawn picture in pixels: that of most ImageNet photos."""
LIGHTING = 0.1


@dataclass(frozen=True)
class DataTimes:
    """Times of the parts of the path, by name."""

    rounds: Rounds
    pictures: Mapping[str, int]
    """Pictures that one call handles."""
    source: str
    """Which pictures these were."""


def time_data(case: Case, folder: Path | None, *, beside_torch: bool, repeats: int) -> DataTimes:
    """Time our reading, our cutting and both together, and with `beside_torch` Pillow's.

    Raises: DataError if the folder holds no classes of pictures, ValueError if repeats is below 1.
    """
    with _pictures(case, folder) as (listing, source):
        size = max(256, case.side)
        loader = Loader(listing, case.batch, picture_size=size, workers=case.threads, cache_bytes=0)
        batch = next(loader.epoch(0, seed=0))
        if not len(batch.labels):
            raise DataError(f"{listing.root} has no readable picture in its first batch")
        preprocessing = Preprocessing(compute([batch.pictures]), size, case.side)
        generator = torch.Generator().manual_seed(0)

        def look(batch: Batch) -> Tensor:
            count = len(batch.labels)
            shift = lighting(
                count, preprocessing.statistics, strength=LIGHTING, generator=generator
            )
            windows = random_windows(count, preprocessing.border, generator)
            return cut(batch.pictures, windows, preprocessing, shift=shift)

        def whole() -> None:
            for each in loader.epoch(0, seed=0):
                look(each)

        whole()
        readable = len(listing) - len(loader.bad)
        laps: dict[str, Lap] = {
            "ours: read and decode": stopwatch(lambda: list(loader.epoch(0, seed=0))),
            "ours: cut, mirror, relight": stopwatch(lambda: look(batch)),
            "ours: whole path": stopwatch(whole),
        }
        pictures = dict.fromkeys(laps, readable)
        pictures["ours: cut, mirror, relight"] = len(batch.labels)
        if beside_torch:
            good = tuple(path for path in listing.paths if path not in loader.bad)
            files = [listing.root / path for path in good]
            laps["torch: whole path"] = _torch_lap(files, case, size)
            pictures["torch: whole path"] = readable
        return DataTimes(in_turn(laps, repeats=repeats), pictures, source)


def draw_pictures(folder: Path, count: int, *, seed: int = 0) -> None:
    """Write `count` JPEG files in two class folders: colours that change slowly, with some grain.

    500 x 375 pixels, about as many bytes as a photo of that size.
    """
    generator = torch.Generator().manual_seed(seed)
    for name in ("first", "second"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        coarse = torch.rand(1, 3, 12, 16, generator=generator) * 255
        smooth = F.interpolate(coarse, size=(HEIGHT, WIDTH), mode="bicubic")[0]
        grain = torch.randn(3, HEIGHT, WIDTH, generator=generator) * 8
        picture = (smooth + grain).clamp(0, 255).byte().permute(1, 2, 0).contiguous()
        jpeg = simplejpeg.encode_jpeg(picture.numpy(), quality=80, colorspace="RGB")
        name = "second" if number % 2 else "first"
        (folder / name / f"{number:05d}.jpg").write_bytes(jpeg)


class PillowPictures(Dataset[Tensor]):
    """The same path as one writes it with Pillow and torch alone, picture by picture."""

    def __init__(self, files: list[Path], picture_size: int, crop_size: int) -> None:
        self.files, self.picture_size, self.crop_size = files, picture_size, crop_size

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return a random window, (3, crop, crop) float32, mirrored one time in two."""
        pixels = self.centre(index)
        border, size = self.picture_size - self.crop_size, self.crop_size
        top, left = torch.randint(0, border + 1, (2,)).tolist()
        window = torch.from_numpy(pixels[top : top + size, left : left + size].copy())
        if torch.rand(()) < 0.5:
            window = window.flip(1)
        return window.permute(2, 0, 1).float() - 118.0

    def centre(self, index: int) -> NDArray[np.uint8]:
        """Return the picture's centre square, (size, size, 3), its shorter side resized to that."""
        with Image.open(self.files[index]) as opened:
            picture = opened.convert("RGB")
        width, height = picture.size
        scale = self.picture_size / min(width, height)
        width, height = round(width * scale), round(height * scale)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - self.picture_size) // 2, (height - self.picture_size) // 2
        box = (left, top, left + self.picture_size, top + self.picture_size)
        return np.asarray(picture.crop(box))


def _torch_lap(files: list[Path], case: Case, picture_size: int) -> Lap:
    dataset = PillowPictures(files, picture_size, case.side)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=case.batch,
        shuffle=True,
        num_workers=case.threads,
        persistent_workers=True,
    )
    return stopwatch(lambda: [len(batch) for batch in loader])


@contextmanager
def _pictures(case: Case, folder: Path | None) -> Iterator[tuple[Listing, str]]:
    """Hand out the pictures to read: some of a folder's, or drawn ones for as long as needed."""
    if folder is not None:
        listing = split_folder(folder).train
        step = max(len(listing) // PICTURES, 1)
        chosen = replace(
            listing,
            paths=listing.paths[::step][:PICTURES],
            labels=listing.labels[::step][:PICTURES],
        )
        yield chosen, f"{len(chosen)} of the {len(listing)} pictures of {folder}"
        return
    with tempfile.TemporaryDirectory(prefix="alexnet-bench-") as temporary:
        count = max(PICTURES, case.batch)
        draw_pictures(Path(temporary), count)
        listing = list_folder(Path(temporary))
        size = sum((listing.root / path).stat().st_size for path in listing.paths) / count
        yield listing, f"{count} drawn JPEG files, {WIDTH} x {HEIGHT}, {size / 1e3:.0f} kB each"
