"""Pictures that strangers sent, decoded in processes that may die: the server's side of `decoder`.

A worker that crashes, takes too long or answers nonsense is ended and another takes its place; the
picture that it had is refused, and no other request notices. What a worker sends back is not
trusted either: its sizes are checked before memory is set aside.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from alexnet.data.image import ImageError, Picture
from alexnet.serve.decoder import END, FORK, LIMITS, NUMBER, NUMBERS

COMMAND = (sys.executable, "-m", "alexnet.serve.decoder")
KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
LONGEST_REASON = 10_000
START_SECONDS = 60.0
SENT_AT_ONCE = 2**20


class DecoderDied(ImageError):
    """The decoder crashed or was ended over this picture."""


@dataclass
class _Worker:
    """A process that decodes, and the way to it."""

    process: int
    connection: socket.socket
    served: int = 0


class DecoderPool:
    """Decodes pictures in other processes, `workers` at a time; safe to use from several threads.

    A worker is replaced after `most` pictures, so that what a decoder leaks stays small.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        seconds: float = 10.0,
        most: int = 1000,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.workers, self.seconds, self.most = workers, seconds, most
        self.deaths = 0
        """Workers that had to be ended, or ended themselves."""
        self._command = command
        self._lock = threading.Lock()  # over the control connection
        self._control: socket.socket | None = None
        self._parent: subprocess.Popen[bytes] | None = None
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)  # a place whose worker is started when it is needed

    def decode(self, data: bytes, *, at_least: int) -> Picture:
        """Decode a picture; waits for a worker that is free.

        Raises:  ImageError when it is refused; DecoderDied, which is one, when the worker did not
                 survive it; OSError when no worker can be started.
        """
        place = self._idle.get()
        worker, kept = place, False
        try:
            worker = place or self._start()
            picture = self._ask(worker, data, at_least)
            kept = True
            return picture
        except DecoderDied:
            raise
        except ImageError:  # the worker itself is well
            kept = True
            raise
        finally:
            if worker is not None:
                worker.served += 1
                if not kept or worker.served >= self.most:
                    self._end(worker)
                    worker = None
            self._idle.put(worker)

    def warm_up(self) -> None:
        """Start the processes before the first picture comes."""
        places = [self._idle.get() for _ in range(self.workers)]
        for place in places:
            self._idle.put(place or self._start())

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            if self._control is not None:
                self._control.close()  # at which the parent ends the workers and itself
                self._control = None
            if self._parent is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._parent.wait(5)
                self._parent.kill()
                self._parent.wait()
                self._parent = None
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                worker.connection.close()

    def _ask(self, worker: _Worker, data: bytes, at_least: int) -> Picture:
        deadline = time.monotonic() + self.seconds
        link = worker.connection
        try:
            link.settimeout(self.seconds)
            link.sendall(NUMBERS.pack(at_least, len(data)))
            link.sendall(data)
            height, width = NUMBERS.unpack(_receive(link, NUMBERS.size, deadline))
            if height == 0 and width <= LONGEST_REASON:
                raise ImageError(bytes(_receive(link, width, deadline)).decode(errors="replace"))
            # upright() may have swapped the sides
            if max(height, width) <= LIMITS.max_side and 0 < height * width <= LIMITS.max_pixels:
                pixels = _receive(link, height * width * 3, deadline)
                return np.frombuffer(pixels, dtype=np.uint8).reshape(height, width, 3)
        except TimeoutError:
            self.deaths += 1
            raise DecoderDied(
                f"decoding took longer than {self.seconds:g} s; make the picture smaller, or save "
                "it anew"
            ) from None
        except OSError:
            pass
        self.deaths += 1
        raise DecoderDied("the decoder did not survive this picture; save it anew as JPEG or PNG")

    def _start(self) -> _Worker:
        """Start a worker, and the parent of all workers if there is none.

        Raises: OSError if the parent cannot be started or does not answer.
        """
        with self._lock:
            if self._control is not None:
                try:
                    return _fork(self._control)
                except OSError:  # it has died since; a new one takes its place
                    self._forget_parent()
            try:
                return _fork(self._start_parent())
            except OSError:
                self._forget_parent()
                raise

    def _end(self, worker: _Worker) -> None:
        worker.connection.close()
        with self._lock:
            if self._control is None:
                return
            try:
                self._control.sendall(NUMBERS.pack(END, worker.process))
                _receive(self._control, NUMBER.size, _soon())
            except OSError:
                self._forget_parent()

    def _start_parent(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        environment["OPENBLAS_NUM_THREADS"] = "1"  # whose threads would not survive the fork
        with theirs:
            self._parent = subprocess.Popen(
                self._command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=environment
            )
        self._control = ours
        return ours

    def _forget_parent(self) -> None:
        """Give a parent up that does not answer; the next worker gets a new one."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._parent is not None:
            self._parent.send_signal(signal.SIGKILL)
            self._parent.wait()
            self._parent = None


def _fork(control: socket.socket) -> _Worker:
    """Let the parent start a worker.

    Raises: OSError if it does not.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            socket.send_fds(control, [NUMBERS.pack(FORK, 0)], [theirs.fileno()])
            process = NUMBER.unpack(_receive(control, NUMBER.size, _soon()))[0]
        except OSError:
            ours.close()
            raise
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AT_ONCE)
    return _Worker(process, ours)


def _soon() -> float:
    return time.monotonic() + START_SECONDS


def _receive(link: socket.socket, length: int, deadline: float) -> bytearray:
    """Return so many bytes.

    Raises: TimeoutError after the deadline, ConnectionError if the other side closes.
    """
    data = bytearray(length)
    filled = 0
    with memoryview(data) as view:
        while filled < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            link.settimeout(left)
            count = link.recv_into(view[filled:])
            if count == 0:
                raise ConnectionError("the other side has closed")
            filled += count
    return data
