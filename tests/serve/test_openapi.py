"""The API's description, and that the server keeps it whatever is sent.

In place of schemathesis, which brings six packages and a compiled one: hypothesis draws requests
from the description, good ones and odd, and each answer is held to what the description says.
"""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.serve.app import ROUTES
from alexnet.serve.openapi import ERROR, MEANINGS, describe, statuses_of
from tests.serve.live import Live, jpeg, multipart, part

EVENTS = "/api/runs/{name}/events"
BYTES = st.binary(max_size=200)
NAMES = st.one_of(
    st.sampled_from(["one", "0", "index.html", "..", "%", "a/b"]), st.text(max_size=9)
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


def test_the_description_has_every_route() -> None:
    found = describe(ROUTES)
    assert found["openapi"] == "3.1.0"
    for each in ROUTES:
        operation = found["paths"][each.path][each.method.lower()]
        assert operation["summary"].endswith(".")
        assert set(operation["responses"]) == {str(status) for status in statuses_of(each)}
        assert ("requestBody" in operation) == (each.body is not None)
        named = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
        assert named == list(each.query)
    numbers = [o["operationId"] for path in found["paths"].values() for o in path.values()]
    assert len(set(numbers)) == len(numbers)
    assert json.loads(json.dumps(found)) == found


def test_the_server_gives_its_description(live: Live) -> None:
    assert live.ask("/openapi.json").json == describe(ROUTES)


def value_of(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Return values of a parameter, some of them none that it takes."""
    odd = st.text(max_size=12) | st.integers().map(str)
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | odd
    if schema["type"] == "integer":
        return st.integers(schema.get("minimum", 0), schema.get("maximum", 999)).map(str) | odd
    return st.sampled_from(["", "one", "conv1", "fc8"]) | odd


@st.composite
def requests(draw: st.DrawFn) -> tuple[Any, str, bytes | None, dict[str, str]]:
    """Draw a route, and a request for it that may be wrong in any part."""
    entry = draw(st.sampled_from([each for each in ROUTES if each.path != EVENTS]))
    operation = describe([entry])["paths"][entry.path][entry.method.lower()]
    path, query = entry.path, []
    for each in operation["parameters"]:
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", quote(draw(NAMES), safe="") or "x")
        elif draw(st.booleans()):
            query.append(f"{each['name']}={quote(draw(value_of(each['schema'])))}")
    path += "?" + "&".join(query) if query else ""
    if entry.method == "GET":
        return entry, path, None, {}
    json_body = (JSONS.map(lambda v: json.dumps(v).encode()), "application/json")
    picture = (BYTES | st.just(jpeg()), "image/jpeg")
    parts = st.lists(BYTES | st.just(jpeg()), max_size=3)
    several = (
        parts.map(lambda datas: multipart([part("a", data) for data in datas])),
        "multipart/form-data; boundary=edge",
    )
    odd = (BYTES, draw(st.sampled_from(["text/plain", "", "multipart/form-data", "image/"])))
    bodies, kind = draw(st.sampled_from([json_body, picture, several, odd]))
    return entry, path, draw(bodies), {"Content-Type": kind}


def holds(error: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value is an object with all the strings that a schema asks for."""
    if schema["type"] == "string":
        return isinstance(error, str)
    wanted = schema["properties"]
    return set(error) == set(wanted) and all(holds(error[name], wanted[name]) for name in wanted)


@settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(request=requests())
def test_every_answer_is_one_that_is_described(
    live: Live, request: tuple[Any, str, bytes | None, dict[str, str]]
) -> None:
    entry, path, body, headers = request
    live.service.trainings.data = None  # so that nothing is really trained
    answer = live.ask(path, body, method=entry.method, headers=headers)
    if answer.status == 404 and "?" not in path:  # a name that holds a "/" is another path
        assert holds(answer.json, ERROR)
        return
    assert answer.status in statuses_of(entry) | {303, 404}, (path, answer.status, answer.body)
    assert answer.status in MEANINGS or answer.status == 303
    if answer.status >= 400:
        assert holds(answer.json, ERROR)
        assert answer.headers["content-type"] == "application/json"
    elif entry.answers == "application/json":
        assert answer.json is not None
