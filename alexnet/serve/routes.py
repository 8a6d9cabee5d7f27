"""What each route does, but for predictions: models, insides, labelled pictures, runs."""

import asyncio
from dataclasses import asdict
from http.cookies import SimpleCookie
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from alexnet import __version__
from alexnet.nearest import nearest
from alexnet.nets import NETS
from alexnet.serve import arithmetic, looking, runs, tested
from alexnet.serve.answers import Refused, json_answer
from alexnet.serve.bodies import read_json, read_pictures
from alexnet.serve.fields import GROUPS, recipe_fields
from alexnet.serve.guard import COOKIE, asked_with_token
from alexnet.serve.models import Opened
from alexnet.serve.openapi import MOST_COUNTED
from alexnet.serve.predicting import read_number
from alexnet.serve.service import Service, service_of
from alexnet.training.recipes import RECIPES

STATIC = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"} | {
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
}
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
MOST_FOLLOWERS = 32
LARGEST = 10**9


async def page(request: Request) -> Response:
    """Return the page; the token in its address becomes a cookie, and leaves the address."""
    if asked_with_token(request.scope["query_string"]):
        answer = RedirectResponse("/", 303)
        rules = service_of(request).rules
        if rules.token:
            cookie: SimpleCookie = SimpleCookie()
            cookie[COOKIE] = rules.token
            cookie[COOKIE]["path"], cookie[COOKIE]["samesite"] = "/", "Strict"
            cookie[COOKIE]["httponly"] = True
            answer.headers["set-cookie"] = cookie[COOKIE].OutputString()
        return answer
    return _static("index.html")


async def static(request: Request) -> Response:
    """Return one of the files that the page is made of."""
    return _static(request.path_params["file"])


async def health(request: Request) -> Response:
    """Say that the server is there, and how much waits."""
    service = service_of(request)
    stopping = service.is_stopping()
    about = {"status": "stopping" if stopping else "ok", "pending": service.pending}
    return json_answer(about | {"version": __version__}, 503 if stopping else 200)


async def list_models(request: Request) -> Response:
    """List the models by name, the newest first."""
    places = service_of(request).shelf.places().values()
    names = [place.name for place in places if place.manifest]
    return json_answer({"models": names, "default": names[0] if names else None})


async def describe_model(request: Request) -> Response:
    """Describe a model: classes, preprocessing, layers with the shapes of what they give."""
    service = service_of(request)
    opened = await service.open(request.query_params.get("model", ""))
    layers = await service.compute_alone(lambda: looking.layers_of(opened))
    outline = looking.outline_of(opened)
    model = opened.model
    return json_answer(
        {
            "name": opened.place.name,
            "net": model.name,
            "classes": list(model.classes),
            "preprocessing": model.preprocessing.constants(),
            **outline,
            "layers": layers,
            "parameters": sum(p.numel() for p in model.net.parameters()),
            "arithmetic": str(opened.dtype).removeprefix("torch."),
            "device": next(model.net.parameters()).device.type,
            "written_at": opened.stamp[0] / 1e9,
            "weights": service.shelf.weights,
        }
    )


async def look(request: Request) -> Response:
    """Look inside the net for one picture: a PNG, or numbers for statistics and values."""
    service = service_of(request)
    service.check_load()
    kind = request.query_params.get("kind", "activations")
    known = [*looking.DRAWN, *looking.TOLD]
    if kind not in known:
        hint = f"it is one of {', '.join(known)}"
        raise Refused(400, "query", f"kind is {kind[:50]!r}{nearest(kind, known)}", hint=hint)
    asked = looking.Asked(
        request.query_params.get("layer", ""),
        read_number(request, "unit", 0, most=LARGEST, least=0) if _has(request, "unit") else -1,
        read_number(request, "class", 0, most=LARGEST, least=0) if _has(request, "class") else -1,
    )
    opened, picture = await _one_picture(request, service)
    found = await _computed(service, lambda: looking.look(opened, picture, kind, asked))
    if isinstance(found, dict):
        return json_answer(found)
    return Response(found, media_type="image/png")


async def kernels(request: Request) -> Response:
    """Draw the kernels of the first layer."""
    service = service_of(request)
    opened = await service.open(request.query_params.get("model", ""))
    found = await _computed(service, lambda: looking.kernels(opened))
    return Response(found, media_type="image/png")


async def explain(request: Request) -> Response:
    """Return the one convolution that made a pixel of a map, with its arithmetic."""
    service = service_of(request)
    service.check_load()
    unit, row, column = (
        read_number(request, name, 0, most=LARGEST, least=0) for name in ("unit", "row", "column")
    )
    pixel = arithmetic.Pixel(request.query_params.get("layer", ""), unit, row, column)
    opened, picture = await _one_picture(request, service)
    return json_answer(await _computed(service, lambda: arithmetic.explain(opened, picture, pixel)))


async def exciting(request: Request) -> Response:
    """Return the labelled pictures that excite a unit most."""
    seen = await _seen(request)
    service = service_of(request)
    opened = await service.open(request.query_params.get("model", ""))
    layer = request.query_params.get("layer", "")
    unit = read_number(request, "unit", 0, most=LARGEST, least=0)
    found = await _computed(service, lambda: tested.exciting(seen, opened, layer, unit))
    return json_answer(seen.state | found, 200 if seen.is_done else 202)


async def similar(request: Request) -> Response:
    """Find the labelled pictures nearest to one in the last hidden layer."""
    service = service_of(request)
    service.check_load()
    count = read_number(request, "count", 6, most=MOST_COUNTED)
    opened, picture = await _one_picture(request, service)
    seen = service.tested.begin(opened, service.compute_alone)
    if not seen.is_done:
        return _not_yet(seen)
    found = await _computed(service, lambda: tested.neighbours(seen, opened, picture, count))
    return json_answer(seen.state | {"layer": seen.spot.layer, "pictures": found})


async def confusion(request: Request) -> Response:
    """Return the confusion matrix, or with truth and answer the pictures behind a cell."""
    seen, count = await _seen(request), read_number(request, "count", 100, most=MOST_COUNTED)
    if _has(request, "truth") or _has(request, "answer"):
        most = len(seen.counts.classes) - 1
        truth = read_number(request, "truth", 0, most=most, least=0)
        answer = read_number(request, "answer", 0, most=most, least=0)
        return json_answer(seen.state | {"pictures": tested.behind(seen, truth, answer, count)})
    return json_answer(
        seen.state | {"classes": list(seen.counts.classes)} | seen.counts.to_json(),
        200 if seen.is_done else 202,
    )


async def list_mistakes(request: Request) -> Response:
    """Return the wrong answers that the net was surest of."""
    seen = await _seen(request)
    count = read_number(request, "count", 24, most=MOST_COUNTED)
    status = 200 if seen.is_done else 202
    return json_answer(seen.state | {"mistakes": tested.mistakes(seen, count)}, status)


async def picture(request: Request) -> Response:
    """Return one of the labelled pictures by its number, decoded and written anew."""
    seen = await _seen(request)
    text = request.path_params["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused(404, "not-found", "a picture's number has digits only")
    size = read_number(request, "size", 256, most=1024, least=16)
    data = tested.as_jpeg(seen.pictures, int(text), size)
    return Response(data, media_type="image/jpeg", headers={"cache-control": "private, max-age=60"})


async def list_runs(request: Request) -> Response:
    """List the runs with their newest figures."""
    service = service_of(request)
    found = await asyncio.to_thread(runs.list_runs, service.trainings)
    return json_answer({"runs": found, "may_start": _may_train(service)})


async def describe_run(request: Request) -> Response:
    """Return a run's recipe, state and journal so far."""
    service = service_of(request)
    place = service.trainings.find(request.path_params["name"])
    return json_answer(await asyncio.to_thread(runs.whole_run, place, service.trainings))


async def follow_run(request: Request) -> Response:
    """Follow a run's journal by server-sent events."""
    service = service_of(request)
    place = service.trainings.find(request.path_params["name"])
    said = request.headers.get("last-event-id", request.query_params.get("after", "0"))
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise Refused(400, "query", "after is no number of bytes", hint="after=0")
    if service.followers >= MOST_FOLLOWERS:
        raise Refused(503, "busy", "too many follow runs", headers={"retry-after": "5"})
    events = runs.follow(place, service.trainings, after=int(said), is_stopping=service.is_stopping)

    async def counted() -> Any:
        service.followers += 1
        try:
            async for event in events:
                yield event
        finally:
            service.followers -= 1

    return StreamingResponse(counted(), media_type="text/event-stream")


async def report(request: Request) -> Response:
    """Return a run's report, which may run nothing in the page's name."""
    place = service_of(request).shelf.find(request.path_params["name"])
    headers = {"content-security-policy": REPORT_POLICY}
    return Response(runs.read_report(place), media_type="text/html", headers=headers)


async def start_run(request: Request) -> Response:
    """Start a training; the body names data, recipe, fields and the run."""
    service = _check_training(request)
    name = service.trainings.start(await read_json(request, service.room))
    return json_answer({"name": name}, 201)


async def stop_run(request: Request) -> Response:
    """Ask a training to save and stop."""
    service = _check_training(request)
    place = service.trainings.find(request.path_params["name"])
    service.trainings.stop(place.name)
    return json_answer({"name": place.name}, 202)


async def resume_run(request: Request) -> Response:
    """Go on with a run."""
    service = _check_training(request)
    place = service.shelf.find(request.path_params["name"])
    service.trainings.resume(place)
    return json_answer({"name": place.name}, 202)


async def describe_recipe(request: Request) -> Response:
    """Return the fields of a recipe for a form: type, choices, help, default, and named recipes."""
    service = service_of(request)
    return json_answer(
        {
            "fields": recipe_fields(),
            "groups": list(GROUPS),
            "recipes": {name: asdict(recipe) for name, recipe in RECIPES.items()},
            "nets": list(NETS),
            "data": service.trainings.allowed_data(),
            "may_start": _may_train(service),
        }
    )


def _static(name: str) -> Response:
    known = {each.name: each for each in (files("alexnet.serve") / "static").iterdir()}
    kind = STATIC.get(name.rpartition(".")[2])
    if name not in known or kind is None:
        raise Refused(404, "not-found", "there is no such file")
    return Response(
        known[name].read_bytes(), media_type=kind, headers={"cache-control": "no-cache"}
    )


async def _one_picture(request: Request, service: Service) -> tuple[Opened, Any]:
    uploads = await read_pictures(request, service.room)
    try:
        if len(uploads) != 1:
            raise Refused(400, "too-many", f"{len(uploads)} pictures came; send one")
        opened = await service.open(request.query_params.get("model", ""))
        return opened, await service.decode(uploads[0], opened.preprocessing.picture_size)
    finally:
        service.room.give_back(sum(len(each.data) for each in uploads))


async def _computed(service: Service, work: Any) -> Any:
    """Run work on the thread that computes; what it finds wrong with the request is a 400."""
    try:
        return await service.compute_alone(work)
    except ValueError as error:
        raise Refused(400, "query", str(error)) from None


async def _seen(request: Request) -> tested.Look:
    service = service_of(request)
    opened = await service.open(request.query_params.get("model", ""))
    seen = service.tested.begin(opened, service.compute_alone)
    if seen.error:
        raise Refused(503, "compute", f"the pictures were not looked through: {seen.error}")
    return seen


def _not_yet(seen: tested.Look) -> Response:
    if seen.error:
        raise Refused(503, "compute", f"the pictures were not looked through: {seen.error}")
    return json_answer(seen.state | {"pictures": []}, 202, headers={"retry-after": "1"})


def _has(request: Request, name: str) -> bool:
    return name in request.query_params


def _may_train(service: Service) -> bool:
    return service.allows_training and not service.shelf.is_single


def _check_training(request: Request) -> Service:
    service = service_of(request)
    if not service.allows_training:
        raise Refused(
            403,
            "training",
            "trainings are started on the machine itself only",
            hint="serve without --host, and reach it through ssh -L",
        )
    if service.is_stopping():
        raise Refused(503, "busy", "the server is stopping", headers={"retry-after": "5"})
    return service
