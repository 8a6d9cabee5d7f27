"""The table of docs/serve.md, from the server's own routes.

python -m docs.site.routes
"""

import json

from alexnet.serve.app import ROUTES
from alexnet.serve.openapi import describe

KINDS = {"application/json": "JSON", "text/html": "HTML", "text/event-stream": "events"}


def table() -> str:
    """Return a row for each route: method and path with its query, and what it does."""
    paths = describe(ROUTES)["paths"]
    rows = []
    for entry in ROUTES:
        operation = paths[entry.path][entry.method.lower()]
        query = ", ".join(f"`{name}`" for name in entry.query)
        does = operation["summary"].rstrip(".")
        kind = KINDS.get(entry.answers, f"`{entry.answers}`")
        asked = f"; takes {query}" if query else ""
        rows.append(f"| `{entry.method} {entry.path}` | {does} ({kind}){asked} |\n")
    return "".join(rows)


def refusal() -> str:
    """Return what is said to a request that is refused."""
    told = {
        "code": "query",
        "message": "top is no whole number from 1 to 100000",
        "hint": "top=5",
    }
    return json.dumps({"error": told}, indent=2)


if __name__ == "__main__":
    print(table(), end="")
