"""The process that decodes pictures which strangers sent; it can die without harm to the server.

A parent that has imported the decoder forks a child for each worker that is asked for; the child
has little memory, can open no file and start no program, and serves one connection until that
closes. Forking takes milliseconds where starting Python anew takes a second. Torch is not imported.

    control, both ways   fork, with the worker's socket attached -> its process number
                         end, with a process number -> how it ended (a signal's number, or 0)
    a worker             shorter side wanted, length, bytes -> height, width, RGB bytes
                                                             or  0, length, why it was refused

All numbers are unsigned and little-endian, four bytes each.
"""

import array
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from alexnet.data.image import ImageError, ImageLimits, decode

Decode = Callable[[bytes, int], npt.NDArray[np.uint8]]

NUMBER, NUMBERS = struct.Struct("<I"), struct.Struct("<II")
FORK, END = 1, 2
LIMITS = ImageLimits(max_side=20_000, max_pixels=50_000_000, max_bytes=20_000_000)
"""What an upload may ask for: half of what a training set's picture may."""
MEMORY_BYTES = 1_500_000_000
"""Address space that a worker may have beyond what it begins with: 50 million pixels as RGBA, RGB
and what is made of them on the way."""
WARMING_SIDE = 8


def main(decode: Decode | None = None) -> None:
    """Serve the control connection on standard input until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer
    chosen = decode or decode_upload
    if decode is None:
        _warm_up()
    control = socket.socket(fileno=os.dup(0))
    workers: set[int] = set()
    try:
        while message := _receive(control, NUMBERS.size):
            (order, number), descriptors = NUMBERS.unpack(message[0]), message[1]
            if order == FORK:
                number = _fork(descriptors[0], control, chosen)
                workers.add(number)
            else:
                number = _end(number) if number in workers else 0
                workers.discard(number)
            for each in descriptors:
                os.close(each)
            control.sendall(NUMBER.pack(number))
    finally:
        for process in workers:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def decode_upload(data: bytes, at_least: int) -> npt.NDArray[np.uint8]:
    """Decode a picture within the limits for uploads.

    Raises: ImageError when it is none, or asks for more.
    """
    return decode(data, limits=LIMITS, at_least=at_least)


def work(connection: socket.socket, decode: Decode) -> None:
    """Decode what comes over a connection until it closes."""
    while len(head := receive_exactly(connection, NUMBERS.size)) == NUMBERS.size:
        at_least, length = NUMBERS.unpack(head)
        data = receive_exactly(connection, length)
        if len(data) != length:
            return
        try:
            pixels = np.ascontiguousarray(decode(bytes(data), at_least))
        except ImageError as error:
            _say(connection, str(error))
        except MemoryError:
            _say(connection, "decoding the picture takes more memory than an upload may have")
        else:
            connection.sendall(NUMBERS.pack(*pixels.shape[:2]))
            connection.sendall(pixels.data.cast("B"))


def receive_exactly(connection: socket.socket, length: int) -> bytearray:
    """Return so many bytes, or fewer if the other side closes."""
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = connection.recv_into(view[filled:])
        if count == 0:
            break
        filled += count
    view.release()
    del data[filled:]
    return data


def _say(connection: socket.socket, reason: str) -> None:
    text = reason.encode()
    connection.sendall(NUMBERS.pack(0, len(text)) + text)


def _receive(control: socket.socket, length: int) -> tuple[bytes, list[int]] | None:
    """Return a message and the descriptors that came with it, or None at the end."""
    room = socket.CMSG_SPACE(array.array("i").itemsize)
    data, ancillary, _, _ = control.recvmsg(length, room)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return (data, descriptors.tolist()) if len(data) == length else None


def _fork(descriptor: int, control: socket.socket, decode: Decode) -> int:
    """Start a worker on a connection and return its process number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:  # never return into the parent's loop
        control.close()
        connection = socket.socket(fileno=descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _limit(descriptor)
        work(connection, decode)
        status = 0
    finally:
        os._exit(status)


def _limit(highest: int) -> None:
    """Take from this process what decoding does not need, for good."""
    pages = 0
    with suppress(FileNotFoundError), open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    memory = pages * resource.getpagesize() + MEMORY_BYTES
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, highest + 1),
    ):
        resource.setrlimit(kind, (most, most))


def _end(process: int) -> int:
    """End a worker and return the signal that it died of, 0 if it ended by itself."""
    ended, status = os.waitpid(process, os.WNOHANG)
    if not ended:
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _warm_up() -> None:
    """Decode a little of each format: what the decoders load late, a worker could not open."""
    import io

    from PIL import Image

    picture = Image.new("RGB", (WARMING_SIDE, WARMING_SIDE), "gray")
    for name in ("JPEG", "PNG", "BMP", "GIF", "WEBP"):
        data = io.BytesIO()
        picture.save(data, name)
        decode_upload(data.getvalue(), WARMING_SIDE)
    with suppress(ImageError):
        decode_upload(b"no picture", WARMING_SIDE)


if __name__ == "__main__":
    main()
