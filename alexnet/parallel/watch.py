"""Signs of life: a run whose processes wait for one that is gone ends, and says which it was.

A message that waits for a lost process can wait for minutes, and some libraries wait for ever. So
each process gives a sign every second through the store that all share, and looks for the others'.
When one has given none for some seconds, this process says so and ends at once, whatever it waits
for; torchrun then ends or restarts the others.
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
EXIT_CODE = 4
"""The command line's code for what is wrong with the environment."""


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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="signs of life")

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._rank == 0:  # the store may end with this process; the others still look at it
            until = time.monotonic() + LOST_AFTER_SECONDS
            while not self._all_left() and time.monotonic() < until:
                time.sleep(0.01)

    def _all_left(self) -> bool:
        signs = (self._store.get(f"{r}") if self._store.check([f"{r}"]) else b"" for r in self._all)
        return all(sign == b"left" for sign in signs)

    def _run(self) -> None:
        seen = dict.fromkeys(self._all, b"")
        seen_at = dict.fromkeys(self._all, time.monotonic())
        number = 0
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
            silent = {rank: time.monotonic() - at for rank, at in seen_at.items()}
            gone = [rank for rank, seconds in silent.items() if seconds > LOST_AFTER_SECONDS]
            if gone:
                names = ", ".join(map(str, gone))
                self._lost(
                    f"rank {names} of {self._size} gave no sign of life for "
                    f"{LOST_AFTER_SECONDS:.0f} seconds; go on with --resume, or start torchrun "
                    "with --max-restarts"
                )
                return
        self._store.set(f"{self._rank}", "left")
