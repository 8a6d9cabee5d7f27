"""All figures of a run by name: what each shows, what it needs, and who draws it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from alexnet.evaluation.metrics import Counts
from alexnet.inspection import answers_drawn, curves, insides, learned, net_drawing
from alexnet.inspection.features import features_of
from alexnet.inspection.kernels import describe, first_kernels, specialisation
from alexnet.inspection.layer_names import last_hidden, resolve
from alexnet.inspection.panels import in_rgb
from alexnet.inspection.similar import Nearest
from alexnet.inspection.subject import BATCH_SIZE, Subject
from alexnet.nearest import nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN, QUERIES, FOUND = 8, 5, 6
"""Pictures with their answers, those whose neighbours are shown, and neighbours: figure 4's."""


class Kind(NamedTuple):
    """One of the figures."""

    about: str
    """What it shows."""
    draw: Callable[[Subject], "Figure"]
    needs_pictures: bool
    says: Callable[[Subject], str] | None = None
    """What it tells in a sentence, "" for nothing."""


def _net(subject: Subject) -> "Figure":
    title = f"{subject.name}: layers and the sizes of what they give (figure 2)"
    if subject.model.net.branches:
        title += "; they branch, and stand in the order of the text"
    return net_drawing.draw_net(subject.model.net, subject.blank(), title)


def _kernels(subject: Subject) -> "Figure":
    name, kernels, columns = first_kernels(subject.model.net)
    title = f"{subject.name}: the kernels of {name} (figure 3)"
    kernels = in_rgb(kernels, subject.model.preprocessing)
    return learned.draw_kernels(kernels, columns=columns, title=title)


def _columns(subject: Subject) -> str:
    """Say how far the columns have specialised."""
    _, kernels, columns = first_kernels(subject.model.net)
    if columns == 1 or kernels.shape[1] != 3:
        return ""
    return describe(specialisation(kernels, columns))


def _curves(subject: Subject) -> "Figure":
    if not subject.journal:
        raise ValueError(
            f"{subject.run} has no journal.jsonl, and so no curves; give the folder of a run"
        )
    return curves.draw_curves(subject.journal, f"{subject.name}: learning curves")


def _confusion(subject: Subject) -> "Figure":
    sample = subject.looked_through
    counts = Counts(subject.model.classes)
    counts.add(subject.answer(sample.pictures), torch.tensor(sample.labels))
    error = counts.error(counts.top1_errors)
    title = f"{subject.name}: {counts.seen:,} pictures, top-1 error {error:.1%}"
    return curves.draw_confusion(counts, title)


def _answers(subject: Subject) -> "Figure":
    sample = subject.shown(SHOWN)
    shown = [
        answers_drawn.Shown(subject.window(picture), label)
        for picture, label in zip(sample.pictures, sample.labels, strict=True)
    ]
    title = f"{subject.name}: the likeliest classes (figure 4, left); hatched: the true one"
    p = subject.answer(sample.pictures)
    return answers_drawn.draw_answers(shown, p, subject.model.classes, title)


def _neighbours(subject: Subject) -> "Figure":
    assert subject.tested is not None
    model, spot = subject.model, resolve(subject.model.net, last_hidden(subject.model.net))
    queries = subject.shown(QUERIES)
    known = subject.sample(subject.trained or subject.tested, subject.most)
    asked = features_of(model, queries.pictures.to(subject.device), [spot])[spot.asked]
    searches = [Nearest(row, top=FOUND + 1) for row in asked]
    for places in torch.arange(len(known.labels)).split(BATCH_SIZE):
        rows = features_of(model, known.pictures[places].to(subject.device), [spot])[spot.asked]
        for search in searches:
            search.add(rows, places)
    rows_shown = []
    for number, search in enumerate(searches):
        itself = queries.places[number] if subject.trained is None else -1
        near = [
            (answers_drawn.Shown(subject.window(known.pictures[i]), known.labels[i]), distance)
            for i, distance in ((each.index, each.distance) for each in search.found())
            if known.places[i] != itself
        ]
        query = answers_drawn.Shown(
            subject.window(queries.pictures[number]), queries.labels[number]
        )
        rows_shown.append((query, near[:FOUND]))
    title = (
        f"{subject.name}: nearest of {len(known.labels):,} by the distance in {spot.layer}, the "
        "last hidden layer (figure 4, right); *: another class"
    )
    return answers_drawn.draw_neighbours(rows_shown, model.classes, title)


FIGURES: dict[str, Kind] = {
    "net": Kind("the net's layers with their sizes: figure 2", _net, False),
    "kernels": Kind("the first kernels, by column: figure 3", _kernels, False, _columns),
    "answers": Kind("eight pictures with their likeliest classes: figure 4", _answers, True),
    "neighbours": Kind("nearest in the last hidden layer: figure 4", _neighbours, True),
    "curves": Kind("loss, errors and rate of the run", _curves, False),
    "confusion": Kind("which class is taken for which", _confusion, True),
    "activations": Kind("the strongest maps of each layer", insides.activations, True),
    "occlusion": Kind("the answer under a gray square", insides.occluded, True),
    "grad-cam": Kind("what speaks for the answer", insides.cam, True),
    "deconvnet": Kind("activations brought back to the pixels", insides.projected, True),
    "exciting": Kind("the pictures that excite units most", insides.excited, True),
    "maximised": Kind("pictures made to excite units", insides.maximised, False),
}


def choose_figures(names: Sequence[str], *, have_pictures: bool) -> list[str]:
    """Return the figures to draw: those named, else all for which there is what they need.

    Raises: ValueError for an unknown name (the nearest is named), or where one needs pictures.
    """
    for name in names:
        if name not in FIGURES:
            raise ValueError(
                f"no figure is called {name!r}{nearest(name, FIGURES)}; they are "
                f"{', '.join(FIGURES)}"
            )
        if FIGURES[name].needs_pictures and not have_pictures:
            raise ValueError(f"the figure {name} needs pictures; name them: figures RUN DATA")
    ready = [name for name, kind in FIGURES.items() if have_pictures or not kind.needs_pictures]
    return list(dict.fromkeys(names)) or ready
