"""When pictures look alike: cosine signs and scores against scipy, and copies against others."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy.fft import dctn

from alexnet.data.alike import (
    ALIKE,
    COARSE,
    FINE,
    Likeness,
    is_flat,
    shrink,
    signatures,
    thumbnail,
)
from tests.conftest import SHAPES, draw_picture

Pixels = NDArray[np.uint8]


def drawn(count: int, *, size: int = 96, seed: int = 0) -> list[Pixels]:
    random = np.random.default_rng(seed)
    return [
        draw_picture(random, hue=index / count, shape=SHAPES[index % 6], size=size)
        for index in range(count)
    ]


def saved(picture: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def cut(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    width, height = picture.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return picture.crop(tuple(map(round, box)))  # type: ignore[arg-type]


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda p: saved(p, 25),
    "halved": lambda p: p.resize((p.width // 2, p.height // 2)),
    "enlarged": lambda p: p.resize((p.width * 2, p.height * 2)),
    "brightened": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "darkened": lambda p: ImageEnhance.Brightness(p).enhance(0.6),
    "gray": lambda p: p.convert("L").convert("RGB"),
    "cut at the left": lambda p: cut(p, 0.05, 0, 0, 0),
    "cut all around": lambda p: cut(p, 0.03, 0.04, 0.05, 0.02),
}


def bits_apart(x: NDArray[np.uint64], y: NDArray[np.uint64]) -> int:
    """Return how far one's signatures are from the other's first, at best."""
    return int(min(np.bitwise_count(x ^ y[0]).min(), np.bitwise_count(y ^ x[0]).min()))


def test_a_thumbnail_is_the_mean_light_of_each_cell() -> None:
    picture = drawn(1)[0][:96, :96]
    light = picture @ np.array([0.299, 0.587, 0.114])
    expected = light.reshape(32, 3, 32, 3).mean((1, 3))
    np.testing.assert_allclose(thumbnail(picture), expected, atol=1e-3)


def test_a_kept_thumbnail_is_the_mean_of_four_cells() -> None:
    cells = thumbnail(drawn(1)[0])
    expected = [
        [round(float(cells[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean())) for x in range(16)]
        for y in range(16)
    ]
    assert shrink(cells).tolist() == expected


def test_a_signature_is_64_signs_of_low_cosine_coefficients() -> None:
    cells = thumbnail(drawn(1)[0])
    coefficients = dctn(cells.astype(float), norm="ortho")
    low = sorted(
        ((u, v) for u in range(32) for v in range(32) if u + v),
        key=lambda place: (place[0] ** 2 + place[1] ** 2, place),
    )[:64]
    expected = sum(coefficients[place] > 0 for place in low)
    assert int(np.bitwise_count(signatures(cells)[0])) == expected


@given(st.integers(0, 2**32), st.floats(0.3, 3), st.floats(-50, 50))
@settings(max_examples=50, deadline=None)
def test_a_signature_does_not_change_with_brightness_and_contrast(
    seed: int, contrast: float, brightness: float
) -> None:
    cells = np.random.default_rng(seed).uniform(0, 255, (32, 32)).astype(np.float32)
    changed = cells * np.float32(contrast) + np.float32(brightness)
    # A coefficient that is zero but for rounding may take either sign.
    assert bits_apart(signatures(cells), signatures(changed)) <= 1


def test_a_score_is_the_best_weighted_correlation_over_windows() -> None:
    x, y = (thumbnail(picture)[None] for picture in drawn(2))
    likeness = Likeness(32, 6, (0.0, 0.125))

    def features(cells: NDArray[np.float32]) -> NDArray[np.float64]:
        found = dctn(cells.astype(float), norm="ortho")[:6, :6] * np.hypot(*np.mgrid[:6, :6])
        return np.asarray(found.ravel() / np.linalg.norm(found), np.float64)

    def window(cells: NDArray[np.float32], cuts: tuple[int, ...]) -> NDArray[np.float32]:
        top, bottom, left, right = cuts
        part = cells[top : 32 - bottom, left : 32 - right].astype(float)
        rows, columns = (np.repeat(np.arange(size), 32) for size in part.shape)
        tall = part[rows].reshape(32, part.shape[0], -1).mean(1)
        return np.asarray(tall[:, columns].reshape(32, 32, part.shape[1]).mean(2), np.float32)

    cuts = [(a, b, c, d) for a in (0, 4) for b in (0, 4) for c in (0, 4) for d in (0, 4)]
    expected = max(
        max(features(window(x[0], c)) @ features(y[0]), features(window(y[0], c)) @ features(x[0]))
        for c in cuts
    )
    np.testing.assert_allclose(likeness(x, y), [expected], atol=1e-4)


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_copy_is_near_and_alike(how: str) -> None:
    for picture in drawn(6):
        copy = np.asarray(ALTERED[how](Image.fromarray(picture)))
        x, y = thumbnail(picture), thumbnail(copy)
        assert bits_apart(signatures(x), signatures(y)) <= 10
        assert (
            COARSE(shrink(x)[None].astype(np.float32), shrink(y)[None].astype(np.float32)) > ALIKE
        )
        assert FINE(x[None], y[None]) > ALIKE


def test_other_pictures_are_not_alike() -> None:
    cells = np.stack([thumbnail(picture) for picture in drawn(20)])
    left, right = np.triu_indices(20, 1)
    assert FINE(cells[left], cells[right]).max() < ALIKE


def test_no_pairs_have_no_scores() -> None:
    none = np.zeros((0, 32, 32), np.float32)
    assert FINE(none, none).shape == (0,)


def test_a_picture_of_one_colour_is_flat_and_a_faint_one_is_not() -> None:
    even = np.full((50, 60, 3), 130, np.uint8)
    faint = even.copy()
    faint[:25] += 6
    assert is_flat(thumbnail(even))
    assert not is_flat(thumbnail(faint))
