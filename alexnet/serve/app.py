"""The application: one table of routes, and how what is refused becomes an answer."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from alexnet.serve import openapi, routes
from alexnet.serve.answers import Refused, error_answer, json_answer
from alexnet.serve.guard import Guard
from alexnet.serve.openapi import BODY, JSON, PARAMETERS
from alexnet.serve.predicting import predict
from alexnet.serve.service import Service

LOG = logging.getLogger("alexnet.serve")


class Entry(NamedTuple):
    """A route."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    query: tuple[str, ...] = ()
    """Its parameters, of `openapi.PARAMETERS`."""
    body: Any = None
    """The schema of its body, if it takes one."""
    answers: str = "application/json"
    statuses: tuple[int, ...] = ()
    """Statuses besides 200 and those that any route has."""


async def describe_api(request: Request) -> Response:
    """Return this description."""
    return json_answer(openapi.describe(ROUTES))


IMAGE, EVENTS, HTML = "image/png", "text/event-stream", "text/html"
ROUTES = (
    Entry("GET", "/", routes.page, answers=HTML),
    Entry("GET", "/static/{file}", routes.static, answers="*/*", statuses=(404,)),
    Entry("GET", "/healthz", routes.health, statuses=(503,)),
    Entry("GET", "/openapi.json", describe_api),
    Entry("GET", "/api/models", routes.list_models),
    Entry("GET", "/api/model", routes.describe_model, ("model",), statuses=(404, 503)),
    Entry("POST", "/api/predict", predict, ("model", "top"), BODY),
    Entry(
        *("POST", "/api/look", routes.look),
        *(("model", "kind", "layer", "unit", "class"), BODY, IMAGE),
    ),
    Entry(
        *("POST", "/api/arithmetic", routes.explain),
        *(("model", "layer", "unit", "row", "column"), BODY),
    ),
    Entry(
        *("GET", "/api/exciting", routes.exciting),
        *(("model", "layer", "unit"), None),
        statuses=(202, 404, 503),
    ),
    Entry("GET", "/api/kernels", routes.kernels, ("model",), None, IMAGE, (404, 503)),
    Entry("POST", "/api/similar", routes.similar, ("model", "count"), BODY, statuses=(202,)),
    Entry(
        *("GET", "/api/confusion", routes.confusion),
        *(("model", "truth", "answer", "count"), None),
        statuses=(202, 404, 503),
    ),
    Entry(
        *("GET", "/api/mistakes", routes.list_mistakes, ("model", "count")),
        statuses=(202, 404, 503),
    ),
    Entry(
        *("GET", "/api/pictures/{number}", routes.picture, ("model", "size"), None),
        *("image/jpeg", (404, 422, 503)),
    ),
    Entry("GET", "/api/runs", routes.list_runs),
    Entry("POST", "/api/runs", routes.start_run, (), JSON, statuses=(201,)),
    Entry("GET", "/api/runs/{name}", routes.describe_run, statuses=(404,)),
    Entry(
        "GET", "/api/runs/{name}/events", routes.follow_run, ("after",), None, EVENTS, (404, 503)
    ),
    Entry("GET", "/api/runs/{name}/report", routes.report, (), None, HTML, (404,)),
    Entry("POST", "/api/runs/{name}/stop", routes.stop_run, statuses=(202, 404)),
    Entry("POST", "/api/runs/{name}/resume", routes.resume_run, statuses=(202, 404)),
    Entry("GET", "/api/recipe", routes.describe_recipe),
)
assert all(name in PARAMETERS for entry in ROUTES for name in entry.query)


def make_app(service: Service) -> ASGIApp:
    """Return the application of a service; it closes the service when it ends."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    app = Starlette(
        routes=[Route(each.path, each.handler, methods=[each.method]) for each in ROUTES],
        exception_handlers={
            Refused: _refused,
            HTTPException: _no_route,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return Guard(app, service.rules)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return error_answer(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, hint = "not-found", "GET /openapi.json lists all there is"
    message = "there is nothing at this path"
    if error.status_code == 405:
        allowed = _methods_at(request)
        code, message = "method", f"the method is none of {allowed}, which this path takes"
        return error_answer(Refused(405, code, message, hint=hint, headers={"allow": allowed}))
    return error_answer(Refused(error.status_code, code, message, hint=hint))


def _methods_at(request: Request) -> str:
    """Return the methods that a request's path takes, of all routes that have it."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods
    return ", ".join(sorted(found))


async def _gone(request: Request, error: Exception) -> Response:
    return error_answer(Refused(400, "disconnected", "the client has gone"))


async def _fault(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return error_answer(
        Refused(500, "fault", "the server has a fault; its log says more", hint="please report it")
    )
