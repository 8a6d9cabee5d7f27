"""`alexnet data pack`, `verify` and `index` as a user gives them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.data.shard_index import INDEX
from alexnet.data.shards import PACKING
from alexnet.data.tar_file import END, member_bytes
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures
from tests.data.packed import content, flip

SMALL = ("--shard-mb", "0.02")


@pytest.fixture
def packed(pictures: MakePictures, tmp_path: Path, capsys: Capture) -> Path:
    """Pack 3 x 4 pictures into shards."""
    out = tmp_path / "out"
    assert run(["data", "pack", str(pictures(per_class=4)), str(out), *SMALL]) == 0
    capsys.readouterr()
    return out


def test_a_folder_is_packed_and_verified(
    pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    pictures("set/train", per_class=4)
    root = pictures("set/val", per_class=1, seed=1).parent
    out = tmp_path / "out"
    (root / "train" / "disc" / "0001.jpg").write_bytes(b"")
    words = ("--size", "32", "--shuffle-seed", "-1")
    assert run(["data", "pack", str(root), str(out), *words]) == 0
    said = capsys.readouterr()
    table = [line.split() for line in said.out.splitlines()]
    assert table[0] == ["part", "pictures", "classes", "shards", "bytes"]
    assert table[2][:4] == ["train", "11", "3", "1"]
    assert table[3][:4] == ["val", "3", "3", "1"]
    assert table[3][4] == f"{(out / 'val-000000.tar').stat().st_size:,}"
    assert said.out.endswith(
        f"{out}: stored shorter side at most 32, JPEG quality 95; 'alexnet data verify {out}' "
        "compares every byte\n"
    )
    assert "train-000000.tar  11 pictures" in said.err
    assert said.err.endswith("not packed: disc/0001.jpg: the file is empty\n")

    assert run(["data", "verify", str(out)]) == 0
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()][2:] == [
        *(["shards", "2", "2"], ["samples", "14", "14"]),
    ]
    assert said.err == "train-000000.tar  whole\nval-000000.tar  whole\n"


def test_damage_is_named_and_mended_by_packing_again(
    packed: Path, tmp_path: Path, capsys: Capture
) -> None:
    whole = content(packed)
    for position in (600, 3):
        flip(packed / "train-000000.tar", position)
    assert run(["data", "verify", str(packed), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["shards"]) == (12, len(whole) - 1)
    assert [each["what"] for each in found["damages"]] == ["picture", "header"]
    name = found["damages"][0]["sample"]

    assert run(["data", "verify", str(packed)]) == 3
    said = capsys.readouterr()
    assert "samples     11      12" in said.out
    assert f"train-000000.tar: {name!r} at byte 512 is damaged" in said.err
    assert f"the header or label of {name!r}, at byte 0, is damaged" in said.err
    assert (
        f"alexnet: {packed} is not whole (2); remove the damaged shards and run the same"
        in said.err
    )

    (packed / "train-000000.tar").unlink()
    assert run(["data", "pack", str(tmp_path / "pictures"), str(packed), *SMALL]) == 0
    assert content(packed) == whole


def test_many_damages_are_counted(packed: Path, capsys: Capture) -> None:
    for path in packed.glob("*.tar"):
        path.write_bytes(bytes(path.stat().st_size))
    assert run(["data", "verify", str(packed)]) == 3
    assert "more; --json lists all\n" in capsys.readouterr().err


def test_torchrun_splits_the_work(
    packed: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = content(packed), tmp_path / "many"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert run(["data", "pack", str(tmp_path / "pictures"), str(out), *SMALL]) == 0
        said = capsys.readouterr()
        assert ("train-000001.tar  " in said.err) == (rank == "1")
        assert (said.out == "") == (rank == "1")
    assert content(out) == whole


@pytest.mark.slow
def test_two_processes_of_torchrun_pack_together(packed: Path, tmp_path: Path) -> None:
    words = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "-m", "alexnet")
    out = tmp_path / "many"
    source = tmp_path / "pictures"
    command = [sys.executable, *words, "data", "pack", str(source), str(out), *SMALL]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert content(out) == content(packed)


def test_shards_of_others_get_an_index(tmp_path: Path, capsys: Capture) -> None:
    for number in range(2):
        data = member_bytes("1.jpg", b"xx") + member_bytes("1.cls", b"%d" % number)
        (tmp_path / f"{number}.tar").write_bytes(data + END)
    tars = sorted(map(str, tmp_path.glob("*.tar")))
    refused(run(["data", "index", tars[0]]), capsys, expected=2, message="1.tar is not among the")
    assert run(["data", "index", *tars]) == 0
    assert "train         2        2       2  6,144" in capsys.readouterr().out
    code = run(["data", "index", str(tmp_path)])
    refused(code, capsys, expected=3, message=r"index\.shards exists; remove it if another is to")
    (tmp_path / INDEX).unlink()
    assert run(["data", "index", str(tmp_path)]) == 0
    assert run(["data", "verify", str(tmp_path)]) == 0


def test_what_makes_no_sense_is_refused(packed: Path, tmp_path: Path, capsys: Capture) -> None:
    source = str(tmp_path / "pictures")
    inner = str(tmp_path / "pictures" / "shards")
    refused(
        run(["data", "pack", source, inner]),
        capsys,
        expected=3,
        message="shards lies in .*pictures, whose pictures are packed; give another folder",
    )
    refused(
        run(["data", "pack", source, str(packed / INDEX)]),
        capsys,
        expected=3,
        message=r"index\.shards is a file; give a folder for the shards",
    )
    code = run(["data", "pack", source, str(tmp_path / "new"), "--workers", "0"])
    refused(code, capsys, expected=2, message="workers is 0; give at least 1")
    code = run(["data", "pack", source, str(tmp_path / "new"), "--quality", "0"])
    refused(code, capsys, expected=2, message="quality is 0; give 1 to 100")
    code = run(["data", "pack", str(tmp_path / "picture"), str(tmp_path / "new")])
    refused(code, capsys, expected=3, message=r"does not exist.*did you mean 'pictures'")
    code = run(["data", "verify", source])
    refused(code, capsys, expected=3, message=r"index\.shards does not exist; run the")
    code = run(["data", "index", source])
    refused(code, capsys, expected=3, message="has no tar files; give a folder of shards")
    code = run(["data", "index", source, str(packed)])
    refused(code, capsys, expected=2, message="the shards lie in 2 folders; an index is for one")


def test_an_unfinished_packing_is_refused_as_a_source(
    packed: Path, tmp_path: Path, capsys: Capture
) -> None:
    (packed / INDEX).unlink()
    (packed / PACKING).mkdir()
    code = run(["data", "pack", str(packed), str(tmp_path / "new")])
    refused(code, capsys, expected=3, message="the packing was not finished; run the same")
