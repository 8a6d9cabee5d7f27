"""What is remembered of the quickest algorithms: the file, its folder, its damage, its lock."""

import json
import threading
from pathlib import Path

import pytest
import torch

from alexnet.convolution import choices as module
from alexnet.convolution.choices import (
    Choice,
    alone,
    choices,
    forget,
    machine,
    place,
    recall,
    record,
)
from alexnet.native import library

SOME = Choice("im2col", {"native": 2.0, "im2col": 1.0})
OTHER = Choice("native", {"native": 1.0})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALEXNET_CACHE", str(tmp_path / "own"))
    return tmp_path / "own" / "convolution.json"


def keep(work: str, choice: Choice) -> None:
    with alone():
        record(work, choice)


def forget_in_memory() -> None:
    module._held.clear()


def test_the_file_is_in_the_folder_of_the_environment_or_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place() == tmp_path / "own" / "convolution.json"
    monkeypatch.delenv("ALEXNET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert place() == tmp_path / "shared" / "alexnet" / "convolution.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    module._place.cache_clear()
    assert place() == tmp_path / "user" / ".cache" / "alexnet" / "convolution.json"
    module._place.cache_clear()


def test_what_was_recorded_is_recalled_by_this_process_and_by_the_next(cache: Path) -> None:
    assert recall("some work") is None
    keep("some work", SOME)
    assert recall("some work") == SOME
    forget_in_memory()
    assert recall("some work") == SOME
    assert recall("other work") is None
    content = json.loads(cache.read_text())
    assert content == {
        "format": 1,
        "machines": {
            machine(): {
                "some work": {"algorithm": "im2col", "seconds": {"native": 2.0, "im2col": 1.0}}
            }
        },
    }


def test_what_another_process_recorded_meanwhile_is_recalled_and_kept() -> None:
    keep("b", SOME)
    forget_in_memory()  # another process knows nothing yet
    keep("a", OTHER)
    assert choices() == {"a": OTHER, "b": SOME}
    forget_in_memory()
    assert list(choices()) == ["a", "b"]


def test_a_process_keeps_to_what_it_computes_with() -> None:
    keep("work", SOME)
    held = module._held.pop(place())
    keep("work", OTHER)  # as another process, say after `forget`
    module._held[place()] = held
    assert choices() == {"work": SOME}


def test_forgetting_removes_the_file_and_the_memory(cache: Path) -> None:
    keep("work", SOME)
    forget()
    assert not cache.exists()
    assert recall("work") is None
    forget()  # where there is nothing it does nothing
    assert choices() == {}


def test_machines_threads_and_kernels_have_their_own_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep("work", SOME)
    here, threads = machine(), torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert f"{threads + 1} threads" in machine()
        assert recall("work") is None
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(library, "library", lambda: None)
    assert machine().endswith("with no kernels")
    assert recall("work") is None
    keep("work", OTHER)
    monkeypatch.undo()
    assert f"torch {torch.__version__}" in here


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        "\x00\x01",
        "[1, 2]",
        "{}",
        '{"format": 2, "machines": {}}',
        '{"format": 1}',
        '{"format": 1, "machines": []}',
        '{"format": 1, "machines": {"here": 3}}',
    ],
)
def test_a_file_that_is_not_whole_is_as_good_as_none_and_written_anew(
    cache: Path, text: str
) -> None:
    cache.parent.mkdir()
    cache.write_text(text)
    assert choices() == {}
    keep("work", SOME)
    forget_in_memory()
    assert choices() == {"work": SOME}


@pytest.mark.parametrize(
    "entry",
    [
        '"im2col"',
        '{"algorithm": 1, "seconds": {}}',
        '{"algorithm": "fft"}',
        '{"algorithm": "fft", "seconds": []}',
        '{"algorithm": "fft", "seconds": {"fft": "1"}}',
        '{"algorithm": "fft", "seconds": {"fft": NaN}}',
        '{"algorithm": "fft", "seconds": {}, "more": 1}',
    ],
)
def test_an_entry_that_is_no_choice_is_left_out(cache: Path, entry: str) -> None:
    keep("good", SOME)
    content = cache.read_text().replace('"good"', f'"bad": {entry}, "good"')
    cache.write_text(content)
    forget_in_memory()
    assert choices() == {"good": SOME}


def test_a_file_that_is_not_utf8_is_as_good_as_none(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(b"\xff\xfe{}")
    assert choices() == {}


def test_a_folder_that_cannot_be_made_leaves_it_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("ALEXNET_CACHE", str(tmp_path / "file"))
    keep("work", SOME)
    assert recall("work") == SOME
    assert (tmp_path / "file").read_text() == "no folder"
    forget()
    assert recall("work") is None


def test_a_write_that_fails_leaves_the_old_file_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep("work", SOME)
    before = cache.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    keep("more", OTHER)
    assert recall("more") == OTHER
    assert cache.read_bytes() == before
    assert sorted(path.name for path in cache.parent.iterdir()) == [
        "convolution.json",
        "convolution.lock",
    ]


def test_those_who_write_at_once_wait_for_each_other() -> None:
    def write(number: int) -> None:
        for index in range(5):
            keep(f"{number} {index}", SOME)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    forget_in_memory()
    assert len(choices()) == 20
