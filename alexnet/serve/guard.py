"""Who may ask: before any route, a request shows where it comes from and what it may do.

A page of another site can make a browser send requests to this server; DNS can be made to give a
foreign name this machine's address. So the Host must be one of ours, Origin and Sec-Fetch-Site must
not be another site's, and outside loopback a token is asked for, compared in constant time. No CORS
header is ever sent.
Source: Barth, Jackson and Mitchell 2008, Robust Defenses for Cross-Site Request Forgery; W3C, Fetch
Metadata Request Headers.
"""

import hashlib
import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alexnet.serve.answers import SAFE_HEADERS, Refused, error_answer

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LONGEST_URL, MOST_HEADERS, HEADER_BYTES = 8192, 64, 16_384
SHORTEST_TOKEN = 16
COOKIE = "alexnet-token"
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
BAD_PATH = re.compile(r"[\x00-\x1f\x7f\\]|(^|/)\.\.?(/|$)|//|\ufffd")


@dataclass(frozen=True)
class Rules:
    """Whom the server answers."""

    names: frozenset[str] = frozenset(LOOPBACK)
    """Names that it goes by, in lower case."""
    any_address: bool = False
    """Whether any IP address will do as its name; DNS cannot make one lie."""
    token: str = ""
    """What is asked for; "" asks for nothing."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that is bound to `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def rules_for(host: str, token_file: Path | None, names: tuple[str, ...] = ()) -> Rules:
    """Return the rules for a server bound to `host`; `names` are this machine's.

    Raises: ValueError if it is bound outside loopback without a token, or the token is refused;
            OSError if it cannot be read.
    """
    token = read_token(token_file) if token_file else ""
    if is_loopback(host):
        return Rules(frozenset((*LOOPBACK, host.strip("[]"))), token=token)
    if not token:
        raise ValueError(
            f"host is {host}, which other machines reach; give --token-file FILE with a secret, "
            "or leave out --host"
        )
    known = frozenset(name.lower() for name in (*LOOPBACK, host, *names))
    return Rules(known, any_address=True, token=token)


def read_token(path: Path) -> str:
    """Read a secret from a file that nobody else may read.

    Raises: ValueError if others may read it, or the secret is too short; OSError if there is none.
    """
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise ValueError(
                f"{path} may be read by others (mode {mode:04o}); make it yours alone with "
                f"chmod 600 {path}"
            )
        token = file.read(4096).decode("ascii", errors="replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"the token in {path} has {len(token)} characters; it must have at least "
            f"{SHORTEST_TOKEN} of ASCII, such as openssl rand -hex 16 prints"
        )
    return token


class Guard:
    """Lets requests through to `app` that keep the rules, and adds the headers of all answers."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            check(scope, self.rules)
        except Refused as error:
            if scope["path"] != "/healthz" or error.code != "token":
                if error.code == "framing" or not _has_body(scope):
                    error.headers["connection"] = "close"
                await error_answer(error)(scope, receive, send_safely)
                return
        await self.app(scope, receive, send_safely)


def check(scope: Scope, rules: Rules) -> None:
    """Check all that can be told from a request's head.

    Raises: Refused for what breaks the rules.
    """
    headers = Headers(scope=scope)
    _check_form(scope, headers)
    host = _check_host(headers, rules)
    _check_origin(scope, headers, host)
    if rules.token and not _has_token(scope, headers, rules.token):
        raise Refused(
            401,
            "token",
            "the server asks for its token",
            hint="send Authorization: Bearer TOKEN, or open the page as /?token=TOKEN",
            headers={"www-authenticate": "Bearer"},
        )


def asked_with_token(query: Mapping[str, list[str]] | bytes) -> str:
    """Return the token of a query string, or ""."""
    if isinstance(query, bytes):
        query = parse_qs(query.decode("latin-1"), max_num_fields=50)
    return query.get("token", [""])[0]


def _check_form(scope: Scope, headers: Headers) -> None:
    if scope["http_version"] not in ("1.0", "1.1"):
        raise Refused(505, "version", "the server speaks HTTP/1.1")
    raw_path: bytes = scope.get("raw_path") or b""
    if len(raw_path) + len(scope["query_string"]) > LONGEST_URL:
        raise Refused(414, "url", f"the URL has more than {LONGEST_URL} bytes")
    size = sum(len(name) + len(value) for name, value in headers.raw)
    if len(headers.raw) > MOST_HEADERS or size > HEADER_BYTES:
        raise Refused(431, "headers", "the headers are too many or too long")
    if "transfer-encoding" in headers and "content-length" in headers:
        raise Refused(400, "framing", "the request says twice how long it is")
    if headers.get("upgrade", "").lower() == "websocket":
        raise Refused(400, "upgrade", "there is no websocket here", hint="GET .../events follows")
    path: str = scope["path"]
    if not path.startswith("/") or BAD_ESCAPE.search(raw_path) or BAD_PATH.search(path):
        raise Refused(400, "url", "the path of the URL is not well formed")


def _check_host(headers: Headers, rules: Rules) -> str:
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?", hosts[0]):
        raise Refused(400, "host", "the request has no Host header, or no good one")
    host = hosts[0].lower()
    name = re.sub(r":\d+$", "", host).strip("[]")
    if name not in rules.names and not (rules.any_address and _is_address(name)):
        raise Refused(
            421,
            "host",
            f"this server does not go by the name {name!r}",
            hint=f"ask {', '.join(sorted(rules.names))}",
        )
    return host


def _check_origin(scope: Scope, headers: Headers, host: str) -> None:
    """Refuse what a page of another site makes a browser send; a link to our page is welcome."""
    site = headers.get("sec-fetch-site", "none").lower()
    reads = scope["method"] in ("GET", "HEAD")
    follows_link = reads and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not follows_link:
        raise Refused(403, "origin", f"the request comes from another site ({site[:20]})")
    origin = headers.get("origin")
    if origin is not None and (not _is_origin(origin, host)):
        raise Refused(403, "origin", "the request comes from another origin")


def _is_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc == host


def _has_token(scope: Scope, headers: Headers, token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    offered = [given.strip()] if scheme.lower() == "bearer" else []
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        offered += [cookie.value] if cookie else []
    except CookieError:
        pass
    if scope["path"] == "/":
        offered.append(asked_with_token(scope["query_string"]))
    return sum(_same(each, token) for each in offered) > 0  # all are compared


def _same(given: str, token: str) -> bool:
    """Compare in a time that depends on neither."""
    digests = [hashlib.sha256(each.encode()).digest() for each in (given, token)]
    return hmac.compare_digest(*digests)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_body(scope: Scope) -> bool:
    """Return whether a body follows; `wire` drops it for a moment, while the client still sends."""
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
