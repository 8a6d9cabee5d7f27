"""Large JPEG decoded at a fraction of its size: never too small, close to the whole decoding."""

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from alexnet.data.image import decode, resize_shorter_side
from tests.data.test_image import encode, exif, smooth


def photo(height: int, width: int, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return noise whose amplitude falls as 1 / frequency, as that of photos does (Field 1987)."""
    random = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(height)[:, None, None], np.fft.fftfreq(width)[None, :, None]
    waves = np.fft.fft2(random.standard_normal((height, width, 3)), axes=(0, 1))
    picture = np.fft.ifft2(waves / np.maximum(np.hypot(y, x), 1 / width), axes=(0, 1)).real
    pixels: npt.NDArray[np.uint8] = (
        (128 + 50 * picture / picture.std()).clip(0, 255).astype(np.uint8)
    )
    return pixels


PHOTO = photo(600, 900)
JPEG = encode(PHOTO, "JPEG", {"quality": 90})


def test_a_scaled_jpeg_keeps_the_shorter_side_wanted() -> None:
    data = encode(smooth(400, 600), "JPEG")
    for at_least in (1, 49, 50, 99, 120, 200, 201, 400, 900):
        height, width, _ = decode(data, at_least=at_least).shape
        assert min(height, width) >= min(at_least, 400)
        assert (height, width) == (400, 600) or at_least <= height <= 200
    assert decode(data, at_least=50).shape == (50, 75, 3)


@pytest.mark.parametrize("sides", [(97, 131), (131, 97), (128, 128), (15, 300), (255, 256)])
def test_no_size_is_ever_too_small(sides: tuple[int, int]) -> None:
    data = encode(smooth(*sides), "JPEG")
    shorter = min(sides)
    for at_least in range(1, shorter + 3):
        found = min(decode(data, at_least=at_least).shape[:2])
        assert found >= min(at_least, shorter)
        # Half the size at the least, or all of it: less than half saves nothing.
        assert found == shorter or found <= -(-shorter // 2)


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_a_turned_jpeg_is_scaled_and_turned(orientation: int) -> None:
    turned = encode(PHOTO, "JPEG", {"quality": 90, "exif": exif(orientation)})
    for at_least in (70, 256):
        upright = decode(JPEG, at_least=at_least)
        expected = {
            3: upright[::-1, ::-1],
            5: upright.transpose(1, 0, 2),
            6: np.rot90(upright, -1),
            8: np.rot90(upright),
        }
        assert np.array_equal(decode(turned, at_least=at_least), expected[orientation])


@pytest.mark.parametrize("size", [64, 112, 150, 224, 299])
def test_a_scaled_jpeg_is_about_as_near_as_another_filter_would_be(size: int) -> None:
    """Within 1.6 times the distance of Lanczos's filter from the whole decoding, and no darker."""
    whole = resize_shorter_side(decode(JPEG), size).astype(int)
    part = decode(JPEG, at_least=size)
    assert min(part.shape[:2]) <= 300
    scaled = resize_shorter_side(part, size).astype(int)
    height, width = whole.shape[:2]
    lanczos = Image.fromarray(decode(JPEG)).resize((width, height), Image.Resampling.LANCZOS)
    width = min(width, scaled.shape[1])  # 225 x 338 is not quite 600 x 900
    far = np.abs(np.asarray(lanczos).astype(int) - whole).mean()
    differences = scaled[:, :width] - whole[:, :width]
    assert np.abs(differences).mean() <= 1.6 * far
    assert abs(differences.mean()) <= 0.1


def test_other_formats_are_not_scaled() -> None:
    data = encode(smooth(400, 600), "PNG")
    assert decode(data, at_least=50).shape == (400, 600, 3)
