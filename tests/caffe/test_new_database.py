from pathlib import Path

import pytest

from alexnet.caffe.new_database import backend_of, new_database
from alexnet.data.databases import DatabaseError, open_database


def test_a_database_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with new_database(tmp_path / "db", "LMDB") as writer:
        writer.put(b"key", b"value")
        assert not (tmp_path / "db").exists()
    assert list(open_database(tmp_path / "db")) == [(b"key", b"value")]
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def fill_in_part(path: Path, backend: str) -> None:
    with new_database(path, backend) as writer:
        for number in range(1500):
            writer.put(f"{number:08d}".encode(), b"value")
        raise KeyboardInterrupt


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_what_raises_leaves_nothing(tmp_path: Path, backend: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill_in_part(tmp_path / "db", backend)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_exists_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "data.mdb").write_bytes(b"old")
    with (
        pytest.raises(DatabaseError, match=r"db exists; a database is made anew: remove it"),
        new_database(tmp_path / "db", "LMDB"),
    ):
        pass
    assert (tmp_path / "db" / "data.mdb").read_bytes() == b"old"


def test_a_link_to_nothing_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "db").symlink_to(tmp_path / "nothing")
    with (
        pytest.raises(DatabaseError, match=r"db exists; a database is made anew"),
        new_database(tmp_path / "db", "LMDB"),
    ):
        pass


def test_a_part_of_a_former_run_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "db.partial").mkdir()
    with (
        pytest.raises(DatabaseError, match=r"db.partial exists; a database is made anew: remove"),
        new_database(tmp_path / "db", "LMDB"),
    ):
        pass
    assert (tmp_path / "db.partial").exists()


def test_a_name_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    with (
        pytest.raises(DatabaseError, match=r"db came into being meanwhile; name another"),
        new_database(tmp_path / "db", "LMDB"),
    ):
        (tmp_path / "db").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_backends_have_small_names() -> None:
    assert [backend_of(name) for name in ("lmdb", "leveldb")] == ["LMDB", "LEVELDB"]
    with pytest.raises(ValueError, match=r"backend 'lmbd' is not known \(did you mean 'lmdb'"):
        backend_of("lmbd")
