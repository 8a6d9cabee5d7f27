"""Who is heard, and what is written down."""

import atexit
import io
import os
import sys
from pathlib import Path

import pytest

from alexnet.parallel.logs import Log
from alexnet.parallel.mesh import World
from tests.forks import CONTEXT


def speak(world: World, folder: Path, heard: Path) -> None:
    """Say something before and after the log has its place, by Python and by the system."""
    file = os.open(heard, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    log = Log(world)
    print("early", flush=True)
    log.keep(folder)
    print("late", file=sys.stderr)
    os.write(2, b"from a library\n")
    print("at last", flush=True)


def test_a_second_process_speaks_into_its_file_alone(tmp_path: Path) -> None:
    heard = tmp_path / "heard.txt"
    process = CONTEXT.Process(target=speak, args=(World(1, 2, 1, 2), tmp_path, heard))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert heard.read_text() == ""
    said = (tmp_path / "logs" / "rank-1.log").read_text().splitlines()
    assert said == ["early", "late", "from a library", "at last"]


def fail(world: World, heard: Path, text: str) -> None:
    """End before there is a folder for the log."""
    file = os.open(heard, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    Log(world)
    print(text, file=sys.stderr)
    atexit._run_exitfuncs()  # which a process of multiprocessing leaves out


def test_an_unexpected_end_before_there_is_a_file_is_heard(tmp_path: Path) -> None:
    for number, text in enumerate(("alexnet: unexpected ImportError", "alexnet: columns is 3")):
        process = CONTEXT.Process(
            target=fail, args=(World(1, 2, 1, 2), tmp_path / str(number), text)
        )
        process.start()
        process.join()
    assert (tmp_path / "0").read_text() == "alexnet: unexpected ImportError\n"
    assert (tmp_path / "1").read_text() == ""


def test_the_first_process_is_heard_and_written_down_without_its_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stderr", screen)
    Log(World(0, 2, 0, 2)).keep(tmp_path)
    assert not sys.stderr.isatty()
    assert sys.stderr.encoding == "utf-8"
    print("update 1", file=sys.stderr, flush=True)
    print("\x1b[2K a bar", file=sys.stderr)
    assert screen.buffer.getvalue() == b"update 1\n\x1b[2K a bar\n"
    assert (tmp_path / "logs" / "rank-0.log").read_text() == "update 1\n\n"


def test_a_process_alone_keeps_no_log(tmp_path: Path) -> None:
    before = sys.stderr
    Log(World()).keep(tmp_path)
    assert sys.stderr is before
    assert not (tmp_path / "logs").exists()
