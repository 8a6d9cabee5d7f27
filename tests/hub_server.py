"""A server on 127.0.0.1 that answers what huggingface_hub asks of Hugging Face, from memory.

Source:  huggingface.co/docs/hub/api, and the requests of huggingface_hub 2.4.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """One repository, someone/digits, on the branch main."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        """Method and path of each request."""
        self.created: dict[str, object] = {}
        """What the repository was made with."""
        self.message = ""
        """Of the last commit."""
        self.refuses = 0
        """Status of every answer, unless 0."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        _, owner, name, *rest = self.path.split("/")
        if self.server.refuses:
            self.refuse(self.server.refuses, "")
        elif (owner, name) != ("someone", "digits"):
            self.refuse(404, "RepoNotFound")
        elif rest[1] not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif rest[2] not in self.server.files:
            self.refuse(404, "EntryNotFound")
        else:
            self.give(self.server.files[rest[2]])

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refuses:
            self.refuse(self.server.refuses, "")
        elif self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self.say({"url": f"{self.server.url}/someone/digits"})
        elif self.path == "/api/validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = [{"path": each["path"]} for each in json.loads(body)["files"]]
            self.say(
                {
                    "files": [
                        each | {"uploadMode": "regular", "shouldIgnore": False} for each in files
                    ]
                }
            )
        elif self.path.endswith("/commit/main"):
            self.commit([json.loads(line) for line in body.splitlines()])
            self.say(
                {"commitOid": COMMIT, "commitUrl": f"{self.server.url}/someone/digits/commit/x"}
            )
        else:
            self.refuse(404, "")

    def commit(self, lines: list[dict[str, dict[str, str]]]) -> None:
        self.server.message = lines[0]["value"]["summary"]
        for line in lines[1:]:
            value = line["value"]
            self.server.files[value["path"]] = base64.b64decode(value["content"])

    def say(self, value: object) -> None:
        self.give(json.dumps(value).encode())

    def give(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a server in a thread."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
