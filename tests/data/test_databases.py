import shutil
from pathlib import Path

import pytest

from alexnet.data.databases import DatabaseError, create_database, open_database

pytest.importorskip("lmdb", reason="lmdb is not installed")
pytest.importorskip("plyvel", reason="plyvel is not installed")

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_a_new_database_is_read_back_whatever_backend_is_said(tmp_path: Path, backend: str) -> None:
    content = {b"%08d" % index: bytes([index % 256]) * index for index in range(1100)}
    with create_database(tmp_path / "db", backend) as writer:
        for key, value in content.items():
            writer.put(key, value)
    for said in (None, backend):
        with open_database(tmp_path / "db", said) as database:
            assert database.backend == backend
            assert dict(database) == content
            assert len(database) == 1100
            assert database[b"00000007"] == b"\x07" * 7


def test_the_databases_of_the_original_are_told_apart(tmp_path: Path) -> None:
    level = Path(shutil.copytree(GOLDEN / "raw_leveldb", tmp_path / "level"))
    with open_database(GOLDEN / "raw_lmdb") as lmdb, open_database(level) as leveldb:
        assert (lmdb.backend, leveldb.backend) == ("LMDB", "LEVELDB")
        assert list(lmdb) == list(leveldb)


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_a_database_in_the_way_is_refused(tmp_path: Path, backend: str) -> None:
    (tmp_path / "db").mkdir()
    with pytest.raises(DatabaseError, match="db exists; a database is made anew: remove it or"):
        create_database(tmp_path / "db", backend)


@pytest.mark.parametrize(
    ("name", "backend", "match"),
    [
        ("raw_lmdb", "LEVELDB", "raw_lmdb is a LMDB database, not LEVELDB; say backend: LMDB"),
        ("raw_leveldb", "LMDB", "raw_leveldb is a LEVELDB database, not LMDB; say backend: LEV"),
        ("raw_lmbd", None, r"database .*raw_lmbd does not exist \(did you mean 'raw_lmdb'\?\)"),
        ("raw_lmdb/data.mdb", None, r"data\.mdb is a file; a database is a folder: give .*raw_lm"),
        ("pics", "LMDB", r"pics holds no database: neither data.mdb \(LMDB\) nor CURRENT"),
        ("raw_lmdb", "lmdb", r"unknown database backend 'lmdb' \(did you mean 'LMDB'\?\)"),
        ("raw_lmdb", "SQLITE", "unknown database backend 'SQLITE'.*; it must be LMDB or LEVELDB"),
    ],
)
def test_what_is_no_database_of_the_backend_is_refused(
    name: str, backend: str | None, match: str
) -> None:
    with pytest.raises(DatabaseError, match=match):
        open_database(GOLDEN / name, backend)


def test_a_leveldb_without_its_first_file_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN / "raw_leveldb", tmp_path / "db"))
    (folder / "CURRENT").unlink()
    with pytest.raises(DatabaseError, match="is a LevelDB database without its CURRENT; copy"):
        open_database(folder)


def test_a_database_is_made_only_in_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DatabaseError, match=r"trian is no folder \(did you mean 'train'\?\)"):
        create_database(tmp_path / "trian" / "db", "LMDB")
    with pytest.raises(DatabaseError, match="unknown database backend 'HDF5'"):
        create_database(tmp_path / "db", "HDF5")


def test_a_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatabaseError, match="cannot be read: Permission denied"):
        open_database(tmp_path)
