"""The lock of a run folder: refused with the holder's name, free when the holder is gone."""

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.training.lock import LOCK, LockedError, hold

HOLDER = """
import sys, time
from pathlib import Path
from alexnet.training.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "held\n"
        message = (
            rf"run is in use: process {process.pid} on {re.escape(os.uname().nodename)}, since "
            r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d.* trains in it; wait until that has ended or stop it"
        )
        with pytest.raises(LockedError, match=message), hold(tmp_path / "run"):
            pass
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "run" / LOCK).exists()  # which nobody holds any more
    with hold(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), hold(tmp_path / "run"):
        raise ValueError("no")
    assert not (tmp_path / "run").exists()
    with hold(tmp_path / "run"):
        (tmp_path / "run" / "recipe.toml").write_text("")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.toml"]


@pytest.mark.parametrize("said", ["", "{", "[]", '{"pid": 3}'])
def test_a_holder_that_has_said_nothing_yet_is_another_process(tmp_path: Path, said: str) -> None:
    with (tmp_path / LOCK).open("w") as file:
        file.write(said)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(LockedError, match="is in use: another process trains in it"),
            hold(tmp_path),
        ):
            pass


def test_a_lock_file_that_its_holder_has_just_removed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    calls: list[int] = []

    def flock(descriptor: int, how: int) -> None:
        if not calls:  # between opening and locking
            (tmp_path / LOCK).unlink()
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert len(calls) == 2


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / "kept").touch()
    with hold(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"), hold(tmp_path / "file" / "run"):
        pass
