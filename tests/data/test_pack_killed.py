"""A packing that is killed at any moment goes on and ends with the undisturbed one's bytes."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.data import pack as packing
from tests.conftest import MakePictures
from tests.data.packed import content, pack


def run_killed(folder: Path, out: Path, *, at: int) -> bool:
    """Pack in a process of its own, killed at its n-th write, flush or rename; True if it was."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pytest's threads do not matter here
        child = os.fork()
    if child == 0:
        count = 0

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object) -> object:
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments)

            return call

        os.fsync = counted(os.fsync)  # type: ignore[assignment]
        os.replace = counted(os.replace)  # type: ignore[assignment]
        packing._Span.fill = counted(packing._Span.fill)  # type: ignore[method-assign, assignment]
        try:
            pack(folder, out)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.fixture
def folder(pictures: MakePictures) -> Path:
    return pictures(per_class=4, size=24)


@pytest.mark.parametrize("per_class", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_a_kill_at_every_write_flush_and_rename_loses_nothing(
    pictures: MakePictures, tmp_path: Path, per_class: int
) -> None:
    folder = pictures(per_class=per_class, size=24)
    pack(folder, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    kills = 0
    while run_killed(folder, tmp_path / str(kills), at=kills + 1):
        pack(folder, tmp_path / str(kills))
        assert content(tmp_path / str(kills)) == whole
        kills += 1
    num_shards = len(list((tmp_path / "whole").glob("*.tar")))
    assert kills == 3 * per_class + 6 * num_shards + 3  # each picture, shard, and the index
    assert content(tmp_path / str(kills)) == whole


@pytest.mark.parametrize("at", [8, 13])
def test_a_chain_of_kills_loses_nothing(folder: Path, tmp_path: Path, at: int) -> None:
    pack(folder, tmp_path / "whole")
    kills = 0
    while run_killed(folder, tmp_path / "out", at=at + kills % 5):
        kills += 1
        assert kills < 20
    assert kills > 1
    assert content(tmp_path / "out") == content(tmp_path / "whole")
