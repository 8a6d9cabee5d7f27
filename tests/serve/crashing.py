"""A decoder process for tests: it dies of magic pictures in the ways that decoders die."""

import ctypes
import os
import signal
import time

import numpy as np
from numpy.typing import NDArray

from alexnet.serve.decoder import decode_upload, main


def decode(data: bytes, at_least: int) -> NDArray[np.uint8]:
    """Decode a picture, or do what its first bytes say."""
    if data.startswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"null"):
        ctypes.string_at(0)
    if data.startswith(b"exit"):
        os._exit(0)
    if data.startswith(b"sleep"):
        time.sleep(600)
    if data.startswith(b"memory"):
        return np.ones((100_000, 100_000), dtype=np.uint8)
    if data.startswith(b"open"):
        with open(__file__, "rb"):
            pass
    if data.startswith(b"large"):
        return np.zeros((1, 20_001, 3), dtype=np.uint8)
    if data.startswith(b"odd"):
        raise KeyError("a decoder may raise anything")
    return decode_upload(data, at_least)


if __name__ == "__main__":
    main(decode)
