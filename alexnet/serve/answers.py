"""What the server answers: JSON, PNG, and one form for all that is refused.

    {"error": {"code": "too-large", "message": "what is wrong", "hint": "the way out"}}

The page's rules (CSP) and what keeps other sites out of an answer stand in every answer's headers.
Names of classes and of pictures are data: they leave as JSON strings and never as HTML.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

SAFE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
"""In every answer: nothing from elsewhere runs in the page; no other site reads or frames it."""
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters, and those that turn the direction of text."""
LONGEST_NAME = 200


class Refused(Exception):
    """A request is refused; the message says what is wrong, the hint what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.hint = status, code, hint
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, str]:
        """Return what stands below "error"."""
        return {"code": self.code, "message": str(self), "hint": self.hint}


def json_answer(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return plain values as JSON in ASCII; numbers that are not finite are null."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return Response(text, status, dict(headers or {}), "application/json")


def error_answer(error: Refused) -> Response:
    """Return a refusal in its one form."""
    return json_answer({"error": error.to_json()}, error.status, headers=error.headers)


def error_bytes(error: Refused) -> bytes:
    """Return the body of a refusal, where there is no framework to send it."""
    return json.dumps({"error": error.to_json()}).encode()


def printable(name: str) -> str:
    """Return the last part of a path that somebody sent, fit to be shown.

    Unprintable characters become "?".
    """
    last = re.split(r"[/\\]", UNPRINTABLE.sub("?", name))[-1]
    return last[:LONGEST_NAME]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
