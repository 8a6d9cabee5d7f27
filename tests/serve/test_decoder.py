"""The decoder's process: its limits for uploads, and its side of the connection."""

import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.data.image import ImageError, decode
from alexnet.serve.decoder import NUMBERS, decode_upload, receive_exactly, work
from tests.data.test_image import png
from tests.serve.live import jpeg


def served(decode: object, *requests: bytes) -> bytes:
    """Return what a worker sends back for requests, then the end."""
    ours, theirs = socket.socketpair()
    worker = threading.Thread(target=work, args=(theirs, decode))
    worker.start()
    found = b""
    with ours, theirs:
        for request in requests:
            ours.sendall(request)
        ours.shutdown(socket.SHUT_WR)
        worker.join()
        theirs.close()
        while piece := ours.recv(65_536):
            found += piece
    return found


def test_pixels_follow_their_height_and_width() -> None:
    data = jpeg(size=40)
    expected = decode(data, at_least=30)
    found = served(decode_upload, NUMBERS.pack(30, len(data)) + data)
    assert found == struct.pack("<II", *expected.shape[:2]) + expected.tobytes()


def test_a_reason_follows_a_height_of_zero() -> None:
    found = served(decode_upload, NUMBERS.pack(30, 0), NUMBERS.pack(30, 3) + b"abc")
    first = b"the file is empty"
    assert found[: 8 + len(first)] == struct.pack("<II", 0, len(first)) + first
    assert b"no known picture" in found


def test_memory_that_is_not_there_is_a_reason() -> None:
    def fail(_: bytes, __: int) -> NDArray[np.uint8]:
        raise MemoryError

    found = served(fail, NUMBERS.pack(30, 1) + b"x")
    assert found.endswith(b"takes more memory than an upload may have")


def test_half_a_request_gets_no_answer() -> None:
    assert served(decode_upload, NUMBERS.pack(30, 1000) + b"half") == b""
    assert served(decode_upload, b"\0\0\0") == b""


def test_an_upload_may_have_half_the_pixels_of_other_pictures() -> None:
    wide = png(8000, 8000, bits=8, color=0, rows=b"")
    with pytest.raises(ImageError, match="the limit is 20000 a side and 50000000 in all"):
        decode_upload(wide, 64)
    with pytest.raises(ImageError, match="20000001 bytes are too many; the limit is 20000000"):
        decode_upload(bytes(20_000_001), 64)


def test_receiving_ends_where_the_other_side_does() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(b"abc")
        assert receive_exactly(ours, 2) == b"ab"
        assert receive_exactly(ours, 5) == b"c"
        assert receive_exactly(ours, 5) == b""


def test_torch_is_not_imported_where_strangers_pictures_are() -> None:
    code = "import sys, alexnet.serve.decoder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
