"""The ledger: what became of every picture that is listed, epoch by epoch.

    listed = used + skipped + refused + not reached

Refused are pictures that turned out bad in the epoch; each is named once, with its reason, in the
line of that epoch. Skipped are those that had been refused before. Not reached are those behind the
place where the last epoch ended. Counts are sums over all processes, and depend neither on their
number nor on that of their threads. A picture that is kept decoded in memory stays in use, whatever
becomes of its file.
"""

from alexnet.data.loader import Batch
from alexnet.training.checkpoint import Position
from alexnet.training.journal import Journal


def begin(position: Position, journal: Journal, *, listed: int, bad: dict[str, str]) -> None:
    """Write what became of the pictures when the statistics were taken, and remember the bad."""
    position.bad = dict(bad)
    used = listed - len(bad)
    journal.write("statistics", 0, listed=listed, used=used, refused=len(bad), files=bad)


def take_in(position: Position, batch: Batch) -> None:
    """Count the pictures of a batch, over all processes, once it has been trained on."""
    position.used += batch.whole
    position.skipped += batch.skipped
    position.refused.update(batch.refused)
    position.index = batch.end


def close_epoch(position: Position, journal: Journal, *, listed: int, epoch: float) -> None:
    """Write the line of an epoch that has ended, at its end or where the run ends inside it."""
    journal.write(
        "epoch",
        position.step,
        epoch=epoch,
        listed=listed,
        used=position.used,
        skipped=position.skipped,
        refused=len(position.refused),
        not_reached=listed - position.index,
        files=position.refused,
    )
    position.bad.update(position.refused)
    position.used, position.skipped, position.refused = 0, 0, {}
