"""A server of files on 127.0.0.1 that can do all that real ones do wrong."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files` from memory, with the faults that are set."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        """Path and Range of each request."""
        self.cut_at: int | None = None
        """Byte of an answer's content at which the connection breaks."""
        self.cuts = 10**9
        """How many answers are cut."""
        self.says_length: int | str | None = ""
        """Content-Length that is said instead of the true one; None says none."""
        self.ranges = True
        """Whether a part of a file can be had."""
        self.wrong_range = False
        """Whether an answer of a part says that it is another part."""
        self.leads_to: str | None = None
        """Address that every request is led to."""
        self.surplus = b""
        """What is sent after the content."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        if server.leads_to is not None:
            self.send_response(302)
            self.send_header("Location", server.leads_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        total, start = len(content), 0
        if wanted is not None and server.ranges:
            found = re.fullmatch(r"bytes=([0-9]+)-", wanted)
            assert found is not None
            start = int(found[1])
            self.send_response(206)
            said = start + server.wrong_range
            self.send_header("Content-Range", f"bytes {said}-{total - 1}/{total}")
        else:
            self.send_response(200)
        content = content[start:]
        if server.says_length is not None:
            self.send_header("Content-Length", str(server.says_length or len(content)))
        self.end_headers()
        if server.cut_at is not None and server.cuts > 0:
            server.cuts -= 1
            content = content[: server.cut_at]
        self.wfile.write(content + server.surplus)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server in a thread."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
