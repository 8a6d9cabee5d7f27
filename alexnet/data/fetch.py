"""Download a published data set: resumed when cut, checked by its digest, whole or not there.

Everything happens in DIR.fetching beside the folder DIR; one rename at the end makes DIR. Archives
are unpacked member by member by unpack.py.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from alexnet.data.folder import DataError
from alexnet.data.sources import DataSet, Source, data_set
from alexnet.data.transfer import FetchError, Show, download
from alexnet.data.unpack import unpack

RECORD = ".fetched.json"
ROOM = 3.4
"""Room that is needed while a data set is fetched, in its published bytes: archive, tar, files."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class FetchedFile:
    """A file that was downloaded."""

    name: str
    """Its name."""
    num_bytes: int
    """Its length."""
    sha256: str
    """The digest that it has."""
    checked: bool
    """Whether that digest was known beforehand."""


@dataclass(frozen=True)
class Fetched:
    """A data set on this machine."""

    name: str
    """The name that it is known by."""
    files: tuple[FetchedFile, ...]
    """What was downloaded."""
    num_files: int
    """Files of the data set, unpacked."""
    num_bytes: int
    """Their bytes."""


def fetch(
    name: str, folder: Path, *, mirror: str | None = None, show: Show = lambda *_: None
) -> tuple[Fetched, bool]:
    """Bring a data set into a folder; return it, and whether it had to be fetched.

    `mirror` is the address of another server or a folder here, with files of the same names.

    Raises:  ValueError for an unknown name and for a folder that holds something else; DataError
             for a file that is not the published one; FetchError, an OSError, when a server or the
             disk does not do its part. What has arrived is kept for the next call.
    """
    wanted = data_set(name)
    folder = Path(os.path.realpath(folder))
    present = _present(name, folder)
    if present is not None:
        return present, False
    work = folder.with_name(f"{folder.name}.fetching")
    _check_room(name, wanted, work)
    with _alone(work):
        try:
            got = tuple(_get(source, work, mirror, show) for source in wanted.files)
            new = _lay_out(wanted, work, show)
            fetched = Fetched(name, got, *_measure(new))
            (new / RECORD).write_text(json.dumps(asdict(fetched), indent=1))
            new.replace(folder)
            shutil.rmtree(work)
        except OSError as error:
            if error.errno is None or error.errno not in NO_ROOM:
                raise
            raise FetchError(
                f"{work}: {os.strerror(error.errno).lower()}; {name} needs about "
                f"{_room(wanted):,} bytes; make room and run the command again, "
                f"it goes on from there"
            ) from error
    return fetched, True


def _present(name: str, folder: Path) -> Fetched | None:
    """Return the data set that is in a folder already, if it is the one and whole."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        values = json.loads((folder / RECORD).read_bytes())
        own = tuple(FetchedFile(**each) for each in values.pop("files"))
        fetched = Fetched(files=own, **values)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} holds something else; give a folder that is new or empty"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{folder / RECORD} is damaged; remove {folder} and fetch again") from None
    if fetched.name != name:
        raise ValueError(f"{folder} holds {fetched.name}, not {name}; give another folder")
    if _measure(folder) != (fetched.num_files, fetched.num_bytes):
        num_files, num_bytes = _measure(folder)
        raise DataError(
            f"{folder} has {num_files:,} files of {num_bytes:,} bytes, but {fetched.num_files:,} "
            f"of {fetched.num_bytes:,} were fetched; remove it and fetch again"
        )
    return fetched


def _lay_out(wanted: DataSet, work: Path, show: Show) -> Path:
    """Make the folder of a data set from its files."""
    new = work / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for source in wanted.files:
        if wanted.packed:
            unpack(work / source.name, new, show=show)
        else:
            shutil.copyfile(work / source.name, new / source.name)
    if wanted.classes:
        (new / "labels.txt").write_text("\n".join(wanted.classes) + "\n")
    return new


def _measure(folder: Path) -> tuple[int, int]:
    """Return the number of a folder's files, without its record, and their bytes."""
    sizes = [
        os.stat(os.path.join(place, name)).st_size
        for place, _, names in os.walk(folder)
        for name in names
        if name != RECORD
    ]
    return len(sizes), sum(sizes)


def _room(wanted: DataSet) -> int:
    return round(ROOM * sum(source.num_bytes or 0 for source in wanted.files))


def _check_room(name: str, wanted: DataSet, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    present = sum(path.stat().st_size for path in work.iterdir() if path.is_file())
    free = shutil.disk_usage(work).free
    if free + present < _room(wanted):
        raise FetchError(
            f"{name} needs about {_room(wanted):,} bytes, and the disk of {work.parent} has "
            f"{free:,} free; make room or give a folder on another disk"
        )


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same folder."""
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(
                f"another process is fetching into {work}; wait for it, or give another folder"
            ) from None
        try:
            yield
        finally:
            if work.exists() and not any(path.stat().st_size for path in work.iterdir()):
                shutil.rmtree(work)  # nothing to go on with


def _get(source: Source, work: Path, mirror: str | None, show: Show) -> FetchedFile:
    """Bring one file, checked, under its own name."""
    path = work / source.name
    part = work / f"{source.name}.part"
    if not (path.exists() and source.sha256 is not None and _digest(path) == source.sha256):
        address = source.address if mirror is None else mirror.rstrip("/")
        if "://" in address:
            download(source, f"{address}/{quote(source.name)}", part, show)
        else:
            _copy(Path(address) / source.name, part)
        _check(source, part, address)
        part.replace(path)
    return FetchedFile(
        source.name, path.stat().st_size, _digest(path), checked=source.sha256 is not None
    )


def _copy(original: Path, part: Path) -> None:
    if not original.is_file():
        raise FetchError(
            f"{original} does not exist; a mirror is the address of a server, http://..., or a "
            f"folder with the published files"
        )
    shutil.copyfile(original, part)


def _check(source: Source, part: Path, address: str) -> None:
    num_bytes = part.stat().st_size
    if source.num_bytes is not None and num_bytes != source.num_bytes:
        part.unlink()
        raise DataError(
            f"{source.name} from {address} has {num_bytes:,} bytes, the published file "
            f"{source.num_bytes:,}; it was removed; try again or another --mirror"
        )
    digest = _digest(part)
    if source.sha256 is not None and digest != source.sha256:
        part.unlink()
        raise DataError(
            f"{source.name} from {address} has the SHA-256 {digest}, the published file "
            f"{source.sha256}; it was removed; try again or another --mirror"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
