"""Every byte of a set of shards is watched: each flip and each cut is found and named."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.data.shard_index import INDEX, encode_index, read_index
from alexnet.data.shard_scan import scan_shards
from alexnet.data.verify import verify_shards
from alexnet.store import write_atomically
from tests.conftest import MakePictures
from tests.data.packed import flip, pack


@pytest.fixture
def packed(pictures: MakePictures, tmp_path: Path) -> Path:
    pack(pictures(per_class=3, size=16), tmp_path / "packed")
    return tmp_path / "packed"


def test_a_whole_set_has_no_damage(packed: Path) -> None:
    told: list[str] = []
    found = verify_shards(packed, told.append)
    assert found.damages == ()
    sizes = [path.stat().st_size for path in packed.glob("*.tar")]
    assert (found.shards, found.samples, found.read_bytes) == (len(sizes), 9, sum(sizes))
    assert told == [f"{path.name}  whole" for path in sorted(packed.glob("*.tar"))]


def test_a_flip_anywhere_is_found_and_the_right_sample_named(packed: Path) -> None:
    index = read_index(packed / INDEX)
    path = packed / "train-000000.tar"
    own = index.only(0)
    ends = [int(row["stop"]) for row in own.rows]
    for position in range(0, path.stat().st_size, 61):
        flip(path, position, position % 8)
        (damage,) = verify_shards(packed).damages
        flip(path, position, position % 8)
        sample = next((i for i, end in enumerate(ends) if position < end), None)
        if sample is None:
            assert (damage.sample, damage.what) == ("", "end")
            assert "the archive's end, from byte" in damage.message
            continue
        first = int(own.rows["offset"][sample])
        inside = first <= position < first + int(own.rows["length"][sample])
        assert damage.sample == own.names[sample]
        assert damage.what == ("picture" if inside else "header")
        start = first if inside else int(own.rows["start"][sample])
        assert f"at byte {start:,}" in damage.message
        assert repr(damage.sample) in damage.message


def test_a_flip_anywhere_in_shards_of_others_is_found(packed: Path) -> None:
    (packed / INDEX).unlink()
    path = packed / "train-000000.tar"
    tars = sorted(packed.glob("*.tar"))
    write_atomically(packed / INDEX, encode_index(scan_shards(tars)))
    assert verify_shards(packed).damages == ()
    for position in range(0, path.stat().st_size, 97):
        flip(path, position)
        assert len(verify_shards(packed).damages) == 1
        flip(path, position)


def test_a_cut_anywhere_is_found_and_the_samples_behind_it_named(packed: Path) -> None:
    own = read_index(packed / INDEX).only(0)
    path = packed / "train-000000.tar"
    whole = path.read_bytes()
    for size in range(len(whole) - 1, 0, -251):
        os.truncate(path, size)
        damages = verify_shards(packed).damages
        assert f"has {size:,} bytes and index.shards says {len(whole):,}" in damages[0].message
        lost = [n for row, n in zip(own.rows, own.names, strict=True) if int(row["stop"]) > size]
        assert [d.sample for d in damages[1:-1]] == lost
        assert damages[-1].what == "end"
    path.write_bytes(whole + b"x")
    assert "the archive's end" in verify_shards(packed).damages[-1].message


def test_missing_and_foreign_shards_are_named(packed: Path) -> None:
    (packed / "train-000000.tar").rename(packed / "other.tar")
    said = [damage.message for damage in verify_shards(packed).damages]
    assert [text.partition(";")[0] for text in said] == [
        f"{packed / 'train-000000.tar'} is missing",
        f"{packed / 'other.tar'} is not in index.shards",
    ]


def test_a_damaged_index_is_refused(packed: Path) -> None:
    flip(packed / INDEX, 200)
    with pytest.raises(DataError, match="its digest does not match"):
        verify_shards(packed)


def test_an_index_that_leaves_out_bytes_is_named(packed: Path) -> None:
    index = read_index(packed / INDEX)
    rows = index.rows.copy()
    row = int(rows["start"].argmin())
    rows["start"][row] = 512
    (packed / INDEX).write_bytes(encode_index(replace(index, rows=rows)))
    said = [damage.message for damage in verify_shards(packed).damages]
    assert "the index leaves out bytes before it" in said[0]
