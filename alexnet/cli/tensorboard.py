"""`alexnet tensorboard`: journals of runs as event files, which TensorBoard draws."""

import time
from contextlib import suppress
from pathlib import Path

from alexnet.cli.tables import note

EVERY_SECONDS = 5.0


def tensorboard(*runs: Path, out: Path | None = None, follow: bool = False) -> int:
    """Write the journals of runs as event files: tensorboard --logdir then draws their curves.

    Parameters
    ----------
    runs
        Folders of runs, or one folder that has some in it.
    out
        Folder to write into, with a folder for each run; without it each run gets its own.
    follow
        Go on adding what is new every 5 seconds, until Ctrl-C.
    """
    if not runs:
        raise ValueError("no run given; name the folders of some: alexnet tensorboard runs/*")
    from alexnet.training.tensorboard import JOURNAL, write_events

    chosen = [each for run in runs for each in _runs_in(run, JOURNAL)]
    for run in chosen:
        path, count = write_events(run, out)
        print(f"{path}: {count:,} numbers")
    shown = out or (chosen[0].parent if len({run.parent for run in chosen}) == 1 else Path())
    print(f"to look: tensorboard --logdir {shown}")
    if follow:
        note("following; Ctrl-C ends it")
    with suppress(KeyboardInterrupt):
        while follow:
            time.sleep(EVERY_SECONDS)
            for run in chosen:
                write_events(run, out)
    return 0


def _runs_in(folder: Path, journal: str) -> list[Path]:
    """Return a run, or the runs in a folder of runs; what is neither is refused later, by name."""
    inside = [] if (folder / journal).is_file() else sorted(folder.glob(f"*/{journal}"))
    return [path.parent for path in inside] or [folder]
