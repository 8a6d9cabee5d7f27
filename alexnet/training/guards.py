"""What stops a run that cannot succeed, before it has cost a night.

Each guard names what it saw and what to do. A stopped run keeps its last checkpoint.
"""

import errno
import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from alexnet.training.interrupt import Interrupted, StopRequest

WINDOW = 5
SHARE = 0.01
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
RETRY_SECONDS = 10.0
"""How often a run that waits for room on the disk tries again."""


class GuardStop(RuntimeError):
    """Training was stopped because it cannot succeed as it is."""


class DiskError(OSError):
    """The disk refuses what the run must write."""


class RoomError(DiskError):
    """There is no room on the disk for what the run must write."""


class LossGuard:
    """Watches the mean loss of each report."""

    def __init__(self, classes: int, stuck_after: int) -> None:
        self._plateau = math.log(classes)
        self._stuck_after = stuck_after
        self._recent: deque[float] = deque(maxlen=WINDOW)

    def check(self, step: int, loss: float) -> None:
        """Take in the mean loss since the last report.

        Raises: GuardStop if it is not finite, or if after `stuck_after` updates none of the last
                five reports lies more than 1 % below ln(classes), the loss of a net that answers
                all pictures alike. Dropout and small batches keep it above.
        """
        check_finite(step, loss)
        self._recent.append(loss)
        stuck = min(self._recent) >= (1 - SHARE) * self._plateau
        if (
            self._stuck_after
            and step >= self._stuck_after
            and len(self._recent) == WINDOW
            and stuck
        ):
            raise GuardStop(
                f"the loss is {loss:.4f} at update {step} and has not left the plateau at "
                f"ln(classes) = {self._plateau:.4f}: the net answers every picture alike. "
                "The paper's initial weights do this on small sets; begin with --init normalised "
                "--divide-by 64, lower --lr to a fifth, or wait longer with --stuck-after 0"
            )


def check_finite(step: int, loss: float) -> None:
    """Make sure that the loss is a number, before a report and before weights are saved.

    Raises: GuardStop if it is not.
    """
    if not math.isfinite(loss):
        raise GuardStop(describe_loss(step, loss))


def describe_loss(step: int, loss: float, *, place: str = "", pictures: str = "") -> str:
    """Return what to say of a loss that is no number, with where it was lost, and over what."""
    where = f"; the first that is not finite is {place}" if place else ""
    over = f"; the batch is {pictures}" if pictures else ""
    return (
        f"the loss is {loss} at update {step}: the weights have run away{where}{over}; "
        "lower --lr, add --warmup-epochs 1 or --clip-norm 10"
    )


def check_room(folder: Path, needed_bytes: int) -> None:
    """Make sure that two checkpoints fit on the disk.

    Raises: RoomError with the bytes that are needed and free.
    """
    free = shutil.disk_usage(folder).free
    if free < 2 * needed_bytes:
        raise RoomError(
            f"{folder} has {free / 1e6:,.0f} MB free; two checkpoints need "
            f"{2 * needed_bytes / 1e6:,.0f} MB; free some space or choose another --out"
        )


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Patience:
    """How a run meets a disk that refuses: it waits for room, and for nothing else."""

    folder: Path
    """The run's."""
    minutes: float = 0.0
    """How long it waits."""
    say: Callable[[str], None] = _print
    """Where it says so."""
    stop: StopRequest = field(default_factory=StopRequest)
    """Whether somebody asks the run to stop, which ends the waiting."""

    def write(self, needed_bytes: int, attempt: Callable[[], None]) -> None:
        """Make an attempt to write, and again until there is room for it.

        An attempt that fails must leave things as they were.

        Raises: RoomError if there still is none after `minutes`, DiskError if the disk refuses for
                another reason, Interrupted if the run is asked to stop meanwhile.
        """
        ends_at = time.monotonic() + 60 * self.minutes
        is_waiting = False
        while True:
            try:
                attempt()
                break
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise DiskError(self._refusal(error)) from error
            left = ends_at - time.monotonic()
            missing = self._missing(needed_bytes)
            if left <= 0:
                waited = f" after {self.minutes:g} minutes of waiting" if self.minutes else ""
                raise RoomError(f"{missing}{waited}; free some space and {self._way_on()}")
            if not is_waiting:
                self.say(
                    f"{missing}; the run waits for room, for {self.minutes:g} minutes at most, "
                    f"and tries every {RETRY_SECONDS:g} seconds: free some space"
                )
                is_waiting = True
            self._sleep(min(left, RETRY_SECONDS), missing)
        if is_waiting:
            self.say("there is room again: the run goes on")

    def _sleep(self, seconds: float, missing: str) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.stop.reason:
                raise Interrupted(f"{self.stop.reason}: {missing}; free some and {self._way_on()}")
            time.sleep(min(left, 0.2))

    def _refusal(self, error: OSError) -> str:
        reason = (error.strerror or str(error)).lower()
        named = error.filename or self.folder
        return f"{named} cannot be written: {reason}; mend that and {self._way_on()}"

    def _missing(self, needed_bytes: int) -> str:
        free = shutil.disk_usage(self.folder).free
        return (
            f"{self.folder} has no room: {needed_bytes / 1e6:,.3g} MB are needed, "
            f"{free / 1e6:,.3g} MB are free on the disk"
        )

    def _way_on(self) -> str:
        return f"go on from the last checkpoint with: alexnet train --resume {self.folder}"
