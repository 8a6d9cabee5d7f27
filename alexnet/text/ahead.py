"""Batches made ahead by a thread, in their order, while the net works.

Source: BVLC Caffe, src/caffe/layers/base_data_layer.cpp (`prefetch` batches, 4 by default). There a
thread waits for the process to end; here a batch is asked for when one is taken, and the thread
sleeps in between.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Batch = TypeVar("Batch")


class Ahead(Generic[Batch]):
    """Takes batches from a function, called by one thread alone, some calls ahead."""

    def __init__(self, load: Callable[[], Batch], depth: int) -> None:
        """Prepare; the first call of `load` waits for the first batch to be taken."""
        self._load, self._depth = load, max(depth, 1)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._waiting: deque[Future[Batch]] = deque()

    def take(self) -> Batch:
        """Return the next batch; what its loading raised is raised here, again and again."""
        while len(self._waiting) <= self._depth:
            self._waiting.append(self._pool.submit(self._load))
        batch = self._waiting[0].result()
        self._waiting.popleft()
        return batch

    def close(self) -> None:
        """Drop the batches made ahead and end the thread."""
        self._pool.shutdown(cancel_futures=True)
        self._waiting.clear()
