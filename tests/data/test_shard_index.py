"""The file of the index: a round trip, every flip and every cut found, and nothing else raised."""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.folder import DataError
from alexnet.data.shard_index import (
    INDEX,
    ROW,
    Index,
    Shard,
    decode_index,
    encode_index,
    join_indices,
    read_index,
)
from alexnet.store import write_atomically

PLACE = Path("set") / INDEX


def make_index() -> Index:
    rows = np.zeros(3, ROW)
    rows["shard"], rows["label"], rows["part"] = [0, 0, 1], [1, 0, 1], [0, 0, 1]
    rows["start"], rows["offset"], rows["stop"] = [1000, 0, 0], [1512, 512, 9], [1600, 1000, 99]
    rows["length"] = [80, 90, 90]
    rows["digest"], rows["frame"] = 255, 0
    skipped = ((4, "cat/bad.jpg", "the file is empty"),)
    shards = (Shard("train-000000.tar", 2624, "ab", skipped), Shard("val-000000.tar", 99, "cd"))
    names = ("dog/1.jpg", "cat/\u4e09.jpg", "dog/2.jpg")
    return Index(("cat", "dog"), ("train", "val"), shards, rows, names, "plan", "as they were")


def same(one: Index, other: Index) -> bool:
    return one.rows.tobytes() == other.rows.tobytes() and all(
        (
            one.classes == other.classes,
            one.parts == other.parts,
            one.shards == other.shards,
            one.names == other.names,
            (one.plan, one.how) == (other.plan, other.how),
        )
    )


def test_an_index_comes_back(tmp_path: Path) -> None:
    index = make_index()
    write_atomically(tmp_path / INDEX, encode_index(index))
    assert same(read_index(tmp_path / INDEX), index)
    assert [path.name for path in tmp_path.iterdir()] == [INDEX]
    empty = replace(index, rows=index.rows[:0], names=())
    assert same(decode_index(encode_index(empty), PLACE), empty)


def test_an_index_taken_apart_is_put_together_again() -> None:
    index = make_index()
    singles = [index.only(0), index.only(1)]
    assert singles[0].names == ("cat/\u4e09.jpg", "dog/1.jpg")  # as they stand in the tar
    assert singles[1].shards == (index.shards[1],)
    assert singles[1].rows["shard"].tolist() == [0]
    assert same(join_indices(singles, [1, 0, 2]), index)


def test_every_flip_and_every_cut_of_an_index_is_found() -> None:
    data = encode_index(make_index())
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << (position % 8)
        with pytest.raises(DataError, match="is damaged"):
            decode_index(bytes(damaged), PLACE)
        with pytest.raises(DataError, match="is damaged"):
            decode_index(data[:position], PLACE)
    with pytest.raises(DataError, match=r"index.shards is damaged: its digest.*pack anew, or rem"):
        decode_index(data + b"x", PLACE)


def sealed(change: Callable[[dict[str, Any]], object], rows: bytes | None = None) -> bytes:
    """Return an index whose header was changed by a program that computes the digest too."""
    data = encode_index(make_index())
    (length,) = struct.unpack_from("<Q", data, 8)
    header = json.loads(data[16 : 16 + length])
    change(header)
    text = json.dumps(header).encode()
    rest = data[16 + length : -32] if rows is None else rows
    body = data[:8] + struct.pack("<Q", len(text)) + text + rest
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(format=2), "has format 2; this version reads format 1"),
        (lambda h: h.pop("classes"), "contradicts itself: KeyError"),
        (lambda h: h.update(samples=4), "4 rows and 31 bytes of names do not fill it"),
        (lambda h: h.update(samples="3"), "contradicts itself: TypeError"),
        (lambda h: h.update(classes=["cat"]), "a label is 1; there are 1"),
        (lambda h: h.update(parts=[]), "a part is 1; there are 0"),
        (lambda h: h["shards"].pop(), "a shard is 1; there are 1"),
        (lambda h: h["shards"][0].update(name="../x.tar"), "'../x.tar' is no name of a shard"),
        (lambda h: h["shards"][0].update(name="passwd"), "'passwd' is no name of a shard"),
        (lambda h: h["shards"][0].update(size=1599), "a picture lies outside its shard"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        decode_index(sealed(change), PLACE)


def test_a_row_that_points_around_the_end_of_numbers_is_refused() -> None:
    index = make_index()
    for field, value in [("offset", 2**64 - 1), ("length", 2**32 - 1), ("start", 2000)]:
        rows = index.rows.copy()
        rows[field][0] = value
        with pytest.raises(DataError, match="a picture lies outside its shard"):
            decode_index(encode_index(replace(index, rows=rows)), PLACE)


def test_a_number_of_names_that_is_not_that_of_the_rows_is_refused() -> None:
    index = replace(make_index(), names=("a", "b"))
    with pytest.raises(DataError, match="2 names for 3 pictures"):
        decode_index(encode_index(index), PLACE)


def test_an_index_that_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"index.shards does not exist; run the 'alexnet data pack' that"
    ):
        read_index(tmp_path / INDEX)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_index(tmp_path)
    with pytest.raises(DataError, match="no index of shards"):
        decode_index(b"something else", PLACE)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_sealed_index_of_any_content_is_read_or_refused(data: st.DataObject) -> None:
    kinds = st.none() | st.integers(-3, 2**40) | st.text(max_size=3) | st.lists(st.integers(0, 3))
    key = data.draw(st.sampled_from(["format", "plan", "classes", "shards", "samples", "names"]))
    value = data.draw(kinds)
    changed = sealed(lambda header: header.update({key: value}))
    try:
        decode_index(changed, PLACE)
    except DataError as error:
        said = str(error)
    else:
        said = f"{PLACE} is whole"
    assert said.startswith(str(PLACE))
