import os
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data.lmdb_file import DatabaseError, LmdbReader, LmdbWriter

lmdb = pytest.importorskip("lmdb", reason="lmdb is not installed")

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


def filled(folder: Path, content: dict[bytes, bytes]) -> Path:
    """Write with LMDB's own library, a value a transaction for the first hundred."""
    with lmdb.open(str(folder), map_size=1 << 30) as file:
        for key, value in list(content.items())[:100]:
            with file.begin(write=True) as transaction:
                transaction.put(key, value)
        with file.begin(write=True) as transaction:
            for key, value in list(content.items())[100:]:
                transaction.put(key, value)
    return folder


def random_content(count: int, longest: int, seed: int = 0) -> dict[bytes, bytes]:
    random = np.random.default_rng(seed)
    lengths = random.integers(0, longest + 1, count)
    keys = [random.bytes(int(n)) for n in random.integers(4, 60, count)]
    return {key: random.bytes(int(n)) for key, n in zip(keys, lengths, strict=True)}


@pytest.mark.parametrize(
    ("count", "longest"), [(0, 0), (1, 0), (1, 100_000), (57, 5000), (5000, 20), (3000, 3000)]
)
def test_what_the_library_wrote_is_read_whole_and_in_order(
    tmp_path: Path, count: int, longest: int
) -> None:
    content = random_content(count, longest)
    with LmdbReader(filled(tmp_path / "db", content)) as database:
        assert list(database) == sorted(content.items())
        assert database.keys() == sorted(content)
        assert len(database) == len(content)
        assert all(database[key] == value for key, value in content.items())
        assert database.backend == "LMDB"
        for absent in (b"", b"\xff" * 80, b"absent"):
            with pytest.raises(KeyError):
                database[absent]


def test_only_the_last_state_of_a_changed_database_is_read(tmp_path: Path) -> None:
    content = random_content(400, 300)
    folder = filled(tmp_path / "db", content)
    gone = list(content)[::3]
    with lmdb.open(str(folder), map_size=1 << 30) as file, file.begin(write=True) as transaction:
        for key in gone:
            transaction.delete(key)
    with LmdbReader(folder) as database:
        assert list(database) == sorted((k, v) for k, v in content.items() if k not in gone)
        with pytest.raises(KeyError):
            database[gone[0]]


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.binary(min_size=1, max_size=511), st.binary(max_size=9000), max_size=40))
def test_any_keys_and_values_survive_our_writer(
    tmp_path_factory: pytest.TempPathFactory, content: dict[bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("any") / "db"
    with LmdbWriter(folder) as writer:
        for key, value in content.items():
            writer.put(key, value)
    with LmdbReader(folder) as database:
        assert list(database) == sorted(content.items())


def test_a_map_that_is_too_small_is_doubled(tmp_path: Path) -> None:
    value = os.urandom(5000)
    with LmdbWriter(tmp_path / "db") as writer:
        for index in range(1500):
            writer.put(b"%05d" % index, value)
    with LmdbReader(tmp_path / "db") as database:
        assert len(database) == 1500
        assert database[b"01499"] == value
    assert (tmp_path / "db" / "data.mdb").stat().st_size > 1500 * 8192


def test_a_block_that_raises_leaves_the_last_batch_out(tmp_path: Path) -> None:
    def interrupted() -> None:
        with LmdbWriter(tmp_path / "db") as writer:
            for index in range(1005):
                writer.put(b"%05d" % index, b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with LmdbReader(tmp_path / "db") as database:
        assert len(database) == 1000


def test_reading_writes_nothing_and_needs_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    before = sorted(path.name for path in (GOLDEN / "raw_lmdb").iterdir())
    with LmdbReader(GOLDEN / "raw_lmdb") as database:
        assert len(list(database)) == 6
    assert sorted(path.name for path in (GOLDEN / "raw_lmdb").iterdir()) == before
    with pytest.raises(DatabaseError, match=r"writing LMDB needs lmdb; .* 'alexnet\[caffe\]'"):
        LmdbWriter(tmp_path / "db")


def test_another_process_opens_the_database_for_itself() -> None:
    database = LmdbReader(GOLDEN / "raw_lmdb")
    assert list(pickle.loads(pickle.dumps(database))) == list(database)


@pytest.mark.parametrize("key", [b"", b"x" * 512])
def test_keys_that_lmdb_cannot_hold_are_refused(tmp_path: Path, key: bytes) -> None:
    writer = LmdbWriter(tmp_path / "db")
    with writer, pytest.raises(DatabaseError, match=r"bytes; LMDB's keys have 1 to 511"):
        writer.put(key, b"")


def test_a_place_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"db cannot be made: .*No such file"):
        LmdbWriter(tmp_path / "absent" / "db")


# ---- Damage -------------------------------------------------------------------------------------


def damaged(folder: Path, data: bytes) -> Path:
    folder.mkdir()
    (folder / "data.mdb").write_bytes(data)
    return folder


def read_all(folder: Path) -> int:
    with LmdbReader(folder) as database:
        keys = database.keys()
        return sum(len(database[key]) for key in keys) + len(list(database))


def changed(offset: int, value: bytes) -> bytes:
    data = bytearray((GOLDEN / "raw_lmdb" / "data.mdb").read_bytes())
    data[offset : offset + len(value)] = value
    return bytes(data)


SECOND = 4096  # where the meta page of the newer state is, and 2 * SECOND the one leaf


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is too short for an LMDB database"),
        (bytes(20_000), "is no LMDB file of a 64-bit little-endian machine"),
        (changed(20, b"\x02"), "has LMDB's data version 2; version 1 is read"),
        (changed(40, b"\x07"), "its first page is damaged; copy or make the database again"),
        (changed(0, b"")[:8192], "is cut short: 3 pages of 4096 bytes are promised, 8192"),
        (changed(SECOND + 92, b"\x04"), "has duplicate or reversed keys, as Caffe never writes"),
        (changed(SECOND + 94, b"\xff"), "its first page is damaged"),
        (changed(SECOND + 128, b"\x09"), "page 9, which is beyond the end, is damaged"),
        (changed(SECOND + 120, b"\x05"), "5 entries are promised, 6 are there; it is damaged"),
        (changed(2 * SECOND, b"\x07"), "page 2 is damaged"),
        (changed(2 * SECOND + 10, b"\x04"), "page 2 is damaged"),
        (changed(2 * SECOND + 10, b"\x01"), "damaged"),  # the leaf as a branch
        (changed(2 * SECOND + 12, b"\xff\xff"), "page 2 is damaged"),
        (changed(2 * SECOND + 16, b"\x00\x00"), "page 2 is damaged"),
        (changed(2 * SECOND + 16, b"\xff\xff"), "page 2 is damaged"),
    ],
)
def test_damage_is_named(tmp_path: Path, data: bytes, match: str) -> None:
    with pytest.raises(DatabaseError, match=match):
        read_all(damaged(tmp_path / "db", data))


def node(change: str) -> bytes:
    """Return the golden file with something changed in its first node."""
    data = bytearray(changed(0, b""))
    (offset,) = struct.unpack_from("<H", data, 2 * SECOND + 16)
    place = 2 * SECOND + offset
    if change == "key":
        data[place + 6 : place + 8] = b"\xff\xff"
    elif change == "value":
        data[place : place + 4] = b"\xff\xff\xff\x7f"
    elif change == "nested":
        data[place + 4] = 2
    else:
        data[place + 4] = 1
    return bytes(data)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("key", "page 2 is damaged"),
        ("value", "page 2 is damaged"),
        ("nested", "holds a database inside, as Caffe never writes"),
        ("big", "which is beyond the end, is damaged"),
    ],
)
def test_damage_in_a_node_is_named(tmp_path: Path, change: str, match: str) -> None:
    with pytest.raises(DatabaseError, match=match):
        read_all(damaged(tmp_path / "db", node(change)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"data\.mdb cannot be read: No such file"):
        LmdbReader(tmp_path)


def test_random_damage_never_does_worse_than_an_error(tmp_path: Path) -> None:
    """Change bytes of the pages' heads and nodes, in a file of branches, leaves and long values."""
    original = (filled(tmp_path / "db", random_content(900, 600)) / "data.mdb").read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for number in range(150):
        data = bytearray(original)
        pages = random.integers(0, len(data) // 4096, 10)
        for place in [int(page) * 4096 + int(random.integers(0, 200)) for page in pages]:
            data[place] = int(random.integers(0, 256))
        folder = damaged(tmp_path / str(number), bytes(data))
        try:
            read_all(folder)
        except (DatabaseError, KeyError):
            refused += 1
        (folder / "data.mdb").unlink()
    assert refused > 75


def test_a_disk_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise lmdb.DiskError("No space left on device")

    writer = LmdbWriter(tmp_path / "db")
    writer.put(b"a", b"b")
    monkeypatch.setattr(LmdbWriter, "_begin", full)
    with pytest.raises(DatabaseError, match="db cannot be written: No space left on device"):
        writer.__exit__(None)
