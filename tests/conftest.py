"""Fixtures for the whole suite: small folders of pictures with something to learn in them."""

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from alexnet.nets import NETS
from alexnet.nets.variants import ALEXNET
from alexnet.training.recipe import Recipe

SHAPES = ("disc", "square", "cross", "ring", "stripes", "triangle")


class MakePictures(Protocol):
    """What the fixture `pictures` hands out: make_pictures, rooted in the test's own folder."""

    def __call__(
        self,
        name: str = "pictures",
        *,
        classes: Sequence[str] = SHAPES[:3],
        per_class: int = 8,
        size: int = 64,
        seed: int = 0,
    ) -> Path: ...


def make_pictures(
    root: Path,
    *,
    classes: Sequence[str] = SHAPES[:3],
    per_class: int = 8,
    size: int = 64,
    seed: int = 0,
) -> Path:
    """Write root/CLASS/0000.jpg ... and return root.

    A class is a colour and a shape (the n-th class has the n-th hue and the n-th of SHAPES,
    whatever its name) on a cluttered background, at a random place, size and brightness. The short
    side is `size` pixels, the long one up to a third longer. One seed gives the same bytes; for a
    held-out set take another seed.
    """
    random = np.random.default_rng(seed)
    for index, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        hue = index / len(classes)
        for number in range(per_class):
            picture = draw_picture(random, hue=hue, shape=SHAPES[index % len(SHAPES)], size=size)
            jpeg = simplejpeg.encode_jpeg(picture, quality=90, colorspace="RGB")
            (folder / f"{number:04d}.jpg").write_bytes(jpeg)
    return root


def draw_picture(
    random: np.random.Generator, *, hue: float, shape: str, size: int
) -> NDArray[np.uint8]:
    """Return one picture, (H, W, 3), RGB in [0, 255]."""
    long_side = int(random.integers(size, size * 4 // 3 + 1))
    height, width = (size, long_side) if random.random() < 0.5 else (long_side, size)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)

    # Smooth clutter: a coarse random grid, read off at every pixel between its points.
    grid = random.uniform(40, 200, size=(6, 6, 3))
    rows, columns = y * 4.999 / height, x * 4.999 / width
    i, j = rows.astype(int), columns.astype(int)
    v, u = (rows - i)[..., None], (columns - j)[..., None]
    top = grid[i, j] * (1 - u) + grid[i, j + 1] * u
    bottom = grid[i + 1, j] * (1 - u) + grid[i + 1, j + 1] * u
    picture = top * (1 - v) + bottom * v

    radius = size * random.uniform(0.25, 0.4)
    center_y = random.uniform(radius, height - radius)
    center_x = random.uniform(radius, width - radius)
    inside = shape_mask(shape, (y - center_y) / radius, (x - center_x) / radius)
    color = colorsys.hsv_to_rgb(
        (hue + random.uniform(-0.03, 0.03)) % 1, random.uniform(0.7, 1), random.uniform(0.6, 1)
    )
    picture[inside] = 255 * np.asarray(color)
    picture *= random.uniform(0.7, 1.1) * (1 - 0.3 * (y / height)[..., None])  # light from above
    picture += random.normal(0, 6, size=picture.shape)
    return np.ascontiguousarray(np.clip(picture, 0, 255).astype(np.uint8))


def shape_mask(shape: str, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a shape of radius one around the origin covers the plane."""
    radius = np.hypot(y, x)
    box = np.maximum(abs(y), abs(x))
    masks: dict[str, NDArray[np.bool_]] = {
        "disc": radius < 1,
        "square": box < 0.85,
        "cross": (np.minimum(abs(y), abs(x)) < 0.3) & (box < 1),
        "ring": (radius > 0.6) & (radius < 1),
        "stripes": (box < 1) & (np.floor(y * 2.5) % 2 == 0),
        "triangle": (y < 0.8) & (y > 2 * abs(x) - 0.9),
    }
    return masks[shape]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the tests remember the quickest convolutions in a folder that is not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALEXNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def pictures(tmp_path: Path) -> MakePictures:
    """Make pictures in the test's own folder, as pictures("val", per_class=20, seed=1) does."""

    def make(
        name: str = "pictures",
        *,
        classes: Sequence[str] = SHAPES[:3],
        per_class: int = 8,
        size: int = 64,
        seed: int = 0,
    ) -> Path:
        root = tmp_path / name
        return make_pictures(root, classes=classes, per_class=per_class, size=size, seed=seed)

    return make


TINY = replace(
    ALEXNET,
    source="a test",
    kernels=(8, 16, 16, 16, 16),
    fc_units=32,
    input_size=67,
    published=None,
    notes=(),
)
"""AlexNet with 1/2,000 of its weights; 67 pixels is the smallest input that reaches pool5."""


@pytest.fixture(scope="module")
def tiny_net() -> Iterator[str]:
    """Give TINY a name among the nets while a module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETS, "tiny", TINY)
        yield "tiny"


def tiny_recipe(data: Path) -> Recipe:
    """Return a recipe that trains the net `tiny` in a second, with everything random on."""
    return Recipe(
        data=str(data),
        net="tiny",
        init="normalised",
        epochs=2,
        batch=8,
        lr=0.005,
        divide_by=64.0,
        picture_size=72,
        validation_share=0.2,
        precision="fp32",
        device="cpu",
        workers=1,
        report_every=1,
    )
