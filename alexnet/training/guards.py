"""What stops a run that cannot succeed, before it has cost a night.

Each guard names what it saw and what to do. A stopped run keeps its last checkpoint.
"""

import math
import shutil
from collections import deque
from pathlib import Path

WINDOW = 5
SHARE = 0.01


class GuardStop(RuntimeError):
    """Training was stopped because it cannot succeed as it is."""


class RoomError(OSError):
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
        raise GuardStop(
            f"the loss is {loss} at update {step}: the weights have run away; "
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
