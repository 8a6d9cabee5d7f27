import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from alexnet.text.datum import decode_datum
from alexnet.text.message import TextError
from alexnet.text.picture_files import decode_picture, read_bytes, read_picture
from tests.golden.source_cases import FOLDER

NAMES = sorted(path.name for path in (FOLDER / "pictures").iterdir())
RANDOM = np.random.default_rng(4)


def file(pixels: NDArray[np.generic], kind: str = "PNG", mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_files_give_the_bytes_that_caffe_reads(name: str, color: bool) -> None:
    with np.load(FOLDER / "conversions.npz") as golden:
        case = "raw" if color else "gray"
        key = next(key for key in golden if key.startswith(f"{case}/") and key.endswith(f"_{name}"))
        wanted = decode_datum(golden[key].tobytes())[0].transpose(1, 2, 0)
    found = read_picture(str(FOLDER / "pictures" / name), color=color)
    np.testing.assert_array_equal(found, wanted)


def test_transparency_is_forgotten_or_kept_as_a_fourth_channel() -> None:
    pixels = RANDOM.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    data = file(pixels)
    np.testing.assert_array_equal(decode_picture(data, color=True), pixels[:, :, 2::-1])
    np.testing.assert_array_equal(decode_picture(data, color=None), pixels[:, :, [2, 1, 0, 3]])
    gray = (pixels[:, :, :3].astype(int) * [9797, 19234, 3737]).sum(-1) >> 15
    np.testing.assert_array_equal(decode_picture(data, color=False)[:, :, 0], gray)


def test_a_gray_file_keeps_one_channel_when_nothing_is_forced() -> None:
    pixels = RANDOM.integers(0, 256, (5, 4), dtype=np.uint8)
    for data in (file(pixels), file(pixels, "JPEG")):
        assert decode_picture(data, color=None).shape == (5, 4, 1)
    np.testing.assert_array_equal(decode_picture(file(pixels), color=None)[:, :, 0], pixels)
    three = decode_picture(file(pixels), color=True)
    np.testing.assert_array_equal(three, pixels[:, :, None].repeat(3, 2))


def test_gray_with_transparency_forgets_it() -> None:
    pixels = RANDOM.integers(0, 256, (5, 4, 2), dtype=np.uint8)
    found = decode_picture(file(pixels), color=False)
    np.testing.assert_array_equal(found[:, :, 0], pixels[:, :, 0])


def test_other_files_become_gray_by_rounded_weights() -> None:
    pixels = RANDOM.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    wanted = ((pixels.astype(int) * [4899, 9617, 1868]).sum(-1) + 8192) >> 14
    np.testing.assert_array_equal(decode_picture(file(pixels, "BMP"), color=False)[:, :, 0], wanted)


def test_a_jpegs_gray_is_its_luminance_and_turned_like_its_picture() -> None:
    pixels = RANDOM.integers(0, 256, (3, 2, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    flat = file(pixels, "JPEG")
    luminance = simplejpeg.decode_jpeg(flat, "GRAY")
    np.testing.assert_array_equal(decode_picture(flat, color=False), luminance)
    turns = {3: luminance[::-1, ::-1], 6: luminance[::-1].transpose(1, 0, 2)}
    turns |= {5: luminance.transpose(1, 0, 2), 2: luminance[:, ::-1]}
    for orientation, wanted in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=95, exif=exif)
        np.testing.assert_array_equal(decode_picture(stream.getvalue(), color=False), wanted)
        lying = decode_picture(stream.getvalue(), color=None)
        np.testing.assert_array_equal(lying, decode_picture(flat, color=True))


@pytest.mark.parametrize("color", [True, False])
def test_four_inks_become_light_as_in_opencv(color: bool) -> None:
    pixels = RANDOM.integers(0, 256, (2, 2, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    data = file(pixels, "JPEG", "CMYK")
    stored = simplejpeg.decode_jpeg(data, "CMYK").astype(int)
    light = stored[:, :, 3:] - ((255 - stored[:, :, :3]) * stored[:, :, 3:] >> 8)
    wanted = light[:, :, ::-1]
    if not color:
        wanted = ((light * [4899, 9617, 1868]).sum(-1, keepdims=True) + 8192) >> 14
    np.testing.assert_array_equal(decode_picture(data, color=color), wanted)


def test_sixteen_bits_are_cut_where_a_colour_is_asked_for_and_refused_otherwise() -> None:
    pixels = RANDOM.integers(0, 2**16, (5, 4), dtype=np.uint16)
    found = decode_picture(file(pixels), color=False)[:, :, 0]
    np.testing.assert_array_equal(found, pixels >> 8)
    with pytest.raises(TextError, match=r"key 7 has 16 bits a channel; 8 are read here"):
        decode_picture(file(pixels), color=None, name="key 7")


def test_what_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(TextError, match=r"key 7: this is no known picture"):
        decode_picture(b"nothing", color=True, name="key 7")


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(TextError, match=r"cta.png cannot be read: No such file.*'cat.png'"):
        read_bytes(str(tmp_path / "cta.png"))
    with pytest.raises(TextError, match=r"cat.png the file is empty"):
        read_picture(str(tmp_path / "cat.png"))
