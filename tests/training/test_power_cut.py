"""Power cuts: whatever of the unsynced reaches the disk, a whole checkpoint is on it.

A model of the disk takes down what a sequence of saves does. At a power cut, of what was written
to a file since its last fsync nothing, a part or all is there (or zeros), and of what was done to
a folder since its last fsync any choice of steps, in their order.

Source: Pillai et al. 2014, "All File Systems Are Not Created Equal", section 3.
"""

import os
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from alexnet.store import MANIFEST, StoreError
from alexnet.training.checkpoint import Position, newest_good_checkpoint, save_checkpoint

CALLS = ("open", "write", "fsync", "close", "replace", "mkdir", "unlink", "rmdir")
Step = tuple[str, str, Any]  # what is done, to what path, and with what


@dataclass
class Node:
    """A file or a folder, as the programs see it and as it is on the disk."""

    data: bytes | None = None
    """Of a file, what was written; None for a folder."""
    synced: bytes = b""
    """Of a file, what is on the disk for certain."""
    names: dict[str, "Node"] = field(default_factory=dict)
    """Of a folder, what it holds on the disk for certain."""
    pending: list[tuple[str, "Node | None"]] = field(default_factory=list)
    """Of a folder, names set or removed since its last fsync, in order."""

    def seen(self) -> dict[str, "Node"]:
        """Return what a program sees in a folder."""
        return after(self.names, self.pending)


def after(names: dict[str, Node], steps: list[tuple[str, Node | None]]) -> dict[str, Node]:
    found = dict(names)
    for name, node in steps:
        if node is None:
            found.pop(name, None)
        else:
            found[name] = node
    return found


class Recorder:
    """Takes down each call to the disk below a folder, while it is done."""

    def __init__(self, root: Path) -> None:
        self.root, self.steps = root, list[Step]()
        self._open: dict[int, str] = {}

    def recording(self) -> ExitStack:
        patches = ExitStack()
        for name in CALLS:
            patches.enter_context(mock.patch.object(os, name, self._recorded(name)))
        return patches

    def _recorded(self, name: str) -> Callable[..., Any]:
        real: Callable[..., Any] = vars(os)[name]

        def call(first: Any, *rest: Any, dir_fd: int | None = None) -> Any:
            path = self._open.get(first, "") if isinstance(first, int) else os.fspath(first)
            if dir_fd in self._open:
                path = os.path.join(self._open[dir_fd], path)
            given = bytes(rest[0]) if name == "write" else rest[0] if rest else None
            result = real(first, *rest) if dir_fd is None else real(first, *rest, dir_fd=dir_fd)
            if name == "open":
                self._open[result] = path
                if not rest or not rest[0] & os.O_CREAT:
                    return result
            if name == "close":
                self._open.pop(first, None)
            elif f"{path}/".startswith(f"{self.root}/"):
                self.steps.append((name, path, given))
            return result

        return call


class Model:
    """A disk's files and folders, of which only what is synced is certain."""

    def __init__(self, root: Path) -> None:
        self.root, self.top = root, Node()

    def find(self, path: str) -> Node:
        node = self.top
        for part in Path(path).relative_to(self.root).parts:
            node = node.seen()[part]
        return node

    def is_folder(self, path: str) -> bool:
        return self.find(path).data is None

    def do(self, step: Step) -> None:
        name, path, given = step
        folder, last = os.path.split(path)
        if name == "fsync":
            node = self.find(path)
            if node.data is None:
                node.names, node.pending = node.seen(), []
            else:
                node.synced = node.data
        elif name == "write":
            node = self.find(path)
            assert node.data is not None
            node.data += given
        elif name in ("open", "mkdir"):
            self.find(folder).pending.append((last, Node(b"" if name == "open" else None)))
        elif name in ("unlink", "rmdir"):
            self.find(folder).pending.append((last, None))
        elif name == "replace":
            node = self.find(path)
            target = os.path.split(os.fspath(given))[1]
            self.find(folder).pending += [(target, node), (last, None)]

    def crash(self, draw: random.Random, *, kept: float) -> dict[str, bytes]:
        """Return the files that are there after a power cut."""
        files: dict[str, bytes] = {}

        def visit(node: Node, path: str) -> None:
            if node.data is not None:
                files[path] = self._content(node, draw, kept)
                return
            steps = [step for step in node.pending if draw.random() < kept]
            for name, child in after(node.names, steps).items():
                visit(child, f"{path}/{name}" if path else name)

        visit(self.top, "")
        return files

    @staticmethod
    def _content(node: Node, draw: random.Random, kept: float) -> bytes:
        assert node.data is not None
        unsynced = node.data[len(node.synced) :]
        there = unsynced[: draw.randint(0, len(unsynced))] if draw.random() < kept else b""
        lost = bytes(len(unsynced) - len(there)) if draw.random() < 0.5 else b""
        return node.synced + there + lost


def save(folder: Path, step: int) -> None:
    weights = {"w": torch.full((9,), step)}
    save_checkpoint(folder, Position(step=step), weights, {"w": torch.ones(9)}, ("a", "b"))


def recorded(root: Path) -> tuple[list[Step], int, list[int]]:
    """Save five times; return the steps, those of the first save, and the end of each save."""
    root.mkdir(parents=True)
    recorder, ends = Recorder(root), []
    with recorder.recording():
        for step in (1, 2, 3, 4, 4):
            save(root / "checkpoints", step)
            ends.append(len(recorder.steps))
    return recorder.steps, ends[0], ends


def survives(files: dict[str, bytes], room: Path) -> str:
    """Lay files out and return the newest good checkpoint's name, or "" if there is none."""
    for name, data in files.items():
        path = room / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder = room / "checkpoints"
    if not any(folder.glob(f"*/{MANIFEST}")):
        return ""
    return newest_good_checkpoint(folder)[0].name


def check(tmp_path: Path, choices: int, *, left_out: str = "") -> int:
    """Cut the power after each step in several ways; return in how many.

    `left_out` "files" or "folders" makes the fsync of those do nothing.
    """
    steps, first, ends = recorded(tmp_path / "disk")
    model, cuts, known = Model(tmp_path / "disk"), 0, dict[tuple[tuple[str, bytes], ...], str]()
    for number, step in enumerate(steps, start=1):
        if step[0] != "fsync" or left_out != ("folders" if model.is_folder(step[1]) else "files"):
            model.do(step)
        for choice in range(choices):
            kept = (0.0, 1.0, 0.5, 0.2, 0.8)[choice % 5]
            files = model.crash(random.Random(f"{number}/{choice}"), kept=kept)
            key = tuple(sorted(files.items()))
            if key not in known:
                known[key] = survives(files, tmp_path / f"{number}-{choice}")
            cuts += 1
            if number >= first:
                done = sum(end <= number for end in ends)
                assert known[key] >= f"step-{min(done, 4):08d}", (number, step, choice)
    return cuts


def test_after_a_power_cut_at_any_call_a_whole_checkpoint_is_there(tmp_path: Path) -> None:
    assert check(tmp_path, 32) > 3000


@pytest.mark.slow
def test_after_a_power_cut_of_any_outcome_a_whole_checkpoint_is_there(tmp_path: Path) -> None:
    assert check(tmp_path, 220) > 20_000


@pytest.mark.parametrize("left_out", ["files", "folders"])
def test_the_model_finds_a_save_that_does_not_wait_for_the_disk(
    tmp_path: Path, left_out: str
) -> None:
    with pytest.raises((AssertionError, StoreError)):
        check(tmp_path, 16, left_out=left_out)
