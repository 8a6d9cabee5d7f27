"""What is kept of each picture: digests, sides, traits, and why one cannot be read."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data.arrays import ArrayPictures, Rows
from alexnet.data.examine import (
    TRAITS,
    digest_pixels,
    examine,
    read_traits,
    thumbnail,
)
from alexnet.data.folder import Listing, list_folder
from tests.conftest import MakePictures, draw_picture


def quiet(done: int, total: int) -> None:
    """Report nothing."""


def photo(width: int = 90, height: int = 70) -> Image.Image:
    random = np.random.default_rng(0)
    return Image.fromarray(draw_picture(random, hue=0.3, shape="ring", size=96)).resize(
        (width, height)
    )


def encoded(picture: Image.Image, kind: str, *, exif: bytes = b"") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, exif=exif)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def animation(kind: str) -> bytes:
    stream = io.BytesIO()
    first, second = photo(), photo().rotate(90)
    first.save(stream, kind, save_all=True, append_images=[second])
    return stream.getvalue()


DEEP = Image.fromarray(np.arange(70 * 90, dtype=np.uint16).reshape(70, 90) * 10)
CASES: dict[str, tuple[bytes, set[str]]] = {
    "a JPEG": (encoded(photo(), "JPEG"), set()),
    "a gray JPEG": (encoded(photo().convert("L"), "JPEG"), {"gray"}),
    "a CMYK JPEG": (encoded(photo().convert("CMYK"), "JPEG"), {"cmyk"}),
    "a turned JPEG": (encoded(photo(), "JPEG", exif=turned(6)), {"rotated"}),
    "a JPEG that says it is upright": (encoded(photo(), "JPEG", exif=turned(1)), set()),
    "a PNG": (encoded(photo(), "PNG"), set()),
    "a gray PNG": (encoded(photo().convert("L"), "PNG"), {"gray"}),
    "a 16-bit PNG": (encoded(DEEP, "PNG"), {"gray", "sixteen-bit"}),
    "a PNG with alpha": (encoded(photo().convert("RGBA"), "PNG"), {"transparent"}),
    "a turned PNG": (encoded(photo(), "PNG", exif=turned(3)), {"rotated"}),
    "an animated PNG": (animation("PNG"), {"animated"}),
    "a WebP": (encoded(photo(), "WebP"), set()),
    "a WebP with alpha": (encoded(photo().convert("RGBA"), "WebP"), set()),
    "an animated WebP": (animation("WebP"), {"animated"}),
    "an animated GIF": (animation("GIF"), {"animated"}),
    "a BMP": (encoded(photo(), "BMP"), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_traits_are_read_from_the_header(name: str) -> None:
    data, expected = CASES[name]
    sides, traits = read_traits(data)
    assert traits == expected
    assert sides == (None if name == "a BMP" else (70, 90))


def test_a_header_that_pillow_cannot_read_has_no_traits() -> None:
    assert read_traits(encoded(photo(), "PNG")[:20]) == (None, set())


def written(folder: Path, files: dict[str, bytes]) -> Listing:
    for name, data in files.items():
        (folder / "class").mkdir(parents=True, exist_ok=True)
        (folder / "class" / name).write_bytes(data)
    return list_folder(folder)


def test_every_file_is_decoded_and_measured(tmp_path: Path) -> None:
    files = {
        "a.jpg": encoded(photo(600, 400), "JPEG"),
        "b.jpg": encoded(photo(), "PNG"),
        "c.bmp": encoded(photo(50, 20), "BMP"),
        "d.png": encoded(Image.new("RGB", (90, 70), "red"), "PNG"),
        "e.jpg": encoded(photo(), "JPEG")[:-300],
        "f.jpg": b"",
    }
    found = examine([written(tmp_path, files)], progress=quiet)
    assert found.sides.tolist() == [[400, 600], [70, 90], [20, 50], [70, 90], [0, 0], [0, 0]]
    assert found.num_bytes.tolist() == [len(data) for data in files.values()]
    for place, data in enumerate(list(files.values())[:5]):
        expected = hashlib.blake2b(data, digest_size=16).digest()
        assert found.digests[place].tobytes() == expected
    assert list(found.bad) == [4, 5]
    assert "the JPEG is damaged" in found.bad[4]
    assert found.bad[5] == "the file is empty"
    assert found.trait("misnamed").tolist() == [False, True, False, False, False, False]
    assert found.details == {1: "a PNG"}
    assert found.trait("flat").tolist() == [False, False, False, True, False, False]
    assert found.traits.shape == (6, len(TRAITS))


def test_sets_are_numbered_through_and_progress_is_told(pictures: MakePictures) -> None:
    sets = [
        list_folder(pictures("train", per_class=3)),
        list_folder(pictures("val", per_class=2, seed=1)),
    ]
    told: list[tuple[int, int]] = []
    found = examine(sets, progress=lambda done, total: told.append((done, total)))
    assert told == [(9, 15), (15, 15)]
    alone = examine(sets[1:], progress=quiet)
    np.testing.assert_array_equal(found.digests[9:], alone.digests)
    np.testing.assert_array_equal(found.signatures[9:], alone.signatures)


def test_of_pictures_without_files_the_pixels_are_digested() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, 32, 40, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    rows = Rows("batch", pixels.transpose(0, 3, 1, 2).reshape(3, -1))
    flat = ArrayPictures(("cat",), ("a", "b", "c"), (0, 0, 0), (rows,), (3, 32, 40))
    found = examine([flat], progress=quiet)
    assert found.digests[0].tolist() == found.digests[2].tolist()
    assert found.digests[0].tolist() != found.digests[1].tolist()
    assert found.sides.tolist() == [[32, 40]] * 3
    assert found.num_bytes.tolist() == [32 * 40 * 3] * 3


def test_the_digest_of_pixels_tells_the_shape(tmp_path: Path) -> None:
    wide, tall = Image.new("RGB", (8, 4), "blue"), Image.new("RGB", (4, 8), "blue")
    files = {"a.png": encoded(wide, "PNG"), "b.bmp": encoded(wide, "BMP")}
    listing = written(tmp_path, {**files, "c.png": encoded(tall, "PNG"), "d.png": b"\x89PNG"})
    first, second, third, broken = (digest_pixels(listing, index) for index in range(4))
    assert first == second
    assert first != third
    assert broken is None
    assert thumbnail(listing, 3) is None


def test_a_thumbnail_of_a_photo_is_that_of_its_pixels(tmp_path: Path) -> None:
    listing = written(tmp_path, {"a.jpg": encoded(photo(640, 512), "JPEG")})
    cells = thumbnail(listing, 0)
    light = np.asarray(photo(640, 512)) @ np.array([0.299, 0.587, 0.114])
    expected = light.reshape(32, 16, 32, 20).mean((1, 3))
    assert cells is not None
    # JPEG, and the decoder's own way of scaling down, which differs most at edges.
    assert np.abs(cells - expected).mean() < 1
