"""What a file is by its first bytes; how each is refused stands in test_image_refused.py."""

import pytest

from alexnet.data.kinds import kind_of, misnamed
from tests.data.test_image import JPEG, PHOTO, PNG, encode

READ = {
    "JPEG": JPEG,
    "PNG": PNG,
    "GIF": encode(PHOTO, "GIF"),
    "WebP": encode(PHOTO, "WebP"),
    "BMP": encode(PHOTO, "BMP"),
}


@pytest.mark.parametrize("kind", READ)
def test_a_kind_that_is_read_is_known_by_its_start(kind: str) -> None:
    assert kind_of(READ[kind]) == kind
    assert kind_of(READ[kind][:16]) == kind


def test_text_is_known_in_any_case_and_behind_a_byte_order_mark() -> None:
    assert kind_of(b"\xef\xbb\xbf <HTML>") == "an HTML page (perhaps a failed download)"
    assert kind_of(b"") == "no known picture (it starts with b'')"


def test_a_signature_is_known_in_its_own_case_only() -> None:
    assert kind_of(b"bm and more") == "no known picture (it starts with b'bm and m')"


@pytest.mark.parametrize("kind", READ)
def test_a_name_that_says_another_kind_is_found(kind: str) -> None:
    own = {"JPEG": "a.JPEG", "PNG": "a.png", "GIF": "a.gif", "WebP": "a.webp", "BMP": "a.bmp"}
    found = {name: misnamed(name, READ[kind]) for name in own.values()}
    assert found == {name: "" if name == own[kind] else kind for name in own.values()}


def test_what_is_not_read_has_no_right_name() -> None:
    assert misnamed("a.jpg", b"%PDF-1.7") == ""
