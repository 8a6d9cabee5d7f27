"""Fixtures for the server: one on 127.0.0.1, in a thread, with an untrained tiny model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from alexnet.serve.bodies import Limits
from alexnet.serve.wire import Connection
from tests.serve.browser import open_browser
from tests.serve.live import Live, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module", autouse=True)
def in_float32() -> Iterator[None]:
    """Let the server compute in float32 on every machine: its answers are compared with others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alexnet.serve.models.choose_dtype", lambda name, device: torch.float32)
        yield


@pytest.fixture(scope="module")
def runs_folder(tiny_net: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run of the tiny net."""
    return start_folder(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def live(runs_folder: Path) -> Iterator[Live]:
    """Return a server that runs while a module's tests do."""
    with start(runs_folder) as running:
        yield running


@pytest.fixture(scope="module")
def served(runs_folder: Path) -> Iterator[Live]:
    """Return a server with the limits that users meet, while a module's tests run."""
    with start(runs_folder, limits=Limits(), connection=Connection) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Return Chromium, open while a module's tests run."""
    with open_browser() as opened:
        yield opened


def start_folder(folder: Path) -> Path:
    """Write a run and the pictures that it was validated on."""
    from tests.serve.live import write_run

    write_run(folder)
    return folder / "runs"
