"""One thread that computes, and the queue before it: pictures are answered in batches.

A batch is what has come when the thread is free, at most `most` pictures for one net. The thread
waits some milliseconds for more only while pictures are on their way (being decoded), so that a
lone request waits for nobody. Other work, such as Grad-CAM, takes its turn between batches. The
sums of a picture's answer do not depend on what else is in its batch but for their order.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
CLOSE_SECONDS = 10.0
NICENESS = 5
"""By how much the system should prefer the thread that reads requests and refuses them."""


@dataclass(frozen=True)
class _Waiting(Generic[T]):
    """A picture or a piece of other work in the queue."""

    work: Callable[[Sequence[Any]], Sequence[Any]]
    """What answers it: of equal ones, many are answered at once."""
    picture: Any
    alone: bool
    future: Future[Any] = field(default_factory=Future)


class ComputeThread:
    """Runs all that computes, one thing at a time, in the order in which it comes."""

    def __init__(self, *, most: int = 32, linger_seconds: float = 0.004) -> None:
        self.most, self.linger_seconds = most, linger_seconds
        self.batches = 0
        """Batches of pictures so far."""
        self.answered = 0
        """Pictures in them."""
        self.seconds = 0.0
        """Seconds that they took."""
        self.on_their_way = 0
        """Pictures that will be in the queue soon; the callers count them."""
        self._queue: deque[_Waiting[Any]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)
        self._thread.start()

    def answer(self, work: Callable[[Sequence[Any]], Sequence[Any]], picture: Any) -> "Future[Any]":
        """Queue a picture; `work` turns pictures into as many answers, and is shared by a batch.

        Raises: RuntimeError if the thread is closing.
        """
        return self._add(_Waiting(work, picture, alone=False))

    def run(self, work: Callable[[], T]) -> "Future[T]":
        """Queue a piece of other work.

        Raises: RuntimeError if the thread is closing.
        """
        return self._add(_Waiting(lambda _: (work(),), None, alone=True))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Finish what is queued, and end; what takes longer ends with the process."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def seconds_for(self, pictures: int) -> float:
        """Return how long so many pictures may take, by those that were answered."""
        each = self.seconds / self.answered if self.answered else 0.05
        return pictures * each

    def _add(self, waiting: _Waiting[Any]) -> "Future[Any]":
        with self._changed:
            if self._closing:
                raise RuntimeError("the server is stopping")
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.future

    def _run(self) -> None:
        _step_behind()
        while batch := self._next():
            started = time.perf_counter()
            live = [each for each in batch if each.future.set_running_or_notify_cancel()]
            if not live:
                continue
            try:
                found = live[0].work([each.picture for each in live])
                for each, answer in zip(live, found, strict=True):
                    each.future.set_result(answer)
            except Exception as error:  # whatever it is, the thread goes on
                for each in live:
                    if not each.future.done():
                        each.future.set_exception(error)
            if not live[0].alone:
                self.batches += 1
                self.answered += len(live)
                self.seconds += time.perf_counter() - started

    def _next(self) -> list[_Waiting[Any]]:
        """Wait for work and return what is to be done at once; nothing at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            if not self._queue:
                return []
            first = self._queue.popleft()
            batch = [first]
            deadline = time.monotonic() + self.linger_seconds
            while not first.alone and len(batch) < self.most:
                if self._queue:
                    if self._queue[0].alone or self._queue[0].work != first.work:
                        break
                    batch.append(self._queue.popleft())
                    continue
                left = deadline - time.monotonic()
                if left <= 0 or self.on_their_way <= 0 or self._closing:
                    break
                self._changed.wait(left)
            return batch


def _step_behind() -> None:
    """Let other threads go first, and so those that this one starts; where threads have ranks."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
