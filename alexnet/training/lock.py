"""One trainer in a run folder: the second is refused, and told who the first is.

The lock is the kernel's (flock), so that it ends with the process that holds it, however that ends;
what the file says is for the message alone. Of several processes of one run the first holds it.
Over NFS it holds between machines from version 4 on; a file system without locks is left alone.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

LOCK = "lock"
CANNOT = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK)


class LockedError(OSError):
    """Another process trains in this folder."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Have a run folder for oneself, made if need be; a folder that stays empty is removed.

    Raises: LockedError naming the process that has it, OSError if the folder cannot be written.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = _take(path)
    try:
        who = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        }
        with suppress(OSError):  # a full disk; the lock is held all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(who).encode(), 0)
        yield
    finally:
        with suppress(OSError):  # a disk that has become read-only; what ended the run is said
            path.unlink(missing_ok=True)
        os.close(descriptor)
        if made and not any(folder.glob("*")):
            with suppress(OSError):  # gone already
                folder.rmdir()


def _take(path: Path) -> int:
    """Return the descriptor of the lock file, locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in CANNOT:
                return descriptor
            said = os.read(descriptor, 1000)
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise LockedError(_describe(path.parent, said)) from None
        # Its holder removes the file at the end: what was locked may be one that is gone.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _describe(folder: Path, said: bytes) -> str:
    try:
        who = json.loads(said)
        name = f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (ValueError, KeyError, TypeError):  # it has only just begun
        name = "another process"
    return (
        f"{folder} is in use: {name} trains in it; wait until that has ended or stop it, or choose "
        "another --out"
    )
