"""A disk that is full, broken, read-only or gone: what was saved stays, the run goes on or ends.

Errors are put into the calls that the store makes; a small disk is mounted where that is allowed.
"""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet import store
from alexnet.cli import run as command
from alexnet.training import guards, loop, setup
from alexnet.training.checkpoint import Position, newest_good_checkpoint, save_checkpoint
from alexnet.training.guards import DiskError, RoomError
from alexnet.training.interrupt import Interrupted
from alexnet.training.journal import read_journal
from alexnet.training.progress import Display
from alexnet.training.recipe import Recipe
from tests.conftest import MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")
Capture = pytest.CaptureFixture[str]
Fails = Callable[[int], bool]
CALLS = ("open", "write", "fsync", "replace", "mkdir", "unlink", "rmdir")
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE")
MESSAGES = {
    "EIO": "cannot be written: input/output error; mend that and go on from the last checkpoint",
    "EROFS": "cannot be written: read-only file system; mend that and go on from the last",
    "EMFILE": "cannot be written: too many open files; mend that and go on from the last",
}


class Disk:
    """Counts the calls to the disk, and lets some of them fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails: Fails = lambda number: False
        self.error = errno.ENOSPC

    def check(self) -> None:
        self.calls += 1
        if self.fails(self.calls):
            raise OSError(self.error, os.strerror(self.error))

    @contextmanager
    def failing(self, fails: Fails, error: str = "ENOSPC") -> Iterator[None]:
        """Let the calls fail of which `fails` says so by number, from 1."""
        self.calls, self.fails, self.error = 0, fails, getattr(errno, error)
        try:
            yield
        finally:
            self.fails = lambda number: False


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()

    def checked(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, dir_fd: int | None = None) -> Any:
            found.check()
            return real(*args) if dir_fd is None else real(*args, dir_fd=dir_fd)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, checked(vars(os)[name]))
    return found


def save(folder: Path, step: int) -> None:
    weights = {"w": torch.full((9,), step), "b": torch.ones(2)}
    save_checkpoint(folder, Position(step=step), weights, {"w": torch.ones(9)}, ("a", "b"))


def good_steps(folder: Path) -> list[int]:
    """Return the checkpoints, each whole and with no file beside its own."""
    steps = []
    for path in sorted(folder.iterdir()):
        if path.name == "step-00000001" and not (path / store.MANIFEST).exists():
            continue  # what is being removed is a checkpoint no more
        content, _ = store.read(path)
        assert len(list(path.iterdir())) == 3, path
        steps.append(content["position"]["step"])
    return steps


def count_calls(disk: Disk, folder: Path) -> int:
    for step in (1, 2):
        save(folder, step)
    with disk.failing(lambda number: False):
        save(folder, 3)
        return disk.calls


@pytest.mark.parametrize("error", ERRORS)
def test_whichever_call_of_a_save_fails_the_one_before_is_good_and_nothing_is_left(
    disk: Disk, tmp_path: Path, error: str
) -> None:
    total = count_calls(disk, tmp_path / "counted")
    assert total > 20
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        for step in (1, 2):
            save(folder, step)
        failed = False
        with disk.failing(lambda n, number=number: n == number, error):  # type: ignore[misc]
            try:
                save(folder, 3)
            except OSError as found:
                failed = found.errno == getattr(errno, error)
        assert failed or newest_good_checkpoint(folder)[0].name == "step-00000003", number
        assert good_steps(folder)[-2:] in ([1, 2], [2, 3]), number
        save(folder, 3)
        assert good_steps(folder) == [2, 3]
        assert len(list(folder.iterdir())) == 2


def test_whenever_the_disk_is_gone_for_good_a_checkpoint_is_whole(
    disk: Disk, tmp_path: Path
) -> None:
    for number in range(1, count_calls(disk, tmp_path / "counted") + 1):
        folder = tmp_path / str(number)
        for step in (1, 2):
            save(folder, step)
        with disk.failing(lambda n, number=number: n >= number, "EIO"):  # type: ignore[misc]
            try:
                save(folder, 3)
            except OSError:
                assert disk.calls >= number
        assert newest_good_checkpoint(folder)[0].name in ("step-00000002", "step-00000003")


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    save(tmp_path, 1)
    assert store.read(tmp_path / "step-00000001")[1]["weights"]["w"].tolist() == [1.0] * 9


def test_bytes_that_come_back_otherwise_are_not_put_in_the_place_of_good_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    write = os.write

    def forgetful(descriptor: int, data: bytes) -> int:
        write(descriptor, bytes(len(data)) if len(data) == 8 else data)
        return len(data)

    monkeypatch.setattr(os, "write", forgetful)
    with pytest.raises(OSError, match=r"gives back other bytes than were written \(.*tensor 'b'"):
        save(tmp_path, 2)
    assert good_steps(tmp_path) == [1]


# ---- A whole run ------------------------------------------------------------------------------


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    return replace(tiny_recipe(pictures(per_class=10)), epochs=1, checkpoint_minutes=1e-9)


def outcome(run: Path) -> list[Any]:
    """Return what two runs have in common: tensors, positions, the journal's losses."""
    checkpoint, _ = newest_good_checkpoint(run / "checkpoints")
    content, groups = store.read(checkpoint)
    tensors = [tensor.tolist() for group in groups.values() for tensor in group.values()]
    model = [tensor.tolist() for tensor in store.read(run / "model")[1]["weights"].values()]
    lines = [(x["kind"], x["step"], x.get("loss")) for x in read_journal(run / "journal.jsonl")]
    return [content["position"]["step"], tensors, model, lines]


def train_with(disk: Disk, recipe: Recipe, folder: Path, fails: Fails, error: str) -> int:
    """Train with some calls failing after the start; return the number of calls."""
    run = setup.start(recipe, folder)
    with disk.failing(fails, error):
        loop.train(run)
    return disk.calls


def test_a_full_disk_is_waited_for_wherever_it_is_met_and_the_run_ends_the_same(
    disk: Disk, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(guards, "RETRY_SECONDS", 0.01)
    total = train_with(disk, recipe, tmp_path / "whole", lambda n: False, "ENOSPC")
    for number in range(1, total, 23):
        capsys.readouterr()
        folder, left = tmp_path / str(number), 3

        def fails(n: int, number: int = number) -> bool:
            nonlocal left
            left -= n >= number and left > 0
            return n >= number and left > 0

        train_with(disk, recipe, folder, fails, "EDQUOT" if number % 2 else "ENOSPC")
        said = capsys.readouterr().err
        assert f"{folder} has no room: " in said
        assert "MB are needed, " in said
        assert "waits for room, for 5 minutes at most, and tries every 0.01 seconds: free" in said
        assert "there is room again: the run goes on" in said
        assert outcome(folder) == outcome(tmp_path / "whole"), number
        assert not list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("error", MESSAGES)
def test_a_disk_that_refuses_for_another_reason_ends_the_run_which_goes_on_later(
    disk: Disk, recipe: Recipe, tmp_path: Path, error: str
) -> None:
    total = train_with(disk, recipe, tmp_path / "whole", lambda n: False, "EIO")
    for number in range(20, total, 67):
        folder = tmp_path / f"{error}-{number}"

        def fails(n: int, number: int = number) -> bool:
            return n == number

        with pytest.raises(DiskError, match=f"{MESSAGES[error]}.* --resume {folder}"):
            train_with(disk, recipe, folder, fails, error)
        loop.train(setup.resume(folder))
        assert outcome(folder) == outcome(tmp_path / "whole")


def test_without_room_for_too_long_the_run_ends_with_4(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    file, folder, write = tmp_path / "recipe.toml", tmp_path / "run", os.write
    file.write_text(replace(recipe, disk_wait_minutes=1e-4).to_toml())

    def full(descriptor: int, data: bytes) -> int:
        if (folder / "checkpoints" / "step-00000002").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    assert command(["train", "--recipe", str(file), "--out", str(folder)]) == 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"alexnet: {folder} has no room: " in said
    assert (
        "free on the disk after 0.0001 minutes of waiting; free some space and go on from" in said
    )


def test_who_is_asked_to_stop_while_there_is_no_room_stops_at_once(tmp_path: Path) -> None:
    patience = guards.Patience(tmp_path, minutes=10)

    def attempt() -> None:
        patience.stop.reason = "SIGTERM"
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(Interrupted, match=r"SIGTERM: .* has no room: 3 MB are needed, "):
        patience.write(3_000_000, attempt)


def test_nobody_waits_who_was_not_told_to(tmp_path: Path) -> None:
    def attempt() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(
        RoomError, match="free on the disk; free some space and go on from the last"
    ):
        guards.Patience(tmp_path).write(1, attempt)


def test_a_file_larger_than_the_limit_of_the_process_ends_the_run_and_leaves_nothing(
    recipe: Recipe, tmp_path: Path
) -> None:
    run = setup.start(recipe, tmp_path / "run")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))  # a checkpoint has 200,000
    try:
        with pytest.raises(DiskError, match="cannot be written: file too large; mend that and go"):
            loop.train(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    loop.train(setup.resume(tmp_path / "run"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        allowed = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("mounting a disk is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_real_disk_that_fills_up_the_run_goes_on_when_there_is_room(
    small_disk: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "RETRY_SECONDS", 0.01)
    ballast, said = small_disk / "ballast", []

    def say(self: Display, text: str) -> None:
        said.append(text)
        if "has no room" in text:
            ballast.unlink()

    monkeypatch.setattr(Display, "say", say)
    run = setup.start(recipe, small_disk / "run")
    with ballast.open("wb") as file:
        while file.tell() + 100_000 < 2 << 20:
            try:
                file.write(bytes(50_000))
                file.flush()
            except OSError:
                break
    loop.train(run)
    assert "there is room again: the run goes on" in said
    loop.train(setup.start(recipe, tmp_path / "whole"))
    assert outcome(small_disk / "run") == outcome(tmp_path / "whole")
