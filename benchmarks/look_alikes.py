"""How many altered copies `alexnet data check` finds, and how many pairs it finds in real pictures.

    python -m benchmarks.look_alikes FOLDER [--pictures 500]

FOLDER holds pictures without copies, as Imagenette is. Every picture of it is searched for others
that look alike: whatever is found is a false alarm, or a copy nobody knew of. Then some of them,
drawn with a fixed seed, are altered in each of several ways, and the share that is found among
originals and copies is printed as a Markdown table.
"""

import argparse
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from alexnet.data.alike import Cells, shrink, signatures, thumbnail
from alexnet.data.copies import Groups, Search
from alexnet.data.image import decode, decode_file
from alexnet.data.sets import open_sets

SEED = 0
Photo = Image.Image
Random = np.random.Generator


def _cut(photo: Photo, random: Random, *, least: float, most: float) -> Photo:
    """Cut off a share of the width at left and right and of the height at top and bottom."""
    left, top, right, bottom = random.uniform(least, most, 4)
    width, height = photo.size
    return photo.crop(
        (
            round(left * width),
            round(top * height),
            round((1 - right) * width),
            round((1 - bottom) * height),
        )
    )


def _cut_one_side(photo: Photo, random: Random, share: float) -> Photo:
    cuts = np.zeros(4)
    cuts[random.integers(4)] = share
    left, top, right, bottom = cuts * np.tile(photo.size, 2)
    return photo.crop(
        (round(left), round(top), photo.width - round(right), photo.height - round(bottom))
    )


def _scale(photo: Photo, factor: float, squash: float = 1.0) -> Photo:
    return photo.resize((round(photo.width * factor * squash), round(photo.height * factor)))


ALTERATIONS: dict[str, tuple[int, Callable[[Photo, Random], Photo]]] = {
    "JPEG quality 30": (30, lambda p, r: p),
    "JPEG quality 10": (10, lambda p, r: p),
    "half the size": (90, lambda p, r: _scale(p, 0.5)),
    "1.5 times the size": (90, lambda p, r: _scale(p, 1.5)),
    "10 % narrower": (90, lambda p, r: _scale(p, 1, 0.9)),
    "1.3 times as bright": (90, lambda p, r: ImageEnhance.Brightness(p).enhance(1.3)),
    "0.6 times as bright": (90, lambda p, r: ImageEnhance.Brightness(p).enhance(0.6)),
    "1.4 times the contrast": (90, lambda p, r: ImageEnhance.Contrast(p).enhance(1.4)),
    "gray": (90, lambda p, r: p.convert("L").convert("RGB")),
    "blurred by 2 pixels": (90, lambda p, r: p.filter(ImageFilter.GaussianBlur(2))),
    "cut by 2 % at every side": (90, lambda p, r: _cut(p, r, least=0.02, most=0.02)),
    "cut by 5 % at every side": (90, lambda p, r: _cut(p, r, least=0.05, most=0.05)),
    "cut by 0 to 5 % at every side": (90, lambda p, r: _cut(p, r, least=0, most=0.05)),
    "cut by 5 % at one side": (90, lambda p, r: _cut_one_side(p, r, 0.05)),
    "cut by 10 % at one side": (90, lambda p, r: _cut_one_side(p, r, 0.1)),
}


def found_groups(cells: list[Cells]) -> tuple[Groups, int]:
    """Search thumbnails for those that look alike; return also the pairs compared."""
    search = Search(
        Groups.apart(len(cells)),
        np.stack([signatures(each) for each in cells]),
        np.stack([shrink(each) for each in cells]),
        lambda index: cells[index],
    )
    search.run(np.arange(len(cells)))
    return search.groups, search.compared


def read_cells(paths: Iterable[Path]) -> list[Cells]:
    """Return the thumbnail of each file, as `data check` makes them."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: thumbnail(decode_file(path, at_least=64)), paths))


def alter(
    path: Path, quality: int, change: Callable[[Photo, Random], Photo], random: Random
) -> Cells:
    """Alter a picture, save it as JPEG and return the thumbnail of that."""
    photo = change(Image.fromarray(decode_file(path)), random)
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=quality)
    return thumbnail(decode(stream.getvalue(), at_least=64))


def main() -> None:
    """Print what is found among all pictures, and the share of copies found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    options = parser.parse_args()
    sets = open_sets(options.folder)
    paths = [options.folder / sets.path(index) for index in range(len(sets.labels()))]
    groups, compared = found_groups(read_cells(paths))
    alarms = groups.several()
    print(f"{len(paths):,} pictures: {compared:,} pairs compared, {len(alarms)} groups look alike")
    for members in alarms:
        print("  " + ", ".join(str(paths[index]) for index in members.tolist()))
    random = np.random.default_rng(SEED)
    chosen = [paths[index] for index in random.choice(len(paths), options.pictures, replace=False)]
    originals = read_cells(chosen)
    print("\n| altered copy | found | n |\n|---|--:|--:|")
    for name, (quality, change) in ALTERATIONS.items():
        copies = [alter(path, quality, change, random) for path in chosen]
        groups, _ = found_groups([*originals, *copies])
        count = len(chosen)
        found = sum(groups.find(index) == groups.find(index + count) for index in range(count))
        print(f"| {name} | {found / count:.1%} | {count} |")


if __name__ == "__main__":
    main()
