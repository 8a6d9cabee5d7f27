import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from alexnet.data.level_file import LevelReader, LevelWriter
from alexnet.data.lmdb_file import DatabaseError, LmdbReader

plyvel = pytest.importorskip("plyvel", reason="plyvel is not installed")

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


def test_the_database_of_the_original_holds_what_its_lmdb_twin_holds(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "raw_leveldb", tmp_path / "db"))
    with LmdbReader(GOLDEN / "raw_lmdb") as twin, LevelReader(folder) as database:
        assert list(database) == list(twin)
        assert database.keys() == twin.keys()
        assert len(database) == 6
        assert database[b"00000003_p3.jpg"] == twin[b"00000003_p3.jpg"]
        with pytest.raises(KeyError):
            database[b"absent"]
        assert database.backend == "LEVELDB"


def test_what_is_put_comes_back_in_order(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    content = {random.bytes(9): random.bytes(int(n)) for n in random.integers(0, 900, 2500)}
    with LevelWriter(tmp_path / "db") as writer:
        for key, value in content.items():
            writer.put(key, value)
    with LevelReader(tmp_path / "db") as database:
        assert list(database) == sorted(content.items())


def test_a_block_that_raises_leaves_the_last_batch_out(tmp_path: Path) -> None:
    def interrupted() -> None:
        with LevelWriter(tmp_path / "db") as writer:
            for index in range(1005):
                writer.put(b"%05d" % index, b"x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with LevelReader(tmp_path / "db") as database:
        assert len(database) == 1000


def test_a_database_that_is_open_or_exists_is_refused(tmp_path: Path) -> None:
    with LevelWriter(tmp_path / "db"):
        with pytest.raises(DatabaseError, match=r"LevelDB .*db cannot be opened: .*lock"):
            LevelReader(tmp_path / "db")
        with pytest.raises(DatabaseError, match=r"LevelDB .*db cannot be made: "):
            LevelWriter(tmp_path / "db")


def test_another_process_opens_the_database_for_itself(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "raw_leveldb", tmp_path / "db"))
    with LevelReader(folder) as database:
        content, pickled = list(database), pickle.dumps(database)
    with pickle.loads(pickled) as again:
        assert list(again) == content


def test_without_the_library_the_way_to_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(DatabaseError, match=r"LevelDB needs plyvel; .* 'alexnet\[caffe\]'"):
        LevelReader(tmp_path)


def test_a_damaged_log_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "raw_leveldb", tmp_path / "db"))
    data = bytearray((folder / "000003.log").read_bytes())
    data[200] ^= 0xFF
    (folder / "000003.log").write_bytes(data)
    with pytest.raises(DatabaseError, match=r"db cannot be opened: Corruption"):
        LevelReader(folder)


def test_a_damaged_table_is_refused_where_it_is_read(tmp_path: Path) -> None:
    with LevelWriter(tmp_path / "db") as writer:
        for index in range(500):
            writer.put(b"%05d" % index, np.random.default_rng(index).bytes(1000))
    with LevelReader(tmp_path / "db") as database:
        assert len(database) == 500  # the log has become a table now
    (table,) = (tmp_path / "db").glob("*.ldb")
    data = bytearray(table.read_bytes())
    data[1000] ^= 0xFF
    table.write_bytes(data)
    with LevelReader(tmp_path / "db") as database:
        for read in (database.keys, lambda: list(database), lambda: database[b"00000"]):
            with pytest.raises(DatabaseError, match=r"db is damaged: .*; copy or make the data"):
                read()


def test_a_disk_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise plyvel.IOError(b"No space left on device")

    writer = LevelWriter(tmp_path / "db")
    writer.put(b"a", b"b")
    monkeypatch.setattr(LevelWriter, "_begin", full)
    with pytest.raises(DatabaseError, match="db cannot be written: No space left on device"):
        writer.__exit__(None)
