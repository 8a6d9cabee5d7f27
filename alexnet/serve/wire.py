"""The server's connections: uvicorn's HTTP/1.1 with the limits that it lacks.

A request's head must come within seconds, also the first; a body in tiny chunks, which costs far
more to read than to send, is refused; connections have a cap. What is no HTTP is answered in JSON.
The parser is h11, which is strict: no HTTP/0.9, no header lines folded, no two lengths.
"""

import asyncio
import http
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from alexnet.serve.answers import Refused, error_bytes

HEAD_SECONDS = 10.0
MOST_CONNECTIONS = 2000
SLICE = 8192
"""Bytes that are parsed at a time; what comes is cut, so that the limit on a head holds."""
FREE_BYTES, SMALLEST_SHARE = 65_536, 4
"""A body may take so many bytes on the wire; beyond those a quarter of all must be the body."""
LINGER_SECONDS = 2.0
"""Time in which the rest of a refused body is read and dropped: closed at once, a client that still
sends would meet a reset before its answer."""


class Connection(H11Protocol):
    """A connection of a client."""

    head_seconds = HEAD_SECONDS
    most_connections = MOST_CONNECTIONS
    linger_seconds = LINGER_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None
        self._measured: object = None  # the request that the next two are counted of
        self._wire_bytes = 0
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(Refused(503, "busy", "there are too many connections"))
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came, some at a time."""
        for start in range(0, len(data), SLICE):
            if self.transport.is_closing():
                return
            piece = data[start : start + SLICE]
            before = len(self.cycle.body) if self.cycle else 0
            whole = self.cycle
            super().data_received(piece)
            if self.cycle is not whole:
                self._stop_timer()
            else:
                self._count(len(piece), len(self.cycle.body) - before if self.cycle else 0)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; called where the parser has just refused it."""
        hint = 400
        try:
            raise
        except h11.RemoteProtocolError as error:
            hint = error.error_status_hint
            msg = f"this is no HTTP/1.1 request: {error}"
        except RuntimeError:  # called by ourselves
            pass
        self._refuse(Refused(hint, "http", msg))

    def on_response_complete(self) -> None:
        """Wait for the next request; what is left of this one may take a moment only."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY:
            self.loop.call_later(self.linger_seconds, self._end_unread, self.cycle)
        elif self.cycle.response_complete and self.conn.their_state is h11.IDLE:
            self._expect_head()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.conn.trailing_data[0]:
            self.transport.close()  # it was answered before and asks nothing more
            return
        self._refuse(Refused(408, "too-slow", f"no whole request came in {self.head_seconds:g} s"))

    def _end_unread(self, cycle: object) -> None:
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()

    def _count(self, wire_bytes: int, body_bytes: int) -> None:
        if self._measured is not self.cycle:
            self._measured, self._wire_bytes, self._body_bytes = self.cycle, 0, 0
        self._wire_bytes += wire_bytes
        self._body_bytes += body_bytes
        done = self.conn.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        if self.cycle is None or done or self.conn.their_state is not h11.SEND_BODY:
            return
        if self._wire_bytes > FREE_BYTES + SMALLEST_SHARE * self._body_bytes:
            self._refuse(Refused(400, "chunks", "the body comes in chunks of a few bytes"))

    def _refuse(self, error: Refused) -> None:
        """Answer without the application, and close; an answer that has begun is cut."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error_bytes(error)
            phrase = http.HTTPStatus(error.status).phrase
            head = (
                f"HTTP/1.1 {error.status} {phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n"
                "x-content-type-options: nosniff\r\ncache-control: no-store\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
