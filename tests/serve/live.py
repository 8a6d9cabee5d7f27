"""A server for tests: real sockets, a real decoder process, a net with random weights."""

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import simplejpeg
import torch
from numpy.random import default_rng

from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import compute
from alexnet.model import create, save_model
from alexnet.serve.bodies import Limits
from alexnet.serve.guard import Rules
from alexnet.serve.models import Shelf
from alexnet.serve.server import Running, prepare
from alexnet.serve.service import Service
from alexnet.serve.wire import Connection
from tests.conftest import draw_picture, make_pictures, tiny_recipe

CLASSES = ("<script>alert(1)</script>", "disc & ring", "square")
SECRET = "0123456789abcdef-a-secret"
SMALL = Limits(
    picture_bytes=200_000,
    body_bytes=400_000,
    pictures=8,
    together_bytes=2_000_000,
    patience_seconds=1.0,
)
"""Limits that a test reaches in a moment."""


class QuickConnection(Connection):
    """A connection with little patience."""

    head_seconds = 1.0
    linger_seconds = 0.5


def jpeg(seed: int = 0, *, size: int = 80) -> bytes:
    """Return a photo-like JPEG."""
    picture = draw_picture(default_rng(seed), hue=0.3, shape="disc", size=size)
    data: bytes = simplejpeg.encode_jpeg(picture, quality=90, colorspace="RGB")
    return data


def write_run(folder: Path) -> None:
    """Write folder/runs/one, a run whose model has random weights, and folder/data."""
    data = make_pictures(folder / "data", classes=CLASSES[1:], per_class=6, size=72)
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (4, 72, 72, 3), generator=generator).to(torch.uint8)
    model = create("tiny", CLASSES, Preprocessing(compute([batch]), 72, 67), seed=0)
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.mul_(5)  # so that answers differ
    run = folder / "runs" / "one"
    save_model(model, run / "model")
    recipe = replace(tiny_recipe(data), validation_share=0.5)
    (run / "recipe.toml").write_text(recipe.to_toml())
    (run / "journal.jsonl").write_text(
        json.dumps({"kind": "train", "step": 1, "loss": 1.5, "lr": 0.01}) + "\n"
    )


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        text: str = self.json["error"]["code"]
        return text


@dataclass
class Live:
    """A server that runs in a thread."""

    service: Service
    running: Running
    thread: threading.Thread
    loose: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Its port."""
        return self.running.port

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        *,
        method: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request with a client library; a picture if there is a body and no type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {"Content-Type": "image/jpeg"} if body is not None else {}
        try:
            verb = method or ("GET" if body is None else "POST")
            connection.request(verb, path, body, given | (headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Return a bare connection, closed with the server."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.loose.append(connection)
        return connection

    def raw(self, *pieces: bytes) -> list[Answer]:
        """Send bytes as they are, and return the answers until the server closes."""
        connection = self.connect()
        with suppress(ConnectionError):  # refused before all was sent
            for piece in pieces:
                connection.sendall(piece)
        return read_answers(connection)


def read_answers(connection: socket.socket) -> list[Answer]:
    """Read answers until the other side closes."""
    data = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            data += piece
    connection.close()
    found = []
    while data:
        source = io.BytesIO(data)
        status = int(source.readline().split()[1])
        headers = http.client.parse_headers(source)
        body = source.read(int(headers.get("content-length", "0")))
        found.append(Answer(status, {k.lower(): v for k, v in headers.items()}, body))
        data = source.read()
    return found


def head(line: str, *headers: str, host: str = "127.0.0.1") -> bytes:
    """Return a request's head as bytes."""
    lines = [line, f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def multipart(parts: Sequence[tuple[str, bytes]], boundary: str = "edge") -> bytes:
    """Return a multipart body of pictures: each a part's headers and its content."""
    pieces = [
        b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), headers.encode(), content)
        for headers, content in parts
    ]
    return b"".join(pieces) + b"--%s--\r\n" % boundary.encode()


def part(name: str = "a.jpg", data: bytes | None = None) -> tuple[str, bytes]:
    """Return a part with a picture."""
    headers = f'Content-Disposition: form-data; name="picture"; filename="{name}"'
    return headers, jpeg() if data is None else data


@contextmanager
def start(
    folder: Path,
    *,
    rules: Rules | None = None,
    limits: Limits = SMALL,
    most_pending: int = 128,
    allows_training: bool = True,
    connection: type[Connection] = QuickConnection,
) -> Iterator[Live]:
    """Run a server for a folder of runs until the block ends; then stop it as a signal does."""
    service = Service(
        Shelf(folder, device=torch.device("cpu")),
        rules=rules or Rules(),
        limits=limits,
        most_pending=most_pending,
        allows_training=allows_training,
    )
    running = prepare(service, host="127.0.0.1", port=0, connection=connection)
    thread = threading.Thread(target=running.run)
    thread.start()
    live = Live(service, running, thread)
    try:
        while not running.server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield live
    finally:
        for each in live.loose:
            each.close()
        running.server.should_exit = True
        thread.join(60)
        running.listener.close()
