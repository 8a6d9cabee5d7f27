"""Stopped, killed, cut off from power or out of disk: the next run makes the same data set."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.data.imagenet import Form, Stopped, Stored, Target, begun, finish, stored_in_block
from tests.data.small_ilsvrc import BIRD, CRANE, TENCH, Published, make, tree


@pytest.fixture
def published(tmp_path: Path) -> Published:
    files = Published()
    files.write(tmp_path)
    return files


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    tmp_path: Path, published: Published, after: int
) -> None:
    make(tmp_path, Target(tmp_path / "whole"))
    asked = iter([False] * after + [True] * 9)
    root = tmp_path / "out"
    with pytest.raises(Stopped, match=r"out: stopped in (train|val)-"):
        make(tmp_path, Target(root, stopped=lambda: next(asked)))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.JPEG")}
    assert len(before) == 2 * after
    make(tmp_path, Target(root))
    assert tree(root) == tree(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_kill_at_any_write_leaves_what_can_be_gone_on_with(
    tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, Target(tmp_path / "whole"))
    wanted = tree(tmp_path / "whole")
    rename = os.replace
    for fatal in range(1, 17):  # 11 pictures, 4 records, 1 imagenet.json
        root = tmp_path / f"out{fatal}"
        calls = 0

        def counted(source: Path, target: Path, fatal: int = fatal) -> None:
            nonlocal calls
            calls += 1
            if calls == fatal:
                raise KeyboardInterrupt
            rename(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", counted)
            patch.setattr(Path, "replace", counted)
            with pytest.raises(KeyboardInterrupt):
                make(tmp_path, Target(root))
        make(tmp_path, Target(root))
        assert tree(root) == wanted, f"rename {fatal}"


def test_a_file_cut_by_a_power_cut_is_written_again(tmp_path: Path, published: Published) -> None:
    root = tmp_path / "out"
    make(tmp_path, Target(root))
    wanted = tree(root)
    (root / "train" / BIRD / f"{BIRD}_18.JPEG").write_bytes(b"")
    (root / "train" / CRANE / f"{CRANE}_5.JPEG").unlink()
    (root / ".progress" / f"train-{TENCH}.json").write_text("[[")
    make(tmp_path, Target(root))
    assert tree(root) == wanted


def test_a_full_disk_names_the_file_and_leaves_none_half_written(
    tmp_path: Path, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "out"
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith(f"{BIRD}_5"):
            write_bytes(path, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match=f"No space left on device: .*{BIRD}_5.JPEG.tmp"):
            make(tmp_path, Target(root))
    assert not list(root.rglob("*.tmp"))
    assert not (root / ".progress" / f"train-{BIRD}.json").exists()
    make(tmp_path, Target(root))
    make(tmp_path, Target(tmp_path / "whole"))
    assert tree(root) == tree(tmp_path / "whole")


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path, published: Published) -> None:
    root = tmp_path / "out"
    root.write_text("")
    with pytest.raises(DataError, match="out is a file; name a folder to write to"):
        make(tmp_path, Target(root))
    root.unlink()
    root.mkdir()
    (root / "thesis.tex").touch()
    with pytest.raises(DataError, match="out holds something else than this data set; name"):
        make(tmp_path, Target(root))
    shutil.rmtree(root)
    make(tmp_path, Target(root))
    with pytest.raises(DataError, match="out was begun with size 0, not 256; use that, or name"):
        make(tmp_path, Target(root, Form(size=256)))
    (root / "imagenet.json").write_text("{}")
    with pytest.raises(DataError, match=r"imagenet.json is damaged; remove it with its folder"):
        make(tmp_path, Target(root))


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    target = Target(tmp_path / "out")
    with begun(target, year=2012, patched=False):  # noqa: SIM117 (the second is refused)
        with pytest.raises(DataError, match=r"another process writes to .*out; wait for it"):
            begun(target, year=2012, patched=False).__enter__()


def test_the_summary_says_that_the_work_is_done_and_keeps_other_parts(tmp_path: Path) -> None:
    target = Target(tmp_path, Form(size=256))
    about = {"year": 2012, "size": 256, "quality": 95, "patched": 0}
    with begun(target, year=2012, patched=False):
        content = json.loads((tmp_path / "imagenet.json").read_bytes())
        assert content == {**about, "finished": False}
        finish(tmp_path, {"train": {"pictures": 6}}, {"number": 3})
    with begun(target, year=2012, patched=False):
        content = json.loads((tmp_path / "imagenet.json").read_bytes())
        assert content["finished"] is False
        finish(tmp_path, {"val": {"pictures": 5}}, None)
    content = json.loads((tmp_path / "imagenet.json").read_bytes())
    parts = {"train": {"pictures": 6}, "val": {"pictures": 5}}
    assert content == {**about, "finished": True, "parts": parts, "boxes": {"number": 3}}


def test_a_record_of_another_version_is_none(tmp_path: Path) -> None:
    (tmp_path / ".progress").mkdir()
    assert stored_in_block(tmp_path, "val-000") is None
    row = Stored("val/x", 1, 2, 3, 4, 5)
    file = tmp_path / ".progress" / "val-000.json"
    file.write_text(json.dumps([["val/x", 1, 2, 3, 4, 5]]))
    assert stored_in_block(tmp_path, "val-000") == [row]
    assert replace(row, turn=1) == row
    file.write_text(json.dumps([["val/x"]]))
    assert stored_in_block(tmp_path, "val-000") is None
