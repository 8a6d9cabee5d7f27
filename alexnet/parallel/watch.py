"""Signs of life: a run whose processes wait for one that is gone ends, and says which it was.

A message that waits for a lost process can wait for minutes, and some libraries wait for ever. So
each process gives a sign every second through the store that all share, and looks for the others'.
When one has given none for some seconds, this process says so and ends at once, whatever it waits
for; torchrun then ends or restarts the others. A process that fails by itself leaves word of what
was wrong, and the others end with that.
"""

import os
import sys
import threading
import time
from collections.abc import Callable

from torch.distributed import DistError
from torch.distributed.distributed_c10d import Store

EVERY_SECONDS = 1.0
LOST_AFTER_SECONDS = 20.0
"""A process may be slow to answer, while it starts or writes."""
BROKEN_AFTER_SECONDS = 5.0
"""The same, once a message has failed."""
EXIT_CODE = 4
"""The command line's code for what is wrong with the environment."""


class PeerError(OSError):
    """Another process of the run is gone."""


def end(message: str) -> None:
    """Say why and end this process, whatever its other threads wait for."""
    print(f"alexnet: {message}", file=sys.stderr, flush=True)
    os._exit(EXIT_CODE)


class Watch:
    """Gives and awaits signs of life while it is entered.

    A rank that leaves in order says so, and is not missed. `lost` is called with the message.
    """

    def __init__(
        self, store: Store, *, rank: int, size: int, lost: Callable[[str], None] = end
    ) -> None:
        self._store: Store = store.clone()  # type: ignore[attr-defined]
        self._rank, self._size, self._lost = rank, size, lost
        self._all = range(size)
        self._limit, self._faulty = LOST_AFTER_SECONDS, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="signs of life")

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._rank == 0:  # the store may end with this process; the others still look at it
            self._wait_until(self._others_left, self._limit)

    def explain(self, error: Exception) -> Exception:
        """Return what to raise for an error of this process: its own, or that of another.

        A fault of its own is made known to the others first. A message that failed has a reason
        elsewhere: if that is a lost process, this one ends here, as in `lost`.
        """
        if not _is_of_message(error):
            self._faulty = True
            text = str(error) or type(error).__name__
            self._store.compare_set("fault", "", f"rank {self._rank}: {text}")
            self._wait_until(self._others_left, BROKEN_AFTER_SECONDS)
            return error
        self._limit = BROKEN_AFTER_SECONDS
        self._wait_until(lambda: not self._thread.is_alive(), 2 * BROKEN_AFTER_SECONDS)
        return PeerError(f"another process of the run has ended ({error}); see the others' logs")

    def _wait_until(self, holds: Callable[[], bool], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not holds() and time.monotonic() < until:
            time.sleep(EVERY_SECONDS / 10)

    def _others_left(self) -> bool:
        others = [f"{rank}" for rank in self._all if rank != self._rank]
        return all(
            self._store.check([each]) and self._store.get(each) == b"left" for each in others
        )

    def _run(self) -> None:
        seen = dict.fromkeys(self._all, b"")
        seen_at = dict.fromkeys(self._all, time.monotonic())
        number, fault = 0, ""
        while not self._stop.wait(EVERY_SECONDS):
            number += 1
            try:
                self._store.set(f"{self._rank}", f"{number}")
                for rank in self._all:
                    sign = self._store.get(f"{rank}") if self._store.check([f"{rank}"]) else b""
                    if sign != seen[rank] or sign == b"left":
                        seen[rank], seen_at[rank] = sign, time.monotonic()
            except DistError as error:
                self._lost(f"the process that all meet at is lost ({error}); start the run again")
                return
            if fault and not self._faulty:  # all may find the same, so there is a moment to say it
                self._store.set(f"{self._rank}", "left")
                if self._rank > 0:  # the first to end is whom torchrun blames
                    time.sleep(2 * EVERY_SECONDS)
                self._lost(fault)
                return
            fault = self._store.get("fault").decode() if self._store.check(["fault"]) else ""
            silent = {rank: time.monotonic() - at for rank, at in seen_at.items()}
            gone = [rank for rank, seconds in silent.items() if seconds > self._limit]
            if gone:
                names = ", ".join(map(str, gone))
                self._lost(
                    f"rank {names} of {self._size} gave no sign of life for "
                    f"{self._limit:.0f} seconds; go on with --resume, or start torchrun "
                    "with --max-restarts"
                )
                return
        self._store.set(f"{self._rank}", "left")


def _is_of_message(error: Exception) -> bool:
    """Return whether an error comes from a message to or from another process."""
    text = str(error).lower()
    return isinstance(error, DistError) or (
        type(error) is RuntimeError and ("gloo" in text or "nccl" in text)
    )
