"""LMDB databases: read by our own code, written by LMDB's library.

The file is a B+ tree of pages with two meta pages in front, of which the newer counts. Every
offset is checked against the file, so that damage is an error here where the library, which
trusts its file, would read beyond the end of its memory. Reading locks nothing and writes nothing,
so nobody else may write at the same time.

Source:  OpenLDAP's LMDB 0.9, "Internals" of mdb.c; 64-bit little-endian files, data version 1.
         BVLC Caffe, src/caffe/util/db_lmdb.cpp.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_META = struct.Struct("<16xII16xIHH40xIHH24xQQQQ")
_PAGE = struct.Struct("<QHHHH")
_NODE = struct.Struct("<HHHH")
_HEAD = _PAGE.size
_BRANCH, _LEAF, _OVERFLOW, _DIRTY = 1, 2, 4, 16
_BIG, _NESTED = 1, 6
_NO_PAGE = 2**64 - 1
_MAX_DEPTH = 32
_FIRST_MAP_BYTES: Final = 1 << 20

BATCH: Final = 1000
"""Values that are written at once, as convert_imageset does."""


class DatabaseError(ValueError):
    """A database is missing, damaged, of another kind, or in the way."""


class LmdbReader:
    """Keys and values of a folder's data.mdb, in the order of the keys' bytes."""

    backend = "LMDB"

    def __init__(self, folder: Path) -> None:
        self.path = folder
        path = folder / "data.mdb"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DatabaseError(f"{path} cannot be read: {error.strerror}") from None
        try:
            if os.fstat(descriptor).st_size < 2 * _META.size:
                raise DatabaseError(f"{path} is too short for an LMDB database")
            self._map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self._read_meta()

    def _read_meta(self) -> None:
        magic, version, page_size, *_ = _META.unpack_from(self._map)
        if magic != _MAGIC:
            raise DatabaseError(f"{self.path} is no LMDB file of a 64-bit little-endian machine")
        if version != _VERSION:
            raise DatabaseError(f"{self.path} has LMDB's data version {version}; version 1 is read")
        if page_size not in (2**n for n in range(9, 17)) or len(self._map) < 2 * page_size:
            raise self._damaged("its first page")
        metas = [_META.unpack_from(self._map, offset) for offset in (0, page_size)]
        newest = max((meta for meta in metas if meta[0] == _MAGIC), key=lambda meta: meta[-1])
        _, _, _, _, _, _, flags, depth, entries, root, last_page, _ = newest
        if flags & 0x7F:
            raise DatabaseError(
                f"{self.path} has duplicate or reversed keys, as Caffe never writes"
            )
        if (last_page + 1) * page_size > len(self._map):
            raise DatabaseError(
                f"{self.path} is cut short: {last_page + 1} pages of {page_size} bytes are "
                f"promised, {len(self._map)} bytes are there; copy it again"
            )
        self._page_size = page_size
        self._last_page = last_page
        self._root = root
        self._depth = depth
        self._entries: int = entries
        if depth > _MAX_DEPTH or entries * _NODE.size > len(self._map):
            raise self._damaged("its first page")

    def __len__(self) -> int:
        return self._entries

    def __reduce__(self) -> tuple[Any, ...]:
        return LmdbReader, (self.path,)  # another process opens the file for itself

    def __getitem__(self, key: bytes) -> bytes:
        """Return the value of a key.

        Raises:  KeyError when it is not there; DatabaseError when the way to it is damaged.
        """
        if self._root == _NO_PAGE:
            raise KeyError(key)
        number = self._root
        for _ in range(_MAX_DEPTH):
            flags, nodes = self._page(number)
            # The first key of a branch is empty: it stands for everything below the second.
            low, high = (1 if flags == _BRANCH else 0), len(nodes)
            while low < high:
                middle = (low + high) // 2
                if self._key(number, nodes[middle]) <= key:
                    low = middle + 1
                else:
                    high = middle
            if flags == _LEAF:
                if low == 0 or self._key(number, nodes[low - 1]) != key:
                    raise KeyError(key)
                return self._value(number, nodes[low - 1])
            if not nodes:
                break
            number = self._child(number, nodes[low - 1])
        raise self._damaged(f"page {number}")

    def keys(self) -> list[bytes]:
        """Return the keys in order.

        Raises:  DatabaseError when a page is damaged.
        """
        return [self._key(number, node) for number, node in self._leaves()]

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values in the keys' order.

        Raises:  DatabaseError when a page is damaged.
        """
        for number, node in self._leaves():
            yield self._key(number, node), self._value(number, node)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _leaves(self) -> Iterator[tuple[int, int]]:
        """Yield each page of leaves with the offset of each of its nodes."""
        count, pages_left = 0, self._last_page + 1
        way = [] if self._root == _NO_PAGE else [self._root]
        while way:
            number = way.pop()
            pages_left -= 1
            if pages_left < 0 or len(way) > self._last_page:  # pages hang together in a circle
                raise self._damaged(f"page {number}")
            flags, nodes = self._page(number)
            if flags == _BRANCH:
                way.extend(self._child(number, node) for node in reversed(nodes))
                continue
            for node in nodes:
                count += 1
                yield number, node
        if count != self._entries:
            raise self._damaged(f"{self._entries} entries are promised, {count} are there; it")

    def _page(self, number: int) -> tuple[int, list[int]]:
        """Return whether a page is a branch or a leaf, and the offsets of its nodes."""
        if number > self._last_page:
            raise self._damaged(f"page {number}, which is beyond the end,")
        start = number * self._page_size
        own, _, flags, lower, upper = _PAGE.unpack_from(self._map, start)
        flags &= ~_DIRTY
        if own != number or flags not in (_BRANCH, _LEAF):
            raise self._damaged(f"page {number}")
        if not _HEAD <= lower <= upper <= self._page_size:
            raise self._damaged(f"page {number}")
        offsets = struct.unpack_from(f"<{(lower - _HEAD) // 2}H", self._map, start + _HEAD)
        if offsets and not (upper <= min(offsets) and max(offsets) + _NODE.size <= self._page_size):
            raise self._damaged(f"page {number}")
        return flags, [start + offset for offset in offsets]

    def _key(self, number: int, node: int) -> bytes:
        size = _NODE.unpack_from(self._map, node)[3]
        start = node + _NODE.size
        if start + size > (number + 1) * self._page_size:
            raise self._damaged(f"page {number}")
        return self._map[start : start + size]

    def _child(self, number: int, node: int) -> int:
        low, middle, high, _ = _NODE.unpack_from(self._map, node)
        child: int = low | middle << 16 | high << 32
        if child == number:
            raise self._damaged(f"page {number}")
        return child

    def _value(self, number: int, node: int) -> bytes:
        low, high, flags, key_size = _NODE.unpack_from(self._map, node)
        start, size = node + _NODE.size + key_size, low | high << 16
        end = (number + 1) * self._page_size
        if flags & _NESTED:
            raise DatabaseError(f"{self.path} holds a database inside, as Caffe never writes")
        if flags & _BIG:
            if start + 8 > end:
                raise self._damaged(f"page {number}")
            number = int.from_bytes(self._map[start : start + 8], "little")
            start, end = self._overflow(number)
        if start + size > end:
            raise self._damaged(f"page {number}")
        return self._map[start : start + size]

    def _overflow(self, number: int) -> tuple[int, int]:
        """Return where the bytes of a long value begin and where its pages end."""
        if number > self._last_page:
            raise self._damaged(f"page {number}, which is beyond the end,")
        start = number * self._page_size
        own, _, flags, low, high = _PAGE.unpack_from(self._map, start)
        pages = low | high << 16
        if own != number or not flags & _OVERFLOW or number + pages > self._last_page + 1:
            raise self._damaged(f"page {number}")
        return start + _HEAD, start + pages * self._page_size

    def _damaged(self, what: str) -> DatabaseError:
        return DatabaseError(f"{self.path}: {what} is damaged; copy or make the database again")


class LmdbWriter:
    """A new LMDB database; a `with` block puts keys and values and writes the last of them.

    When the block raises, what was not written yet is left out, as Caffe leaves it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import lmdb
        except ImportError:
            raise DatabaseError(
                "writing LMDB needs lmdb; install it with: pip install 'alexnet[caffe]'"
            ) from None
        self.path = folder
        self._lmdb = lmdb
        self._map_bytes = _FIRST_MAP_BYTES
        self._batch: list[tuple[bytes, bytes]] = []
        try:
            folder.mkdir(mode=0o744)
            self._file = lmdb.open(str(folder), map_size=self._map_bytes)
        except (OSError, lmdb.Error) as error:
            raise DatabaseError(f"{folder} cannot be made: {error}") from None

    def put(self, key: bytes, value: bytes) -> None:
        """Add a value; every thousandth call writes.

        Raises:  DatabaseError when LMDB cannot hold the key or cannot write.
        """
        if not 1 <= len(key) <= 511:
            raise DatabaseError(f"a key has {len(key)} bytes; LMDB's keys have 1 to 511")
        self._batch.append((key, value))
        if len(self._batch) == BATCH:
            self._commit()

    def _commit(self) -> None:
        """Write the batch; while the map is too small for it, double it and try again."""
        while self._batch:
            try:
                with self._begin() as transaction:
                    for key, value in self._batch:
                        transaction.put(key, value)
                self._batch = []
            except self._lmdb.MapFullError:
                self._map_bytes *= 2
                self._file.set_mapsize(self._map_bytes)
            except self._lmdb.Error as error:
                raise DatabaseError(f"{self.path} cannot be written: {error}") from None

    def _begin(self) -> Any:
        return self._file.begin(write=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._file.close()
