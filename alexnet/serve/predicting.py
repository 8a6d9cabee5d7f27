"""POST /api/predict: pictures to ranked classes."""

import asyncio

import torch
from starlette.requests import Request
from starlette.responses import Response

from alexnet.evaluation.submission import first_answers
from alexnet.serve.answers import Refused, json_answer
from alexnet.serve.bodies import Upload, read_pictures
from alexnet.serve.models import Opened
from alexnet.serve.service import Service, service_of

Answer = dict[str, object]


async def predict(request: Request) -> Response:
    """Name what is in one picture or several.

    One that is no picture has an "error" in its place; if all are none the answer is 422.
    """
    service = service_of(request)
    service.check_load()
    top = read_number(request, "top", 5, most=100_000)
    uploads = await read_pictures(request, service.room)
    kept = sum(len(each.data) for each in uploads)
    try:
        service.check_load(len(uploads))
        opened = await service.open(request.query_params.get("model", ""))
        service.pending += len(uploads)
        try:
            found = await asyncio.gather(*(_answer(service, opened, u, top) for u in uploads))
        finally:
            service.pending -= len(uploads)
    finally:
        service.room.give_back(kept)
    refused = [each for each in found if isinstance(each, Refused)]
    if len(refused) == len(found):
        raise refused[0]
    pictures = [
        {"name": upload.name} | ({"error": each.to_json()} if isinstance(each, Refused) else each)
        for upload, each in zip(uploads, found, strict=True)
    ]
    return json_answer({"model": opened.place.name, "pictures": pictures})


def read_number(request: Request, name: str, otherwise: int, *, most: int, least: int = 1) -> int:
    """Read a whole number of the query.

    Raises: Refused with 400 if it is none, or out of range.
    """
    text = request.query_params.get(name, str(otherwise))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise Refused(
            400, "query", f"{name} is no whole number from {least} to {most}", hint=f"{name}=5"
        )
    return int(text)


def ranked(p: torch.Tensor, classes: tuple[str, ...], top: int) -> list[Answer]:
    """Return the most probable classes, the first answer first.

    Shapes:  p (classes,).
    """
    order = first_answers(p[None], top)[0].tolist()
    return [{"class": classes[i], "number": i, "probability": float(p[i])} for i in order]


async def _answer(service: Service, opened: Opened, upload: Upload, top: int) -> Answer | Refused:
    service.compute.on_their_way += 1
    try:
        picture = await service.decode(upload, opened.preprocessing.picture_size)
    except Refused as error:
        return error
    finally:
        service.compute.on_their_way -= 1
    try:
        p = await asyncio.wrap_future(service.compute.answer(opened.answer, picture))
    except Exception as error:  # the net's own fault: whoever was in the batch may come again
        return Refused(
            503,
            "compute",
            f"the net did not answer: {type(error).__name__}: {error}",
            headers={"retry-after": "1"},
        )
    return {"labels": ranked(p, opened.model.classes, top)}
