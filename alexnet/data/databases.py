"""LMDB and LevelDB databases: keys and values as bytes, read in the order of the keys.

Source:  BVLC Caffe, src/caffe/util/db_lmdb.cpp and db_leveldb.cpp. What is read here was written
         by Caffe's convert_imageset, and Caffe reads what is written here.
Differs: LMDB is read by alexnet.data.lmdb_file, without a library and without its lock. LevelDB
         needs plyvel, whose library writes into the folder even to read it; writing LMDB needs
         lmdb. Both come with the extra `caffe`.
"""

import os
from pathlib import Path
from typing import Final

from alexnet.data.level_file import LevelReader, LevelWriter
from alexnet.data.lmdb_file import DatabaseError, LmdbReader, LmdbWriter
from alexnet.nearest import nearest, nearest_beside

__all__ = ["DatabaseError", "create_database", "open_database"]

BACKENDS: Final = ("LMDB", "LEVELDB")

Database = LmdbReader | LevelReader
"""A database that is read: len, iteration over (key, value), [key], keys(), close(), `with`."""

DatabaseWriter = LmdbWriter | LevelWriter
"""A new database: put(key, value) in a `with` block, which writes the last of them."""


def open_database(path: Path, backend: str | None = None) -> Database:
    """Open a database to read it; its folder's content decides when no backend is given.

    Raises:  DatabaseError when there is none at the path, it is of another backend, damaged or
             locked, or LevelDB's library is missing.
    """
    _check_backend(backend)
    found = _backend_at(path)
    if backend is not None and backend != found:
        raise DatabaseError(f"{path} is a {found} database, not {backend}; say backend: {found}")
    return LmdbReader(path) if found == "LMDB" else LevelReader(path)


def create_database(path: Path, backend: str) -> DatabaseWriter:
    """Make a new database, whose folder must not exist but its parent must.

    Raises:  DatabaseError when the folder is there or cannot be made, or a library is missing.
    """
    _check_backend(backend)
    if os.path.lexists(path):
        raise DatabaseError(f"{path} exists; a database is made anew: remove it or name another")
    if not path.parent.is_dir():
        raise DatabaseError(f"{path.parent} is no folder{nearest_beside(path.parent)}; make it")
    return LmdbWriter(path) if backend == "LMDB" else LevelWriter(path)


def _check_backend(backend: str | None) -> None:
    if backend is not None and backend not in BACKENDS:
        raise DatabaseError(
            f"unknown database backend {backend!r}{nearest(backend.upper(), BACKENDS)}; "
            f"it must be {' or '.join(BACKENDS)}"
        )


def _backend_at(path: Path) -> str:
    """Return the backend of the database in a folder."""
    if not path.exists():
        raise DatabaseError(f"database {path} does not exist{nearest_beside(path)}")
    if not path.is_dir():
        raise DatabaseError(f"{path} is a file; a database is a folder: give {path.parent}")
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror}") from None
    if "data.mdb" in names:
        return "LMDB"
    if "CURRENT" in names:
        return "LEVELDB"
    if any(name.startswith("MANIFEST-") for name in names):
        raise DatabaseError(f"{path} is a LevelDB database without its CURRENT; copy it again")
    raise DatabaseError(f"{path} holds no database: neither data.mdb (LMDB) nor CURRENT (LEVELDB)")
