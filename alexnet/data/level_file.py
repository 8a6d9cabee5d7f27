"""LevelDB databases, through plyvel and the library in it.

The library locks the folder and writes into it, even to read it: it needs a folder that may be
written, and two processes cannot read one at the same time.

Source:  BVLC Caffe, src/caffe/util/db_leveldb.cpp, for the sizes of blocks and buffers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from alexnet.data.lmdb_file import BATCH, DatabaseError


class LevelReader:
    """Keys and values of a LevelDB folder, in the order of the keys' bytes."""

    backend = "LEVELDB"

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._length: int | None = None
        self._file, self._errors = _open(folder, new=False)

    def __len__(self) -> int:
        if self._length is None:
            self._length = len(self.keys())  # LevelDB does not count
        return self._length

    def __reduce__(self) -> tuple[Any, ...]:
        return LevelReader, (self.path,)

    def __getitem__(self, key: bytes) -> bytes:
        """Return the value of a key.

        Raises:  KeyError when it is not there; DatabaseError when the way to it is damaged.
        """
        try:
            value = self._file.get(key, verify_checksums=True)
        except self._errors as error:
            raise self._damaged(error) from None
        if value is None:
            raise KeyError(key)
        return bytes(value)

    def keys(self) -> list[bytes]:
        """Return the keys in order.

        Raises:  DatabaseError when a block is damaged.
        """
        try:
            return list(self._file.iterator(include_value=False, verify_checksums=True))
        except self._errors as error:
            raise self._damaged(error) from None

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values in the keys' order.

        Raises:  DatabaseError when a block is damaged.
        """
        try:
            yield from self._file.iterator(verify_checksums=True)
        except self._errors as error:
            raise self._damaged(error) from None

    def close(self) -> None:
        """Let go of the folder."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _damaged(self, error: Exception) -> DatabaseError:
        return DatabaseError(
            f"{self.path} is damaged: {_text(error)}; copy or make the database again"
        )


class LevelWriter:
    """A new LevelDB database; a `with` block puts keys and values and writes the last of them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._file, self._errors = _open(folder, new=True)
        self._batch: list[tuple[bytes, bytes]] = []

    def put(self, key: bytes, value: bytes) -> None:
        """Add a value; every thousandth call writes.

        Raises:  DatabaseError when LevelDB cannot write.
        """
        self._batch.append((key, value))
        if len(self._batch) == BATCH:
            self._commit()

    def _commit(self) -> None:
        try:
            with self._begin() as batch:
                for key, value in self._batch:
                    batch.put(key, value)
        except self._errors as error:
            raise DatabaseError(f"{self.path} cannot be written: {_text(error)}") from None
        self._batch = []

    def _begin(self) -> Any:
        return self._file.write_batch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._file.close()


def _open(folder: Path, *, new: bool) -> tuple[Any, tuple[type[Exception], ...]]:
    """Return an open database and the errors that its library raises."""
    try:
        import plyvel
    except ImportError:
        raise DatabaseError(
            "LevelDB needs plyvel; install it with: pip install 'alexnet[caffe]'"
        ) from None
    errors = (plyvel.Error, OSError)
    try:
        file = plyvel.DB(
            str(folder),
            create_if_missing=new,
            error_if_exists=new,
            paranoid_checks=True,
            block_size=65536,
            write_buffer_size=268435456,
            max_open_files=100,
        )
    except errors as error:
        verb = "made" if new else "opened"
        raise DatabaseError(f"LevelDB {folder} cannot be {verb}: {_text(error)}") from None
    return file, errors


def _text(error: Exception) -> str:
    """Return what plyvel says; some of its errors hold bytes."""
    said = error.args[0] if error.args else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
