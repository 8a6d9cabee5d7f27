"""Fixtures for the server: one on 127.0.0.1, in a thread, with an untrained tiny model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.live import Live, start


@pytest.fixture(scope="module")
def runs_folder(tiny_net: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of the tiny net."""
    return start_folder(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def live(runs_folder: Path) -> Iterator[Live]:
    """Return a server that runs while a module's tests do."""
    with start(runs_folder) as running:
        yield running


def start_folder(folder: Path) -> Path:
    """Write a run and the pictures that it was validated on."""
    from tests.serve.live import write_run

    write_run(folder)
    return folder / "runs"
