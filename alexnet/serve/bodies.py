"""Bodies of requests, read piece by piece under caps that hold whatever the headers say.

A body is counted while it comes: chunked, lying about its length or slow. All bodies that are in
memory together have a cap of their own, so that many clients take no more than a few may.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from alexnet.serve.answers import Refused, printable

TYPES = "image/jpeg (or another image/...), application/octet-stream or multipart/form-data"


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    picture_bytes: int = 20_000_000
    """Largest picture."""
    body_bytes: int = 100_000_000
    """Largest body with several pictures."""
    json_bytes: int = 65_536
    """Largest body of JSON."""
    pictures: int = 64
    """Most pictures in a body."""
    part_header_bytes: int = 4096
    """Longest line of a part's header."""
    together_bytes: int = 256_000_000
    """Bytes of all bodies that are in memory."""
    patience_seconds: float = 5.0
    """Time that any body may take..."""
    bytes_per_second: int = 16_384
    """...and more by its length, at this rate."""


@dataclass(frozen=True)
class Upload:
    """A picture as it was sent."""

    name: str
    """What the sender calls it, "" if it has no name; printable."""
    data: bytes


class Room:
    """The memory that all bodies share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken = 0

    def take(self, count: int) -> None:
        """Set bytes aside.

        Raises: Refused with 503 when there is no room.
        """
        if self.taken + count > self.limits.together_bytes:
            raise Refused(
                503,
                "busy",
                "the server holds as many uploads as it may",
                hint="send it again after the seconds in Retry-After",
                headers={"retry-after": "1"},
            )
        self.taken += count

    def give_back(self, count: int) -> None:
        """Take back bytes that were set aside."""
        self.taken -= count


async def read_json(request: Request, room: Room) -> dict[str, Any]:
    """Read a JSON object; an empty body is an empty one.

    Raises: Refused for another type, too many bytes, or what is no JSON object.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused(
            415,
            "media-type",
            "the body is not marked as JSON",
            hint="send it with the header Content-Type: application/json",
        )
    body = bytearray()
    try:
        async for piece in _pieces(request, room, room.limits.json_bytes):
            body += piece
        value = json.loads(body.decode() or "{}", parse_constant=_no_number)
    except RecursionError:
        raise Refused(400, "json", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Refused(400, "json", f"the body is no JSON: {error}") from None
    finally:
        room.give_back(len(body))
    if not isinstance(value, dict):
        raise Refused(400, "json", "the body is JSON, but no object", hint="send {...}")
    return value


async def read_pictures(request: Request, room: Room) -> list[Upload]:
    """Read a picture, or several as multipart/form-data; the caller gives their bytes back.

    Raises: Refused for a type that is none of these, caps that are passed, and broken multipart.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"multipart/form-data":
        return await _read_multipart(request, room, options.get(b"boundary", b""))
    if not kind.startswith(b"image/") and kind != b"application/octet-stream":
        raise Refused(
            415,
            "media-type",
            f"the body is marked as {printable(kind.decode('latin-1')) or 'nothing'}",
            hint=f"send {TYPES}",
        )
    body = bytearray()
    try:
        async for piece in _pieces(request, room, room.limits.picture_bytes):
            body += piece
        if not body:
            raise Refused(400, "empty", "there is no picture in the body", hint=f"send {TYPES}")
    except BaseException:
        room.give_back(len(body))
        raise
    return [Upload("", bytes(body))]


async def _read_multipart(request: Request, room: Room, boundary: bytes) -> list[Upload]:
    if not boundary:
        raise Refused(
            400,
            "multipart",
            "the multipart body has no boundary",
            hint="let your HTTP library write the Content-Type header",
        )
    parts = _Parts(room.limits)
    taken = 0
    try:
        try:
            parser = MultipartParser(
                boundary,
                parts.callbacks(),
                max_header_count=8,
                max_header_size=room.limits.part_header_bytes,
            )
            async for piece in _pieces(request, room, room.limits.body_bytes):
                taken += len(piece)
                parser.write(piece)
        except FormParserError as error:
            raise Refused(400, "multipart", f"the multipart body is broken: {error}") from None
        if not parts.ended:
            raise Refused(400, "multipart", "the multipart body ends before its last boundary")
        if not parts.uploads:
            raise Refused(400, "empty", "there is no picture in the body")
    except BaseException:
        room.give_back(taken)
        raise
    kept = sum(len(each.data) for each in parts.uploads)
    room.give_back(taken - kept)
    return parts.uploads


class _Parts:
    """Collects the parts of a multipart body."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.uploads: list[Upload] = []
        self.ended = False
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": self._check,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        if len(self.uploads) >= self.limits.pictures:
            raise Refused(
                413,
                "too-many",
                f"the body has more than {self.limits.pictures} parts",
                hint="send the pictures in several requests",
            )
        self._headers, self._data = {}, bytearray()
        self._name = self._value = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _check(self) -> None:
        kind = self._headers.get(b"content-type", b"").strip().lower()
        if kind.startswith(b"multipart/"):
            raise Refused(400, "multipart", "a part is multipart itself", hint="send one level")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if len(self._data) + end - start > self.limits.picture_bytes:
            raise _too_large(self.limits.picture_bytes)
        self._data += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"filename") or options.get(b"name") or b""
        self.uploads.append(Upload(printable(name.decode(errors="replace")), bytes(self._data)))
        self._data = bytearray()

    def _on_end(self) -> None:
        self.ended = True


async def _pieces(request: Request, room: Room, most: int) -> AsyncIterator[bytes]:
    """Yield a body's pieces, each set aside in `room`.

    Raises: Refused with 413 for more than `most` bytes, 408 when it comes too slowly.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "encoding", "the body is compressed", hint="send it as it is")
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise _too_large(most)
    limits, clock = room.limits, asyncio.get_running_loop().time
    started, received = clock(), 0
    async with aclosing(request.stream()) as stream:
        while True:
            deadline = started + limits.patience_seconds + received / limits.bytes_per_second
            try:
                piece = await asyncio.wait_for(anext(stream), max(deadline - clock(), 0.001))
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise Refused(
                    408,
                    "too-slow",
                    f"{received} bytes of the body came in {clock() - started:.0f} s",
                    hint=f"send at least {limits.bytes_per_second} bytes a second",
                    headers={"connection": "close"},
                ) from None
            received += len(piece)
            if received > most:
                raise _too_large(most)
            room.take(len(piece))
            yield piece


def _too_large(most: int) -> Refused:
    return Refused(
        413,
        "too-large",
        f"the body, or a picture in it, has more than {most} bytes",
        hint="make the picture smaller: the net sees a few hundred pixels",
    )


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
