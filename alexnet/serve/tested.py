"""A model beside labelled pictures: confusion, mistakes and neighbours, found in the background.

The pictures are those of --data, or else those that the run was validated on, if they are still
there; a request names one by its number among them and never by a path. They are looked through
once for each model, a batch at a time, so that other requests have their turn in between.

Source:  Krizhevsky 2012, section 6.1 and figure 4, for neighbours in the last hidden layer.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from alexnet.data.door import among, open_all, open_split
from alexnet.data.folder import DataError
from alexnet.data.image import ImageError, fit_square
from alexnet.data.pictures import Pictures
from alexnet.evaluation.metrics import Counts
from alexnet.inspection.features import features_of
from alexnet.inspection.layer_names import Spot, last_hidden, resolve
from alexnet.inspection.similar import Nearest
from alexnet.inspection.subject import Subject
from alexnet.inspection.watch import named_layer, watched
from alexnet.serve.answers import Refused
from alexnet.serve.models import RECIPE, Opened
from alexnet.serve.strongest import (
    Peaks,
    Strongest,
    peaks_of,
    ranked_layers,
    reach_of,
    seen_window,
)
from alexnet.training.recipe import load

T = TypeVar("T")
Alone = Callable[[Callable[[], Any]], Awaitable[Any]]

BATCH_SIZE = 8
"""Few, so that requests need not wait long for their turn."""
MOST_PICTURES = 1000
"""Pictures that are looked through, spread evenly over the set."""
MOST_KEPT = 2


@dataclass
class Look:
    """What a model makes of labelled pictures, so far."""

    pictures: Pictures
    chosen: list[int]
    """Positions of the pictures that are looked through."""
    counts: Counts
    spot: Spot
    """Whose outputs neighbours are nearest in."""
    done: int = 0
    error: str = ""
    """Why it ended early, if it did."""
    seen: list[int] = field(default_factory=list)
    """Positions of those that could be read."""
    answers: list[tuple[int, float, float]] = field(default_factory=list)
    """For each: first answer, its probability, that of the true class."""
    rows: list[Tensor] = field(default_factory=list)
    """For each batch: the last hidden layer, (N, D)."""
    strongest: Strongest = field(default_factory=Strongest)
    """The pictures that excite each unit most."""
    task: "asyncio.Task[None] | None" = None

    @property
    def state(self) -> dict[str, Any]:
        """How far it is."""
        return {"done": self.done, "of": len(self.chosen), "skipped": self.done - len(self.seen)}

    @property
    def is_done(self) -> bool:
        """Whether all have been looked through."""
        return self.done == len(self.chosen)


class Looks:
    """The looks that were taken, by model."""

    def __init__(self, data: Path | None) -> None:
        self.data = data
        self._looks: dict[tuple[str, tuple[int, int]], Look] = {}

    def begin(self, opened: Opened, alone: Alone) -> Look:
        """Return the look of a model, begun if it is new; `alone` runs work where it computes.

        Raises: Refused with 404 if there are no pictures, or none of the model's classes.
        """
        key = (opened.place.name, opened.stamp)
        found = self._looks.get(key)
        if found is not None:
            return found
        pictures = open_pictures(opened, self.data)
        count = min(MOST_PICTURES, len(pictures))
        chosen = np.linspace(0, len(pictures) - 1, count).round().astype(int).tolist()
        net = opened.model.net
        look = Look(pictures, chosen, Counts(opened.model.classes), resolve(net, last_hidden(net)))
        look.task = asyncio.get_running_loop().create_task(_go_through(look, opened, alone))
        for old in list(self._looks)[: 1 - MOST_KEPT]:
            task = self._looks.pop(old).task
            if task is not None:
                task.cancel()
        self._looks[key] = look
        return look

    def close(self) -> None:
        """End what goes on in the background."""
        for each in self._looks.values():
            if each.task is not None:
                each.task.cancel()


def open_pictures(opened: Opened, data: Path | None) -> Pictures:
    """Return the labelled pictures that a model is looked at with.

    Raises: Refused with 404 if there are none, or they have other classes.
    """
    folder = opened.place.folder
    files = [each / RECIPE for each in (folder, folder.parent)]
    recipe = next((load(file) for file in files if file.is_file()), None)
    place = data or (Path(recipe.data) if recipe and recipe.data else None)
    if place is None or not place.exists():
        raise Refused(
            404,
            "no-data",
            "there are no labelled pictures to look through",
            hint="start the server with --data FOLDER",
        )
    try:
        if recipe is not None:
            pictures = open_split(place, fraction=recipe.validation_share).validation
            return among(pictures, opened.model.classes, place=str(place))
        return open_all(place, classes=opened.model.classes)
    except DataError as error:
        raise Refused(404, "data", str(error), hint="start the server with other --data") from None


def mistakes(look: Look, count: int) -> list[dict[str, Any]]:
    """Return the wrong answers of the highest probability, the surest first."""
    labels, classes = look.pictures.labels, look.counts.classes
    wrong = [
        (p, truth_p, index, answer)
        for index, (answer, p, truth_p) in zip(look.seen, look.answers, strict=True)
        if answer != labels[index]
    ]
    return [
        {
            "picture": index,
            "name": look.pictures.paths[index],
            "class": classes[labels[index]],
            "answer": classes[answer],
            "probability": p,
            "class_probability": truth_p,
        }
        for p, truth_p, index, answer in sorted(wrong, key=lambda each: -each[0])[:count]
    ]


def behind(look: Look, truth: int, answer: int, count: int) -> list[dict[str, Any]]:
    """Return the pictures behind a cell of the confusion matrix, the surest first."""
    found = [
        (p, index)
        for index, (given, p, _) in zip(look.seen, look.answers, strict=True)
        if given == answer and look.pictures.labels[index] == truth
    ]
    return [
        {"picture": index, "name": look.pictures.paths[index], "probability": p}
        for p, index in sorted(found, key=lambda each: -each[0])[:count]
    ]


def neighbours(look: Look, opened: Opened, picture: NDArray[np.uint8], count: int) -> list[Any]:
    """Return the pictures nearest to one in the last hidden layer, the nearest first."""
    device = next(opened.model.net.parameters()).device
    x = torch.from_numpy(picture)[None].to(device)
    search = Nearest(features_of(opened.model, x, [look.spot])[look.spot.asked][0], top=count)
    first = 0
    for rows in list(look.rows):
        search.add(rows, torch.arange(first, first + len(rows)))
        first += len(rows)
    return [
        {
            "picture": look.seen[each.index],
            "name": look.pictures.paths[look.seen[each.index]],
            "class": look.counts.classes[look.pictures.labels[look.seen[each.index]]],
            "distance": each.distance,
        }
        for each in search.found()
    ]


def exciting(look: Look, opened: Opened, layer: str, unit: int) -> dict[str, Any]:
    """Return the pictures that excite a unit most, so far, and where in them.

    Raises: ValueError if there is no such layer or unit.
    """
    subject = Subject("", opened.place.folder, opened.model)
    name = named_layer(opened.model.net, layer)
    found = look.strongest.of(name, unit) if look.seen else []
    reach = reach_of(subject, name)
    return {
        "layer": name,
        "unit": unit,
        "pictures": [
            {
                "picture": each["picture"],
                "name": look.pictures.paths[each["picture"]],
                "class": look.counts.classes[look.pictures.labels[each["picture"]]],
                "value": each["value"],
                "window": seen_window(subject, reach, each["place"]),
            }
            for each in found
        ],
    }


def as_jpeg(pictures: Pictures, index: int, size: int) -> bytes:
    """Return a picture of the set, its longer side at most `size` pixels.

    Raises: Refused with 404 for a number that is none, 422 if the picture cannot be read.
    """
    if index >= len(pictures):
        raise Refused(404, "not-found", f"there are {len(pictures)} pictures, from 0 on")
    try:
        shown = Image.fromarray(pictures.pixels(index, at_least=size))
    except ImageError as error:
        raise Refused(422, "picture", f"{pictures.paths[index]}: {error}") from None
    shown.thumbnail((size, size))
    data = io.BytesIO()
    shown.save(data, "JPEG", quality=88)
    return data.getvalue()


async def _go_through(look: Look, opened: Opened, alone: Alone) -> None:
    try:
        for start in range(0, len(look.chosen), BATCH_SIZE):
            some = look.chosen[start : start + BATCH_SIZE]
            size = opened.preprocessing.picture_size
            read = await asyncio.to_thread(_read, look.pictures, some, size)
            if read:
                batch = [picture for _, picture in read]
                while True:
                    try:
                        p, rows, peaks = await alone(partial(_compute, opened, look.spot, batch))
                        break
                    except Refused:  # others wait; they go first
                        await asyncio.sleep(0.2)
                indices = [index for index, _ in read]
                _note(look, indices, torch.stack(p))
                look.rows.append(rows)
                look.strongest.add(peaks, indices)
            look.done += len(some)
    except Exception as error:
        look.error = f"{type(error).__name__}: {error}"
        raise


def _read(
    pictures: Pictures, chosen: Sequence[int], size: int
) -> list[tuple[int, NDArray[np.uint8]]]:
    found = []
    for index in chosen:
        try:
            found.append((index, fit_square(pictures.pixels(index, at_least=size), size)))
        except ImageError:  # counted as skipped
            continue
    return found


@torch.inference_mode()
def _compute(
    opened: Opened, spot: Spot, pictures: Sequence[NDArray[np.uint8]]
) -> tuple[list[Tensor], Tensor, dict[str, Peaks]]:
    """Return the answers, the last hidden layer, and the peaks of the layers of figure 2."""
    net = opened.model.net
    subject = Subject("", opened.place.folder, opened.model)
    hidden, ranked = named_layer(net, spot.asked), ranked_layers(net)
    with watched(net, list(dict.fromkeys((*ranked, hidden)))) as kept:
        net(subject.inputs(torch.from_numpy(np.stack(pictures))))
    peaks = {name: peaks_of(kept[name]) for name in ranked if name in kept}  # some lie off the way
    return opened.answer(pictures), kept[hidden].float().flatten(1).cpu(), peaks


def _note(look: Look, indices: list[int], p: Tensor) -> None:
    labels = torch.tensor([look.pictures.labels[index] for index in indices])
    look.counts.add(p, labels)
    sure, answers = p.max(1)
    truth = p.gather(1, labels[:, None])[:, 0]
    look.seen += indices
    look.answers += zip(answers.tolist(), sure.tolist(), truth.tolist(), strict=True)
