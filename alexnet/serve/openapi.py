"""The description of the API, OpenAPI 3.1, made from the table of routes.

Source: OpenAPI Specification 3.1.1.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from alexnet import __version__

if TYPE_CHECKING:
    from alexnet.serve.app import Entry

MOST_COUNTED = 1000
NUMBER = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
COUNT = {"type": "integer", "minimum": 1}
KINDS = (
    *("picture", "activations", "grad-cam", "occlusion", "deconvnet"),
    *("statistics", "values"),
)
PARAMETERS: dict[str, dict[str, Any]] = {
    "model": {"schema": {"type": "string"}, "description": "a model's name; the newest if none"},
    "top": {"schema": COUNT | {"maximum": 100_000, "default": 5}, "description": "classes to name"},
    "kind": {"schema": {"enum": list(KINDS)}, "description": "what to look at"},
    "layer": {"schema": {"type": "string"}, "description": "a layer; the last with maps if none"},
    "unit": {"schema": NUMBER, "description": "a map of the layer"},
    "row": {"schema": NUMBER, "description": "a row of the map"},
    "column": {"schema": NUMBER, "description": "a column of the map"},
    "class": {"schema": NUMBER, "description": "a class by its number; the first answer if none"},
    "count": {"schema": COUNT | {"maximum": MOST_COUNTED}, "description": "how many"},
    "truth": {"schema": NUMBER, "description": "number of the true class of a cell"},
    "answer": {"schema": NUMBER, "description": "number of the class answered"},
    "size": {
        "schema": {"type": "integer", "minimum": 16, "maximum": 1024, "default": 256},
        "description": "longest side in pixels",
    },
    "after": {"schema": NUMBER, "description": "byte of the journal from which to go on"},
}
PLACES = {
    "name": {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"},
    "file": {"type": "string", "pattern": r"^[a-z_]+\.[a-z]+$"},
    "number": NUMBER,
}
"""What stands in a path: the name of a run, a file of the page, a labelled picture's number."""
BINARY = {
    "schema": {"type": "string", "contentMediaType": "application/octet-stream", "minLength": 1}
}
BODY = {
    "image/*": BINARY,
    "application/octet-stream": BINARY,
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "picture": {"type": "array", "items": {"type": "string", "format": "binary"}}
            },
        }
    },
}
"""A picture, or several."""
JSON = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "data": {"type": "string"},
                "recipe": {"type": "string"},
                "name": {"type": "string"},
                "fields": {"type": "object"},
            },
            "required": ["data"],
            "additionalProperties": False,
        }
    }
}
ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {each: {"type": "string"} for each in ("code", "message", "hint")},
            "required": ["code", "message", "hint"],
        }
    },
    "required": ["error"],
}
ANYWHERE = (400, 401, 403, 405, 414, 421, 431)
WITH_BODY = (404, 408, 409, 413, 415, 422, 503)
MEANINGS = {
    200: "the answer",
    201: "begun",
    202: "begun, or not all there yet",
    400: "not well formed",
    401: "the token is missing or wrong",
    403: "not allowed from there",
    404: "not there",
    405: "another method",
    408: "too slow",
    409: "not now",
    413: "too large",
    414: "the URL is too long",
    415: "another media type",
    421: "another host",
    422: "no picture that can be read",
    431: "the headers are too long",
    503: "busy; Retry-After says when to come again",
}


def describe(entries: "Sequence[Entry]") -> dict[str, Any]:
    """Return the description of a table of routes."""
    paths: dict[str, dict[str, Any]] = {}
    for each in entries:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "alexnet serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}},
    }


def statuses_of(entry: "Entry") -> set[int]:
    """Return every status that a route may answer."""
    found = {200, *entry.statuses, *ANYWHERE}
    return found | set(WITH_BODY) if entry.method == "POST" else found


def _operation(entry: "Entry") -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": entry.handler.__name__,
        "summary": (entry.handler.__doc__ or "").strip().splitlines()[0],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": PLACES[name]}
                for name in re.findall(r"{(\w+)}", entry.path)
            ),
            *({"name": name, "in": "query", **PARAMETERS[name]} for name in entry.query),
        ],
        "responses": {
            str(status): _response(entry, status) for status in sorted(statuses_of(entry))
        },
    }
    if entry.body is not None:
        operation["requestBody"] = {"required": True, "content": entry.body}
    return operation


def _response(entry: "Entry", status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": MEANINGS[status]}
    if status < 300:
        response["content"] = {entry.answers: {}}
        if entry.path == "/api/look":
            response["content"]["application/json"] = {}
    else:
        error = {"schema": {"$ref": "#/components/schemas/Error"}}
        response["content"] = {"application/json": error}
    return response
