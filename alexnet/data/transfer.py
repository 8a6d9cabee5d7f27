"""Bring one file from a server, by pooch: gone on with when it was cut, never more than expected.

A redirection is followed within one server; to another server, or from https to http, only for a
file whose digest is known, because only then does it not matter who sends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from alexnet.data.digits import PackageMissing
from alexnet.data.folder import DataError
from alexnet.data.sources import Source

CHUNK_BYTES = 65_536
TIMEOUT_SECONDS = 30
MOST_BYTES = 4_000_000_000
"""Largest file whose length is not known."""
Show = Callable[[str, int, int | None], None]
"""Told how far the work is: on what, how many bytes (or files), of how many if that is known."""


class FetchError(OSError):
    """A server, the network or the disk does not do its part; the message says which, and how."""


def download(source: Source, url: str, part: Path, show: Show) -> None:
    """Bring a file to the path `part`, going on from what is there if its digest can be checked.

    A connection that breaks is opened again as long as it brings something.

    Raises:  FetchError when the server refuses, leads elsewhere or falls silent; DataError when it
             has a file of another length; PackageMissing, an OSError, without pooch.
    """
    if find_spec("pooch") is None:
        raise PackageMissing(
            "pooch, which downloads, is not installed; pip install 'alexnet[data]', or give "
            "--mirror a folder that has the files"
        )
    if source.sha256 is None:  # nothing would tell whether two parts belong together
        part.unlink(missing_ok=True)
    most = part.stat().st_size if part.exists() else 0
    while (problem := _attempt(source, url, part, show)) is not None:
        arrived = part.stat().st_size
        if arrived == 0:
            raise FetchError(
                f"{url}: nothing arrived ({problem}); look after the network, or give --mirror "
                f"another server or a folder that has {source.name}"
            )
        if arrived <= most:
            kept = "; run the command again, it goes on from there" if source.sha256 else ""
            raise FetchError(
                f"{url}: the connection broke after {arrived:,} bytes ({problem}){kept}"
            )
        most = arrived


def _attempt(source: Source, url: str, part: Path, show: Show) -> str | None:
    """Ask the server once; return what went wrong with the connection, or nothing."""
    import pooch

    with part.open("ab") as file:
        if source.num_bytes is not None and file.tell() > source.num_bytes:
            file.truncate(0)
        start = file.tell() if file.tell() <= part.stat().st_size else 0
        if start == source.num_bytes:
            return None
        transfer = Transfer(source, url, file, start, show)
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        downloader = pooch.HTTPDownloader(
            progressbar=transfer,
            chunk_size=CHUNK_BYTES,
            timeout=TIMEOUT_SECONDS,
            headers=headers,
            hooks={"response": transfer.answered},
        )
        try:
            downloader(url, file, None)
        except FetchError:
            raise
        except OSError as error:
            if error.errno is not None:  # our own disk; what the network raises has none
                raise
            return _reason(error)
        finally:
            transfer.close_response()
        missing = source.num_bytes is not None and file.tell() < source.num_bytes
        return "the server ended it" if missing else None


def _reason(error: BaseException) -> str:
    """Return the innermost reason of an error of the network, which wraps others."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


@dataclass
class Transfer:
    """A running download: looks at each answer, and at each piece that has been written."""

    source: Source
    """What is wanted."""
    url: str
    """Where it is asked for."""
    file: BinaryIO
    """What the bytes are appended to."""
    start: int
    """Bytes that were there before."""
    show: Show
    """Is told how far it is."""
    total: int = 0
    """Set by pooch, to the bytes of the answer."""
    response: Any = None
    """The last answer, of requests."""

    def answered(self, response: Any, **_: Any) -> None:
        """Look at an answer's head before its content is read.

        Raises:  FetchError, DataError as `download`.
        """
        self.response = response
        if response.is_redirect:
            self._check_redirection(urljoin(response.url, response.headers["location"]))
        elif response.status_code not in (200, 206):
            raise FetchError(
                f"{response.url}: the server answers {response.status_code} {response.reason}; "
                f"give --mirror another server or a folder that has {self.source.name}"
            )
        else:
            self._check_length(response)

    def update(self, _: int) -> None:
        """Take note of a piece.

        Raises:  DataError when there is more than there should be.
        """
        arrived = self.file.tell()
        if arrived > self._most():
            self.file.truncate(0)
            raise DataError(
                f"{self.url} sends more than {self._most():,} bytes; it is not the published file"
            )
        self.show(self.source.name, arrived, self.source.num_bytes or self.total or None)

    def reset(self) -> None:
        """Do nothing: pooch's bars start again at their end."""

    def close(self) -> None:
        """Do nothing: the file is closed by who opened it."""

    def close_response(self) -> None:
        """Let go of the connection."""
        if self.response is not None:
            self.response.close()

    def _most(self) -> int:
        return self.source.num_bytes or MOST_BYTES

    def _check_redirection(self, target: str) -> None:
        here, there = urlsplit(self.response.url), urlsplit(target)
        if there.scheme not in ("http", "https"):
            raise FetchError(f"{self.url} leads to {target}, which is no web address")
        leaves = here.hostname != there.hostname or (here.scheme, there.scheme) == ("https", "http")
        if leaves and self.source.sha256 is None:
            raise FetchError(
                f"{self.url} leads to another server, {there.scheme}://{there.netloc}, and no "
                f"digest of {self.source.name} is known to check what that sends; give --mirror "
                f"the server that you trust"
            )

    def _check_length(self, response: Any) -> None:
        if self.start and response.status_code == 200:  # the server sends all of it again
            self.file.truncate(0)
            self.start = 0
        elif response.status_code == 206:
            said = response.headers.get("content-range", "")
            if not said.startswith(f"bytes {self.start}-"):
                self.file.truncate(0)
                raise FetchError(
                    f"{self.url}: the server answers {said!a} to bytes from {self.start}; run the "
                    f"command again, it starts anew"
                )
        length = response.headers.get("content-length", "")
        whole = self.start + int(length) if length.isdecimal() else None
        if whole is not None and self.source.num_bytes not in (None, whole):
            raise DataError(
                f"{self.url} has {whole:,} bytes, the published file {self.source.num_bytes:,}; "
                f"try another --mirror"
            )
