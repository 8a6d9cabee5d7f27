"""Bad and strange bodies of requests; each function is a case of `tests.serve.http_cases`."""

import contextlib
import gzip
import re
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.data.test_image_cases import ALL
from tests.serve.http_sent import CLOSE, IMAGE, JSON, MULTIPART, PREDICT, alone, told, upload
from tests.serve.live import SMALL, Live, head, jpeg, multipart, part, read_answers


def no_body(live: Live) -> None:
    """Refuse an empty body, whether its length is 0 or not said."""
    assert told(live.ask("/api/predict", b"")) == (400, "empty")
    assert alone(live.raw(head(PREDICT, IMAGE, CLOSE))) == (400, "empty")


def wrong_type(live: Live) -> None:
    """Refuse other types than pictures and multipart, and JSON where a form is sent."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "multipart/mixed"):
        answer = live.ask("/api/predict", jpeg(), headers={"Content-Type": kind})
        assert told(answer) == (415, "media-type")
    assert told(live.ask("/api/runs", b"{}")) == (415, "media-type")


def no_boundary(live: Live) -> None:
    """Refuse multipart without a boundary, or whose last one never comes."""
    for kind in ("multipart/form-data", "multipart/form-data; boundary="):
        answer = live.ask("/api/predict", multipart([part()]), headers={"Content-Type": kind})
        assert told(answer) == (400, "multipart")
    for cut in (4, 30, 1000):
        body = multipart([part()])[:-cut]
        assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (400, "multipart")


def a_hundred_thousand_parts(live: Live) -> None:
    """Refuse the ninth part where eight may come; the others are not read."""
    parts = [part("a", b"x")] * 1000
    body = multipart(parts)[: SMALL.body_bytes]
    assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (413, "too-many")
    length = 100_000 * len(body) // 1000
    start = head(PREDICT, f"Content-Type: {MULTIPART['Content-Type']}", f"Content-Length: {length}")
    assert alone(live.raw(start, body)) == (413, "too-large")


def a_long_part_header(live: Live) -> None:
    """Refuse a part's header that is too long, and too many headers of a part."""
    long = "Content-Disposition: form-data; name=" + "a" * 300_000
    for headers in (long, "\r\n".join(f"X-{number}: 1" for number in range(100))):
        body = multipart([(headers, jpeg())])
        assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (400, "multipart")


def nested(live: Live) -> None:
    """Refuse multipart within multipart."""
    headers = "Content-Disposition: form-data; name=a\r\nContent-Type: multipart/mixed; boundary=b"
    body = multipart([(headers, multipart([part()], "b"))])
    assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (400, "multipart")


def names(live: Live) -> None:
    """Show a name's last part alone, which leads nowhere; a line's end in one starts no header."""
    given = {
        "../../etc/passwd": "passwd",
        "a\x00b.jpg": "a?b.jpg",
        "\u202egpj.exe": "?gpj.exe",
        "..\\..\\boot.ini": "boot.ini",
        "x" * 500: "x" * 200,
    }
    for name, shown in given.items():
        body = multipart([part(name)])
        answer = live.ask("/api/predict", body, headers=MULTIPART)
        if "\x00" in name and answer.status == 400:  # the parser may refuse it first
            assert told(answer) == (400, "multipart")
            continue
        assert answer.status == 200
        assert answer.json["pictures"][0]["name"] == shown
    body = multipart([part('a"\r\nContent-Type: multipart/mixed\r\nX: "b.jpg')])
    assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (400, "multipart")


def one_byte_over(live: Live) -> None:
    """Refuse a byte above the cap, said or not; as many as the cap are read (and no picture)."""
    most = SMALL.picture_bytes
    assert told(live.ask("/api/predict", bytes(most))) == (422, "picture")
    assert alone(live.raw(upload(bytes(most + 1)))) == (413, "too-large")
    chunks = b"".join(b"%x\r\n%s\r\n" % (50_000, bytes(50_000)) for _ in range(5)) + b"0\r\n\r\n"
    start = head(PREDICT, IMAGE, CLOSE, "Transfer-Encoding: chunked")
    assert alone(live.raw(start, chunks)) == (413, "too-large")
    body = multipart([part("a", bytes(most + 1))])
    assert told(live.ask("/api/predict", body, headers=MULTIPART)) == (413, "too-large")


def lying_lengths(live: Live) -> None:
    """Wait a while for less than was said; take more than was said for no request."""
    data = jpeg()
    start = head(PREDICT, IMAGE, f"Content-Length: {len(data) + 10}")
    assert alone(live.raw(start, data)) == (408, "too-slow")
    start = head(PREDICT, IMAGE, f"Content-Length: {len(data) - 10}")
    answers = live.raw(start, data)
    assert told(answers[0]) == (422, "picture")
    assert [told(each)[1] for each in answers[1:]] in (["http"], ["too-slow"])
    assert alone(live.raw(head(PREDICT, IMAGE, "Content-Length: -1"))) == (400, "http")
    assert alone(live.raw(head(PREDICT, IMAGE, "Content-Length: 9" * 40))) == (400, "http")


def tiny_chunks(live: Live) -> None:
    """Refuse a million chunks of a byte after some thousand; whole ones are read."""
    start = head(PREDICT, IMAGE, CLOSE, "Transfer-Encoding: chunked")
    assert alone(live.raw(start, b"1\r\nx\r\n" * 1_000_000)) == (400, "chunks")
    data = jpeg()
    pieces = [data[at : at + 500] for at in range(0, len(data), 500)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces)
    (answer,) = live.raw(start, chunks, b"0\r\n\r\n")
    assert answer.status == 200


def a_trickle(live: Live) -> None:
    """Refuse a body that comes byte by byte."""
    connection = live.connect()
    connection.sendall(head(PREDICT, IMAGE, "Content-Length: 1000"))
    end = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not end.wait(0.1):
                connection.send(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        assert alone(read_answers(connection)) == (408, "too-slow")
    finally:
        end.set()
        dripping.join()


def bombs(live: Live) -> None:
    """Refuse a compressed body before a byte of it is unpacked."""
    for body in (gzip.compress(bytes(10_000_000)), gzip.compress(jpeg())):
        answer = live.ask("/api/predict", body, headers={"Content-Encoding": "gzip"})
        assert told(answer) == (415, "encoding")
    sent = MULTIPART | {"Content-Encoding": "deflate"}
    assert told(live.ask("/api/predict", multipart([part()]), headers=sent)) == (415, "encoding")


def deep_json(live: Live) -> None:
    """Refuse JSON nested too deeply, and what is larger than any form."""
    deep = b'{"fields":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert told(live.ask("/api/runs", deep, headers=JSON)) == (400, "json")
    larger = b"[" * 100_000
    assert told(live.ask("/api/runs", larger, headers=JSON)) == (413, "too-large")


def numbers_that_are_none(live: Live) -> None:
    """Refuse NaN, Infinity, half a JSON and what is no object."""
    for body in (b'{"fields": {"lr": NaN}}', b"[Infinity]", b'{"a":', b"\xff", b"[]", b"1", b'"a"'):
        assert told(live.ask("/api/runs", body, headers=JSON)) == (400, "json"), body


def pictures(live: Live) -> None:
    """Give each of the 48 pictures its answer: the reason if it is refused, else classes."""
    small = {n: c for n, c in ALL.items() if isinstance(c.make, bytes) and c.make}
    assert len(small) > 70
    for name, case in small.items():
        assert isinstance(case.make, bytes)
        answer = live.ask("/api/predict", case.make)
        if len(case.make) > SMALL.picture_bytes:
            assert told(answer) == (413, "too-large"), name
        elif isinstance(case.answer, str):
            assert told(answer) == (422, "picture"), name
            assert re.search(case.answer, answer.json["error"]["message"]), name
        else:
            assert answer.status == 200, name


def gone_in_upload(live: Live) -> None:
    """Keep nothing of a client that goes in the middle of its upload."""
    for _ in range(5):
        connection = live.connect()
        connection.sendall(head(PREDICT, IMAGE, "Content-Length: 100000") + bytes(50_000))
        _reset(connection)
    for _ in range(3):
        connection = live.connect()
        connection.sendall(head(PREDICT, IMAGE, "Content-Length: 1000") + b"half")
        connection.close()
    _settled(live)
    assert live.ask("/api/predict", jpeg()).status == 200


def gone_in_answer(live: Live) -> None:
    """Go on when a client does not wait for its answer."""
    for _ in range(5):
        connection = live.connect()
        connection.sendall(upload(jpeg()))
        _reset(connection)
    connection = live.connect()
    connection.sendall(head("GET /api/runs/one/events HTTP/1.1"))
    connection.recv(100)
    _reset(connection)
    _settled(live)
    assert live.ask("/api/predict", jpeg()).status == 200


def twins(live: Live) -> None:
    """Answer two identical uploads at once alike."""
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: live.ask("/api/predict", jpeg(9)), range(2)))
    assert [each.status for each in answers] == [200, 200]
    first, second = (each.json["pictures"][0]["labels"] for each in answers)
    assert [each["class"] for each in first] == [each["class"] for each in second]


def _reset(connection: socket.socket) -> None:
    """Close a connection with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _settled(live: Live) -> None:
    """Wait until nothing is held for requests that are gone."""
    service = live.service
    until = time.monotonic() + 60
    while (service.pending, service.room.taken, service.followers) != (0, 0, 0):
        assert time.monotonic() < until, (service.pending, service.room.taken, service.followers)
        time.sleep(0.02)
