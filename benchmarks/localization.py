"""Measure localization on cut-outs of pictures that lie at random on other pictures.

    python -m benchmarks.localization RUN PICTURES [--train 600] [--validation 200] [--epochs 20]

makes a data set in a temporary folder: the middle of a picture of a class, scaled to a random size
and shape, lies at a random place on the blurred middle of a picture of another class; the box is
where it lies. Boxes are trained on it and judged by ILSVRC's rule, before and after.
"""

import argparse
import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import simplejpeg

from alexnet.bench.machine import describe_machine
from alexnet.data.boxed import Boxed, open_boxed, relabel
from alexnet.data.folder import Listing, list_folder
from alexnet.data.image import Picture, fit_square
from alexnet.evaluation.localization import locate
from alexnet.model import Model, open_model
from alexnet.native.resize import Window, resize
from alexnet.training.boxes import BoxRecipe, localizer, train_head

SIDE = 256


def scaled(picture: Picture, height: int, width: int) -> Picture:
    """Return a picture of another size."""
    return resize(picture, (height, width), Window(0, 0, height, width))


def compose(
    random: np.random.Generator, thing: Picture, behind: Picture
) -> tuple[Picture, list[int]]:
    """Lay a picture on a blurred one; return it and the box."""
    width, height = (random.integers(90, 190, 2)).tolist()
    left, top = int(random.integers(0, SIDE - width)), int(random.integers(0, SIDE - height))
    picture = scaled(scaled(behind, 12, 12), SIDE, SIDE).copy()
    picture[top : top + height, left : left + width] = scaled(thing, height, width)
    return picture, [left, top, left + width, top + height]


def write_part(root: Path, name: str, source: Listing, count: int, seed: int) -> list[bytes]:
    """Write pictures of a part and return the lines of their boxes."""
    random = np.random.default_rng(seed)
    lines = []
    for number, index in enumerate(random.choice(len(source), count, replace=False).tolist()):
        thing = fit_square(source.pixels(index, at_least=SIDE), SIDE)
        other = fit_square(source.pixels(int(random.integers(len(source))), at_least=SIDE), SIDE)
        picture, box = compose(random, thing, other)
        path = f"{name}/{source.classes[source.labels[index]]}/{number:05d}.jpg"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(simplejpeg.encode_jpeg(picture, quality=92, colorspace="RGB"))
        sides = {"width": SIDE, "height": SIDE, "original_width": SIDE, "original_height": SIDE}
        lines.append(json.dumps({"picture": path, **sides, "boxes": [box]}).encode() + b"\n")
    return lines


def make(root: Path, pictures: Path, train: int, validation: int) -> None:
    """Write the data set."""
    sources = [list_folder(pictures / part) for part in ("train", "val")]
    counts = (train, validation)
    lines = [
        line
        for part, source, count, seed in zip(("train", "val"), sources, counts, (0, 1), strict=True)
        for line in write_part(root, part, source, count, seed)
    ]
    (root / "boxes.jsonl.gz").write_bytes(gzip.compress(b"".join(lines), mtime=0))


def print_row(epochs: int, model: Model, parts: list[Boxed], recipe: BoxRecipe) -> None:
    """Train for a number of epochs and print the errors as a row of Markdown."""
    trained = train_head(model, parts[0], recipe, report=lambda epoch, loss: None)
    c = locate(localizer(model, trained.head), parts[1]).counts
    print(
        f"| {epochs} | {trained.losses[-1]:.4f} | {c.share(c.localization_errors):.1%} "
        f"| {c.share(c.class_errors):.1%} | {c.share(c.top1_localization_errors):.1%} "
        f"| {c.share(c.box_errors):.1%} | {c.overlap_sum / c.pictures:.3f} |",
        flush=True,
    )


def main() -> None:
    """Print the errors after more and more training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--train", type=int, default=600)
    parser.add_argument("--validation", type=int, default=200)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--lr", type=float, default=0.02)
    options = parser.parse_args()
    print(f"Machine: {describe_machine()}; {options.train} and {options.validation} pictures\n")
    print(
        "| epochs | training loss | task 2 | task 1 | first guess, class and box | box | overlap |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|")
    model = open_model(options.run)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, options.pictures, options.train, options.validation)
        parts = [relabel(each, model.classes, place=folder) for each in open_boxed(root)]
        still = BoxRecipe(epochs=1, lr=1e-9, hidden=(512, 256))
        print_row(0, model, parts, still)
        for epochs in options.epochs:
            recipe = BoxRecipe(epochs=epochs, lr=options.lr, hidden=(512, 256))
            print_row(epochs, model, parts, recipe)


if __name__ == "__main__":
    main()
