"""A database that stands under its name only when it is whole.

Differs: Caffe's tools fill the database under its name, and leave a part of it when they fail.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alexnet.data.databases import DatabaseError, DatabaseWriter, create_database
from alexnet.nearest import nearest

BACKENDS = {"lmdb": "LMDB", "leveldb": "LEVELDB"}
"""The names of backends on a command line, and in a prototxt."""


def backend_of(name: str) -> str:
    """Return a backend by its name on a command line.

    Raises: ValueError if it is not known; the nearest is named.
    """
    if name not in BACKENDS:
        raise ValueError(f"backend {name!r} is not known{nearest(name, BACKENDS)}; lmdb or leveldb")
    return BACKENDS[name]


@contextmanager
def new_database(path: Path, backend: str) -> Iterator[DatabaseWriter]:
    """Fill a database in a folder beside, which takes its name when the block ends well.

    When the block raises, the folder is removed; one that is left was cut off by a power failure
    or a kill, and is refused by name.

    Raises: DatabaseError if something of that name exists, or the disk refuses.
    """
    if path.exists() or path.is_symlink():
        raise DatabaseError(f"{path} exists; a database is made anew: remove it or name another")
    partial = path.with_name(f"{path.name}.partial")
    writer = create_database(partial, backend)
    try:
        with writer:
            yield writer
        if path.exists():
            raise DatabaseError(f"{path} came into being meanwhile; name another")
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
