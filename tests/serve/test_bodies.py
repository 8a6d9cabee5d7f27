"""Bodies under caps; what they are refused for over HTTP is in test_http_cases.py."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from alexnet.serve.answers import Refused
from alexnet.serve.bodies import Limits, Room, read_json, read_pictures
from tests.serve.live import multipart

LIMITS = Limits(picture_bytes=100, body_bytes=1000, json_bytes=50, pictures=3, together_bytes=250)


def request(pieces: Iterable[bytes], kind: str, *, ends: bool = True) -> Request:
    """Return a request whose body comes in pieces; without its end the client goes."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append({"type": "http.request", "body": b""} if ends else {"type": "http.disconnect"})
    remaining = iter(messages)

    async def receive() -> Message:
        return next(remaining)

    headers = [(b"content-type", kind.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_pieces_make_a_picture_whose_bytes_are_set_aside() -> None:
    room = Room(LIMITS)
    (found,) = asyncio.run(read_pictures(request([b"ab", b"", b"c"], "image/png"), room))
    assert (found.name, found.data, room.taken) == ("", b"abc", 3)


def test_parts_are_the_same_wherever_the_pieces_are_cut() -> None:
    parts = [
        ('Content-Disposition: form-data; name="f"; filename="a.jpg"', b"1\r\n--edg"),
        ('content-disposition: form-data; name="only"', b""),
    ]
    body, kind = multipart(parts), "multipart/form-data; boundary=edge"
    for cut in range(1, len(body)):
        room = Room(LIMITS)
        pieces = [body[:cut], body[cut:]]
        found = asyncio.run(read_pictures(request(pieces, kind), room))
        assert [(each.name, each.data) for each in found] == [
            ("a.jpg", b"1\r\n--edg"),
            ("only", b""),
        ]
        assert room.taken == 8  # not the parts' headers


def test_all_bodies_together_have_a_cap() -> None:
    room = Room(LIMITS)
    for _ in range(2):
        asyncio.run(read_pictures(request([bytes(100)], "image/png"), room))
    with pytest.raises(Refused, match="the server holds as many uploads as it may") as refused:
        asyncio.run(read_pictures(request([bytes(40), bytes(40)], "image/png"), room))
    assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
    assert room.taken == 200
    room.give_back(100)
    asyncio.run(read_pictures(request([bytes(80)], "image/png"), room))
    assert room.taken == 180


@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=edge"])
def test_a_client_that_goes_leaves_nothing(kind: str) -> None:
    room = Room(LIMITS)
    body = multipart([('Content-Disposition: form-data; name="a"', b"1")])[:50]
    with pytest.raises(ClientDisconnect):
        asyncio.run(read_pictures(request([body], kind, ends=False), room))
    assert room.taken == 0


def test_json_leaves_nothing_whatever_it_is() -> None:
    room = Room(LIMITS)
    assert asyncio.run(read_json(request([b'{"a"', b": 1}"], "application/json"), room)) == {"a": 1}
    assert asyncio.run(read_json(request([], "application/json; charset=utf-8"), room)) == {}
    with pytest.raises(Refused, match="the body is no JSON: NaN is no number of JSON"):
        asyncio.run(read_json(request([b'{"a": NaN}'], "application/json"), room))
    with pytest.raises(Refused, match="the body is JSON, but no object"):
        asyncio.run(read_json(request([b"[]"], "application/json"), room))
    with pytest.raises(Refused, match="more than 50 bytes"):
        asyncio.run(read_json(request([bytes(51)], "application/json"), room))
    with pytest.raises(Refused, match="the body is not marked as JSON"):
        asyncio.run(read_json(request([b"{}"], "text/plain"), room))
    assert room.taken == 0


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> Message:
        await asyncio.sleep(600)
        return {}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"image/png")]}
    room = Room(replace(LIMITS, patience_seconds=0.05))
    with pytest.raises(Refused, match="0 bytes of the body came in 0 s") as refused:
        asyncio.run(read_pictures(Request(scope, never), room))
    assert refused.value.hint == "send at least 16384 bytes a second"
