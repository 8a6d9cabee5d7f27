"""What a person sees while a net trains: a bar on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class Meter:
    """Counts pictures, seconds and seconds spent waiting for data between two reports."""

    def __init__(self) -> None:
        self._started_at = self._last_at = time.perf_counter()
        self._pictures = 0
        self._waited_seconds = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting for data."""
        began_at = time.perf_counter()
        yield
        self._waited_seconds += time.perf_counter() - began_at

    def add(self, pictures: int) -> float:
        """Count pictures that were trained on; return the seconds since the last call."""
        self._pictures += pictures
        last_at, self._last_at = self._last_at, time.perf_counter()
        return self._last_at - last_at

    def read(self) -> tuple[float, float]:
        """Return images per second and the share of time spent waiting, and start anew."""
        elapsed_seconds = max(time.perf_counter() - self._started_at, 1e-9)
        speed = self._pictures / elapsed_seconds
        share = min(self._waited_seconds / elapsed_seconds, 1.0)
        self._started_at, self._pictures, self._waited_seconds = time.perf_counter(), 0, 0.0
        return speed, share


class Display:
    """Shows where a run stands; a terminal that was closed meanwhile ends no run."""

    def __init__(self, total_steps: int, total_epochs: int) -> None:
        self._total_steps, self._epochs = total_steps, total_epochs
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[news]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=total_steps, news="")

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._bar.stop()

    def step(self, step: int, epoch: int) -> None:
        """Move the bar."""
        with suppress(OSError):
            self._bar.update(
                self._task, completed=step, description=f"epoch {epoch + 1}/{self._epochs}"
            )

    def report(self, step: int, values: dict[str, float], *, seconds_left: float) -> None:
        """Show the figures since the last report."""
        speed, wait = values["images_per_second"], values["wait_share"]
        left = _duration(seconds_left)
        news = (
            f"loss {values['loss']:.3f}  lr {values['lr']:.2g}  {speed:.0f} img/s  "
            f"{left} left  waiting {wait:.0%}"
        )
        with suppress(OSError):
            self._bar.update(self._task, news=news)
        if self._bar.disable:
            self.say(f"update {step}/{self._total_steps}  {news}")

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        with suppress(OSError):
            if self._bar.disable:
                print(text, file=sys.stderr, flush=True)
            else:
                self._bar.console.print(text, highlight=False)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
