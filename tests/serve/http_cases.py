"""The 34 bad or strange requests that a server may get, each with the answer it gets.

Each case sends over a real socket, with a client library only where that would send such a thing,
and checks what comes back. Where a case names several requests, each has its answer.
"""

from collections.abc import Callable

from tests.serve import http_bodies as bodies
from tests.serve import http_heads as heads
from tests.serve.live import Live

CASES: dict[str, Callable[[Live], None]] = {
    "no body": bodies.no_body,
    "wrong type": bodies.wrong_type,
    "no boundary": bodies.no_boundary,
    "100,000 parts": bodies.a_hundred_thousand_parts,
    "1 MB part header": bodies.a_long_part_header,
    "nested multipart": bodies.nested,
    "names with ../, NUL, CRLF, RTL": bodies.names,
    "1 byte over the cap": bodies.one_byte_over,
    "lying Content-Length": bodies.lying_lengths,
    "1,000,000 tiny chunks": bodies.tiny_chunks,
    "1 B/s body": bodies.a_trickle,
    "slow header": heads.a_slow_head,
    "1,000 idle": heads.idle,
    "pipelining": heads.pipelining,
    "HTTP/0.9": heads.the_first_http,
    "request smuggling pairs": heads.smuggling,
    "64 KB URL": heads.a_long_url,
    "bad and double %-encoding": heads.escapes,
    "Host missing, foreign, rebinding": heads.hosts,
    "foreign Origin": heads.origins,
    "Sec-Fetch-Site cross-site": heads.other_sites,
    "TRACE, CONNECT, OPTIONS": heads.methods,
    "Range abuse": heads.ranges,
    "gzip body bomb": bodies.bombs,
    "websocket upgrade": heads.websockets,
    "JSON depth": bodies.deep_json,
    "JSON NaN": bodies.numbers_that_are_none,
    "every image case": bodies.pictures,
    "static path traversal": heads.static_paths,
    "disconnect in upload": bodies.gone_in_upload,
    "disconnect in answer": bodies.gone_in_answer,
    "2 identical uploads at once": bodies.twins,
    "class names with <script>": heads.class_names,
}
"""All but one: "token missing, wrong" needs a server that asks for one."""
