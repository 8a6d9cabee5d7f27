"""Bad and strange heads of requests; each function is a case of `tests.serve.http_cases`."""

import resource

from alexnet.serve.server import allow_many_files
from tests.serve.http_sent import CLOSE, IMAGE, PREDICT, alone, told
from tests.serve.live import CLASSES, Live, head, jpeg, read_answers


def a_slow_head(live: Live) -> None:
    """Refuse a head that does not end, the first of a connection and the next."""
    assert alone(live.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n")) == (408, "too-slow")
    answers = live.raw(head("GET /healthz HTTP/1.1") + b"GET /heal")
    assert [each.status for each in answers] == [200, 408]


def idle(live: Live) -> None:
    """Close connections that say nothing; meanwhile they hinder nobody."""
    allow_many_files()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # both ends are in this process
    silent = [live.connect() for _ in range(min(1000, files // 3))]
    assert live.ask("/api/predict", jpeg()).status == 200
    assert alone(read_answers(silent[0])) == (408, "too-slow")
    assert alone(read_answers(silent[-1])) == (408, "too-slow")


def pipelining(live: Live) -> None:
    """Answer requests that wait for no answer in their order."""
    first = head(
        PREDICT.replace("predict", "predict?top=1"), IMAGE, f"Content-Length: {len(jpeg())}"
    )
    requests = first + jpeg() + head("GET /nothing HTTP/1.1") + head("GET /healthz HTTP/1.1", CLOSE)
    assert [each.status for each in live.raw(requests)] == [200, 404, 200]


def the_first_http(live: Live) -> None:
    """Refuse HTTP/0.9, HTTP/9.9 and what is no HTTP at all."""
    for line in (b"GET /\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"hello\r\n\r\n"):
        assert alone(live.raw(line)) == (400, "http")
    assert alone(live.raw(b"GET / HTTP/9.9\r\n\r\n")) == (505, "version")


def smuggling(live: Live) -> None:
    """Refuse two lengths, or one in odd clothes, and end the connection there."""
    hidden = head("GET /healthz HTTP/1.1")
    for lengths in (
        ("Content-Length: 6", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 6"),
        ("Content-Length: 6", "Content-Length: 7"),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Content-Length: +6",),
        ("Content-Length: 0x6",),
    ):
        answers = live.raw(head(PREDICT, IMAGE, *lengths) + b"0\r\n\r\n" + hidden)
        assert len(answers) == 1, lengths
        assert told(answers[0]) in ((400, "http"), (400, "framing"), (501, "http")), lengths


def a_long_url(live: Live) -> None:
    """Refuse a URL of 64 KB as it comes, one of 10 KB once it is there."""
    assert alone(live.raw(head(f"GET /{'a' * 65_536} HTTP/1.1"))) == (431, "http")
    assert told(live.ask(f"/{'a' * 10_000}")) == (414, "url")
    assert told(live.ask(f"/?{'a' * 10_000}")) == (414, "url")
    many = [f"X-{number}: 1" for number in range(100)]
    assert alone(live.raw(head("GET / HTTP/1.1", *many))) == (431, "headers")


def escapes(live: Live) -> None:
    """Refuse escapes that are none, hide a path, or are escaped again."""
    for path in ("/%zz", "/%", "/%2", "/%00", "/%2e%2e/x", "/a%5cb", "/%ff", "/a//b", "/..%2fx"):
        assert told(live.ask(path)) == (400, "url"), path
    for path in ("/%252e%252e%252fetc", "/api/runs/%252e%252e", "/static/%252e%252e%252fapp.py"):
        assert told(live.ask(path)) == (404, "not-found"), path


def hosts(live: Live) -> None:
    """Refuse a Host that is missing, odd, or no name of this server, as a rebound one is not."""
    assert alone(live.raw(b"GET /healthz HTTP/1.1\r\n\r\n")) == (400, "http")
    assert alone(live.raw(b"GET /healthz HTTP/1.0\r\n\r\n")) == (400, "host")
    for host in ("", "a b", "127.0.0.1@evil.example", "localhost:80:80", "127.0.0.1/", "[::1"):
        assert alone(live.raw(head("GET /healthz HTTP/1.1", CLOSE, host=host)))[0] == 400, host
    for host in ("evil.example", f"evil.example:{live.port}", "127.0.0.1.evil.example", "10.0.0.1"):
        found = live.raw(head("GET /healthz HTTP/1.1", CLOSE, host=host))
        assert alone(found) == (421, "host"), host
    for host in (f"localhost:{live.port}", "LOCALHOST", "[::1]:80"):
        (answer,) = live.raw(head("GET /healthz HTTP/1.1", CLOSE, host=host))
        assert answer.status == 200


def origins(live: Live) -> None:
    """Refuse another origin's requests; the page's own are answered."""
    own = f"http://127.0.0.1:{live.port}"
    others = (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "https://",
        "http://[",
        f"{own}.x",
    )
    for origin in others:
        answer = live.ask("/api/predict", jpeg(), headers={"Origin": origin})
        assert told(answer) == (403, "origin"), origin
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert live.ask("/api/predict", jpeg(), headers={"Origin": own}).status == 200


def other_sites(live: Live) -> None:
    """Refuse what another site makes a browser send, but for a link to the page."""
    for site in ("cross-site", "same-site", "odd"):
        sent = {"Sec-Fetch-Site": site}
        assert told(live.ask("/api/predict", jpeg(), headers=sent)) == (403, "origin")
        assert told(live.ask("/api/pictures/0", headers=sent)) == (403, "origin")
        assert told(live.ask("/", headers=sent)) == (403, "origin")
        link = sent | {"Sec-Fetch-Mode": "navigate"}
        assert live.ask("/", headers=link).status == 200
        assert told(live.ask("/api/models", headers=link)) == (403, "origin")
    for site in ("same-origin", "none"):
        assert live.ask("/api/models", headers={"Sec-Fetch-Site": site}).status == 200


def methods(live: Live) -> None:
    """Refuse TRACE, CONNECT, OPTIONS and the rest, and say nothing of CORS."""
    for method in ("TRACE", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND"):
        answer = live.ask("/api/predict", method=method)
        assert told(answer) == (405, "method")
        assert answer.headers["allow"] == "POST"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert alone(live.raw(head("CONNECT evil.example:443 HTTP/1.1")))[0] in (400, 405)
    assert told(live.ask("/api/predict")) == (405, "method")
    assert told(live.ask("/api/models", b"")) == (405, "method")
    assert live.ask("/api/models", b"").headers["allow"] == "GET, HEAD"
    assert live.ask("/api/runs", method="PUT").headers["allow"] == "GET, HEAD, POST"


def ranges(live: Live) -> None:
    """Serve no part: a thousand ranges get the whole once."""
    whole = live.ask("/")
    many = "bytes=" + ",".join(f"{number}-" for number in range(1000))
    for value in (many, "bytes=0-0", "bytes=-1", "bytes=9-1", "lines=1"):
        answer = live.ask("/", headers={"Range": value})
        assert (answer.status, answer.body) == (200, whole.body)


def websockets(live: Live) -> None:
    """Refuse a websocket."""
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    for path in ("/", "/api/runs/one/events"):
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        answers = live.raw(head(f"GET {path} HTTP/1.1", *upgrade, key))
        assert told(answers[0]) == (400, "upgrade")


def static_paths(live: Live) -> None:
    """Serve nothing but the page's own files."""
    for path in ("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py"):
        assert alone(live.raw(head(f"GET {path} HTTP/1.1", CLOSE))) == (400, "url"), path
    for path in (
        "/static/app.py",
        "/static/",
        "/static/index.html.bak",
        "/etc/passwd",
        "/static/%2F",
    ):
        assert told(live.ask(path))[0] in (400, 404), path
    assert live.ask("/static/index.html").headers["content-type"] == "text/html; charset=utf-8"


def class_names(live: Live) -> None:
    """Give class names that are HTML back as data that no browser runs."""
    answer = live.ask("/api/predict", jpeg())
    assert CLASSES[0] in [each["class"] for each in answer.json["pictures"][0]["labels"]]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    found = live.ask("/%3Cscript%3Ealert(1)%3C/script%3E")
    assert told(found) == (404, "not-found")
    assert b"<script>" not in found.body
