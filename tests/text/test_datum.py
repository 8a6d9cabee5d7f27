import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from alexnet.data.databases import open_database
from alexnet.text import wire
from alexnet.text.datum import Pixels, decode_datum, make_datum, make_encoded_datum
from alexnet.text.message import Message, TextError

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


def golden(name: str) -> dict[bytes, bytes]:
    with open_database(GOLDEN / name) as database:
        return dict(database)


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


# ---- Databases of the original ------------------------------------------------------------------


def test_raw_pixels_of_the_original_are_those_of_the_picture() -> None:
    pixels, label = decode_datum(golden("raw_lmdb")[b"00000002_p2.png"])
    picture = np.asarray(Image.open(GOLDEN / "pics" / "p2.png"))
    np.testing.assert_array_equal(pixels, picture[:, :, ::-1].transpose(2, 0, 1))
    assert label == 2


def test_encoded_pictures_decode_to_the_pixels_that_opencv_decoded() -> None:
    raw, encoded = golden("raw_lmdb"), golden("encoded_lmdb")
    for key, value in encoded.items():
        expected, expected_label = decode_datum(raw[key])
        pixels, label = decode_datum(value, color=True)
        np.testing.assert_array_equal(pixels, expected)
        assert label == expected_label
    gray, _ = decode_datum(encoded[b"00000004_p4.png"])
    np.testing.assert_array_equal(gray, decode_datum(raw[b"00000004_p4.png"])[0][:1])


def test_gray_of_encoded_pictures_is_that_of_opencv_to_one_level() -> None:
    gray, encoded = golden("gray_lmdb"), golden("encoded_lmdb")
    for key, value in encoded.items():
        pixels, _ = decode_datum(value, color=False)
        expected, _ = decode_datum(gray[key])
        assert pixels.shape == (1, 8, 8)
        # OpenCV weighs a JPEG's or a PNG's pixels in the file's own library.
        assert np.abs(pixels.astype(int) - expected.astype(int)).max() <= 1


def test_floats_of_protoc_are_read() -> None:
    pixels, label = decode_datum((GOLDEN / "datum.bin").read_bytes())
    expected = np.array([[[0.5, -1.25, 3]], [[1e10, 0.1, -0.0]]], np.float32)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype == np.float32
    assert label == 7


def test_what_we_write_is_byte_for_byte_what_the_original_wrote() -> None:
    for value in golden("raw_lmdb").values():
        assert make_datum(*decode_datum(value)) == value
    for key, value in golden("encoded_lmdb").items():
        picture = (GOLDEN / "pics" / key.decode().split("_")[1]).read_bytes()
        assert make_encoded_datum(picture, decode_datum(value)[1]) == value


# ---- Our own ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_odd_shapes_survive(kind: str) -> None:
    values = np.arange(105).reshape(7, 5, 3).T
    pixels: Pixels = values.astype(np.uint8) if kind == "uint8" else values.astype(np.float32)
    again, label = decode_datum(make_datum(pixels, -3))
    np.testing.assert_array_equal(again, pixels)
    assert again.dtype == kind
    assert label == -3


def test_colour_comes_as_blue_green_red() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[:] = 10, 20, 30
    pixels, label = decode_datum(make_encoded_datum(png(picture), 1))
    assert pixels[:, 0, 0].tolist() == [30, 20, 10]
    assert pixels.shape == (3, 2, 3)
    assert label == 1


@pytest.mark.parametrize(("color", "channels"), [(None, 1), (True, 3), (False, 1)])
def test_a_gray_picture_has_as_many_channels_as_asked_for(
    color: bool | None, channels: int
) -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    jpeg = simplejpeg.encode_jpeg(picture[:, :, None], quality=100, colorspace="GRAY")
    for data in (png(picture), jpeg):
        pixels, _ = decode_datum(make_encoded_datum(data, 0), color=color)
        assert pixels.shape == (channels, 8, 8)
        assert np.abs(pixels.astype(int) - picture).max() <= 1


@pytest.mark.parametrize(("form", "channels"), [("BMP", 3), ("PNG", 3), ("JPEG", 3)])
def test_a_colour_picture_keeps_its_channels(form: str, channels: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (4, 2), (200, 100, 50)).save(file, form)
    pixels, _ = decode_datum(make_encoded_datum(file.getvalue(), 0))
    assert pixels.shape == (channels, 2, 4)
    assert np.abs(pixels[:, 0, 0].astype(int) - [50, 100, 200]).max() <= 2


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({}, "a datum is 0 x 0 x 0; each must be 1 to 65536"),
        ({"channels": -1, "height": 2, "width": 2}, "a datum is -1 x 2 x 2; each must be 1 to"),
        ({"channels": 2**30, "height": 2**30, "width": 2**30}, "each must be 1 to 65536"),
        (
            {"channels": 3, "height": 2, "width": 2, "data": b"12345"},
            "a datum of 3 x 2 x 2 needs 12 values, but holds 5; make the database again",
        ),
        ({"channels": 1, "height": 1, "width": 2, "float_data": [1.0]}, "needs 2 .* holds 1"),
        ({"channels": 1, "height": 1, "width": 2}, "needs 2 values, but holds 0"),
        ({"encoded": True}, "the file is empty"),
        ({"encoded": True, "data": b"GARBAGE"}, "this is no known"),
    ],
)
def test_datums_that_are_none_are_refused(values: dict[str, object], match: str) -> None:
    with pytest.raises(TextError, match=rf"^train_lmdb, 00000007: .*{match}"):
        decode_datum(wire.encode(Message("Datum", values)), source="train_lmdb, 00000007")


def test_a_jpeg_with_a_lost_end_gives_its_readable_part_as_in_opencv() -> None:
    picture = np.full((64, 64, 3), 90, np.uint8)
    jpeg = simplejpeg.encode_jpeg(picture, quality=90, colorspace="RGB")
    pixels, _ = decode_datum(make_encoded_datum(jpeg[:-2], 0))
    assert np.abs(pixels.astype(int) - 90).max() <= 2


RAW = make_datum(np.arange(30, dtype=np.uint8).reshape(2, 3, 5), 300)


@pytest.mark.parametrize(
    "value",
    [
        RAW,
        RAW[:-2],  # without "encoded: false"
        RAW[:-2] + b"\x38\x80\x00",
        RAW[-2:] + RAW[:-2],
        RAW[:-5] + b"\x28\x81\x80\x80\x80\x10",  # a label of five bytes
        RAW + b"\x28\x07",  # the last label counts
        memoryview(RAW),
    ],
)
def test_raw_datums_of_any_form_are_read(value: bytes | memoryview) -> None:
    message = wire.decode(value, "Datum")
    pixels, label = decode_datum(value)
    assert pixels.tolist() == np.arange(30).reshape(2, 3, 5).tolist()
    assert label == message["label"]


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 20), st.integers(0, 255), st.integers(0, 60))
def test_damaged_raw_datums_are_refused_or_read_as_they_say(
    place: int, byte: int, cut: int
) -> None:
    data = bytearray(RAW)
    data[place if place < 10 else place - 20] = byte
    value = bytes(data[: len(data) - cut] if cut < len(data) else data)
    try:
        message = wire.decode(value, "Datum")
    except TextError:
        with pytest.raises(TextError):
            decode_datum(value)
        return
    try:
        pixels, label = decode_datum(value)
    except TextError:
        return
    shape = (message["channels"], message["height"], message["width"])
    assert (pixels.shape, label) == (shape, message["label"])
    if "float_data" not in message:
        assert pixels.tobytes() == message["data"]
