"""All figures of a run by name: what each shows, what it needs, and who draws it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import cut, same_windows
from alexnet.data.image import ImageError, fit_square
from alexnet.data.pictures import Pictures
from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.metrics import Counts
from alexnet.inspection import (
    answers_drawn,
    curves,
    exciting,
    explained,
    learned,
    net_drawing,
    occlusion,
)
from alexnet.inspection.deconvnet import check_chain, project
from alexnet.inspection.grad_cam import enlarge, grad_cam
from alexnet.inspection.kernels import first_kernels
from alexnet.inspection.panels import Image, as_picture, in_rgb, shorten, signed
from alexnet.inspection.watch import find_layer, last_maps, last_weights, map_layers, watched
from alexnet.model import Model
from alexnet.nearest import nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BATCH_SIZE = 32


@dataclass(frozen=True)
class Subject:
    """What is drawn: a model, and pictures to show it."""

    name: str
    """What titles call it."""
    run: Path
    """Its folder."""
    model: Model
    tested: Pictures | None = None
    """Labelled pictures, by the model's classes; None leaves out figures that need some."""
    trained: Pictures | None = None
    """Those among which neighbours are looked for."""
    journal: Sequence[dict[str, Any]] = ()
    """The lines of the run's journal; none for a model that is no run's."""
    layer: str = ""
    """Layer of grad-cam, deconvnet, exciting and maximised; "" takes one that suits."""
    most: int = 1000
    """The most pictures that are looked through, spread evenly over the set."""

    def sample(self, pictures: Pictures, count: int) -> tuple[Tensor, list[int]]:
        """Return pictures spread evenly over a set, with their labels; bad ones are left out.

        Shapes:  -> (N, H, W, 3) uint8, N labels.
        Raises:  ImageError when none can be read.
        """
        size, found, labels = self.model.preprocessing.picture_size, [], []
        chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
        reason = "there is no picture"
        for index in chosen.tolist():
            try:
                found.append(fit_square(pictures.pixels(index, at_least=size), size))
                labels.append(pictures.labels[index])
            except ImageError as error:
                reason = f"no picture can be read; the last is {pictures.paths[index]}: {error}"
        if not found:
            raise ImageError(reason)
        return torch.from_numpy(np.stack(found)), labels

    def shown(self, count: int) -> tuple[Tensor, list[int]]:
        """Return a sample of the tested pictures."""
        assert self.tested is not None
        return self.sample(self.tested, count)

    def inputs(self, pictures: Tensor) -> Tensor:
        """Return the centre windows of pictures as the net sees them."""
        place = self.model.preprocessing.border // 2
        device = next(self.model.net.parameters()).device
        return cut(
            pictures.to(device), same_windows(len(pictures), place, place), self.model.preprocessing
        )

    def batches(self, pictures: Tensor) -> Iterator[Tensor]:
        """Yield `inputs` some at a time."""
        for some in pictures.split(BATCH_SIZE):
            yield self.inputs(some)

    def window(self, picture: Tensor) -> Image:
        """Return the part of a picture that the net sees."""
        place, size = self.model.preprocessing.border // 2, self.model.preprocessing.crop_size
        image: Image = picture[place : place + size, place : place + size].numpy()
        if self.model.preprocessing.colours != "grey":
            return image
        gray = image @ np.array([0.299, 0.587, 0.114])
        return np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=2)

    def blank(self) -> Tensor:
        """Return an input of zeros, (1, C, H, W)."""
        channels = 1 if self.model.preprocessing.colours == "grey" else 3
        size, device = self.model.net.input_size, next(self.model.net.parameters()).device
        return torch.zeros(1, channels, size, size, device=device)

    def unit_layer(self) -> str:
        """Return the layer whose units are looked at."""
        if self.layer:
            find_layer(self.model.net, self.layer)
        return self.layer or last_maps(self.model.net, self.blank())


class Kind(NamedTuple):
    """One of the figures."""

    about: str
    """What it shows."""
    draw: Callable[[Subject], "Figure"]
    needs_pictures: bool


def _net(subject: Subject) -> "Figure":
    title = f"{subject.name}: layers and the sizes of what they give (figure 2)"
    return net_drawing.draw_net(subject.model.net, subject.blank(), title)


def _kernels(subject: Subject) -> "Figure":
    name, kernels, columns = first_kernels(subject.model.net)
    title = f"{subject.name}: the kernels of {name} (figure 3)"
    kernels = in_rgb(kernels, subject.model.preprocessing)
    return learned.draw_kernels(kernels, columns=columns, title=title)


def _curves(subject: Subject) -> "Figure":
    if not subject.journal:
        raise ValueError(
            f"{subject.run} has no journal.jsonl, and so no curves; give the folder of a run"
        )
    return curves.draw_curves(subject.journal, f"{subject.name}: learning curves")


def _confusion(subject: Subject) -> "Figure":
    pictures, labels = subject.shown(subject.most)
    counts = Counts(subject.model.classes)
    for first in range(0, len(labels), BATCH_SIZE):
        p = _answer(subject, pictures[first : first + BATCH_SIZE])
        counts.add(p, torch.tensor(labels[first : first + BATCH_SIZE]))
    error = counts.error(counts.top1_errors)
    title = f"{subject.name}: {counts.seen:,} pictures, top-1 error {error:.1%}"
    return curves.draw_confusion(counts, title)


def _answers(subject: Subject) -> "Figure":
    pictures, labels = subject.shown(8)
    shown = [
        answers_drawn.Shown(subject.window(p), n) for p, n in zip(pictures, labels, strict=True)
    ]
    title = f"{subject.name}: the likeliest classes (figure 4, left); hatched: the true one"
    p = _answer(subject, pictures)
    return answers_drawn.draw_answers(shown, p, subject.model.classes, title)


def _neighbours(subject: Subject) -> "Figure":
    queries, labels = subject.shown(5)
    known, names = subject.sample(subject.trained or _tested(subject), subject.most)
    net = subject.model.net
    one = answers_drawn.hidden(net, subject.batches(queries))
    all_of_them = answers_drawn.hidden(net, subject.batches(known))
    own = subject.trained is None  # then a picture is the nearest to itself, at distance 0
    distances, order = answers_drawn.neighbours(one, all_of_them, 6 + own)
    rows = [
        (
            answers_drawn.Shown(subject.window(queries[row]), labels[row]),
            [
                (answers_drawn.Shown(subject.window(known[i]), names[i]), d)
                for i, d in zip(order[row].tolist(), distances[row].tolist(), strict=True)
                if not (own and d == 0)
            ][:6],
        )
        for row in range(len(queries))
    ]
    title = (
        f"{subject.name}: nearest of {len(known):,} in what {last_weights(net)} reads, by distance "
        "(figure 4, right); *: another class"
    )
    return answers_drawn.draw_neighbours(rows, subject.model.classes, title)


@torch.no_grad()
def _activations(subject: Subject) -> "Figure":
    pictures, _ = subject.shown(1)
    x, net = subject.inputs(pictures), subject.model.net
    names = list(map_layers(net, x))
    with watched(net, names) as kept:
        net(x)
    layers = [(name, kept[name][0].float().cpu()) for name in names]
    title = f"{subject.name}: the strongest maps of each layer, with their numbers"
    return learned.draw_activations(subject.window(pictures[0]), layers, most=8, title=title)


def _occlusion(subject: Subject) -> "Figure":
    preprocessing, net = subject.model.preprocessing, subject.model.net
    pictures, labels = subject.shown(4)
    gray = 127.5 / preprocessing.divide_by if preprocessing.subtract == "none" else 0.0
    side = max(1, round(0.22 * net.input_size))
    stride = max(1, net.input_size // 16)
    items = []
    for picture, label in zip(pictures, labels, strict=True):
        x = subject.inputs(picture[None])
        p = occlusion.occlude(net, x, target=label, side=side, stride=stride, gray=gray)
        size = (x.shape[2], x.shape[3])
        map_ = occlusion.spread(p, size=size, side=side, stride=stride)
        whole = float(_answer(subject, picture[None])[0, label])
        low = float(p.min())
        limits = (low, max(float(p.max()), low + 0.01))
        below = f"uncovered {whole:.0%}, least {float(p.min()):.0%}"
        name = subject.model.classes[label]
        items.append(explained.Explained(subject.window(picture), map_, name, below, limits))
    title = f"{subject.name}: probability of the true class under a gray square of {side} pixels"
    return explained.draw_explained(items, title, legend="probability")


def _grad_cam(subject: Subject) -> "Figure":
    pictures, _ = subject.shown(4)
    p, layer = _answer(subject, pictures), subject.unit_layer()
    items = []
    for picture, row in zip(pictures, p, strict=True):
        target = int(row.argmax())
        x = subject.inputs(picture[None])
        found = grad_cam(subject.model.net, x, target=target, layer=layer)
        map_ = enlarge(found, (x.shape[2], x.shape[3]))[0].cpu()
        name = f"{shorten(subject.model.classes[target])} {float(row[target]):.0%}"
        limits = (0.0, float(map_.max()) or 1.0)
        below = f"{layer}, {found.shape[1]} x {found.shape[2]} places"
        items.append(explained.Explained(subject.window(picture), map_, name, below, limits))
    title = f"{subject.name}: Grad-CAM of the first answer at {layer}"
    return explained.draw_explained(items, title, legend="for the class")


def _deconvnet(subject: Subject) -> "Figure":
    net, layer, preprocessing = subject.model.net, subject.unit_layer(), subject.model.preprocessing
    check_chain(net, layer)
    pictures, _ = subject.shown(subject.most)
    values, order = exciting.strongest(net, subject.batches(pictures), layer=layer, count=1)
    items = []
    for unit in values[:, 0].argsort(descending=True, stable=True)[:12].tolist():
        picture = pictures[int(order[unit, 0])]
        found = project(net, subject.inputs(picture[None]), layer=layer, unit=unit)
        top, left, bottom, right = found.window
        seen = subject.window(picture)[top:bottom, left:right]
        drawn = signed(in_rgb(found.picture, preprocessing)[:, top:bottom, left:right])
        items.append(learned.Excited(f"{unit}: {found.value:.3g}", (drawn, seen)))
    title = (
        f"{subject.name}: deconvnet of {layer}, its strongest maps in {len(pictures):,} pictures, "
        "beside what they saw"
    )
    return learned.draw_excited(items, across=3, wide=2, title=title)


def _exciting(subject: Subject) -> "Figure":
    layer = subject.unit_layer()
    pictures, _ = subject.shown(subject.most)
    net = subject.model.net
    values, order = exciting.strongest(net, subject.batches(pictures), layer=layer)
    items = []
    for unit in values[:, 0].argsort(descending=True, stable=True)[:8].tolist():
        images = tuple(subject.window(pictures[i]) for i in order[unit].tolist())
        label = f"{unit}: {float(values[unit, 0]):.3g} to {float(values[unit, -1]):.3g}"
        items.append(learned.Excited(label, images))
    title = (
        f"{subject.name}: of {len(pictures):,} pictures, those that excite units of {layer} most"
    )
    return learned.draw_excited(items, across=4, wide=3, title=title)


def _maximised(subject: Subject) -> "Figure":
    net, layer = subject.model.net, subject.layer or last_weights(subject.model.net)
    find_layer(net, layer)
    blank = subject.blank()
    with torch.no_grad(), watched(net, (layer,)) as kept:
        net(blank)
    count, is_logits = kept[layer].shape[1], layer == last_weights(net)
    items = []
    for unit in range(min(count, 9)):
        x, path = exciting.maximise(
            net,
            (blank.shape[1], blank.shape[2], blank.shape[3]),
            layer=layer,
            unit=unit,
            generator=torch.Generator().manual_seed(unit),
        )
        name = shorten(subject.model.classes[unit]) if is_logits else str(unit)
        image = as_picture(x, subject.model.preprocessing)
        items.append(learned.Excited(f"{name}: {path[0]:.3g} to {path[-1]:.3g}", (image,)))
    title = f"{subject.name}: pictures made to excite units of {layer} most"
    return learned.draw_excited(items, across=min(3, len(items)), wide=1, title=title)


FIGURES: dict[str, Kind] = {
    "net": Kind("the net's layers with their sizes: figure 2", _net, False),
    "kernels": Kind("the first kernels, by column: figure 3", _kernels, False),
    "answers": Kind("eight pictures with their likeliest classes: figure 4", _answers, True),
    "neighbours": Kind("nearest in the last hidden layer: figure 4", _neighbours, True),
    "curves": Kind("loss, errors and rate of the run", _curves, False),
    "confusion": Kind("which class is taken for which", _confusion, True),
    "activations": Kind("the strongest maps of each layer", _activations, True),
    "occlusion": Kind("the answer under a gray square", _occlusion, True),
    "grad-cam": Kind("what speaks for the answer", _grad_cam, True),
    "deconvnet": Kind("activations brought back to the pixels", _deconvnet, True),
    "exciting": Kind("the pictures that excite units most", _exciting, True),
    "maximised": Kind("pictures made to excite units", _maximised, False),
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


def _answer(subject: Subject, pictures: Tensor) -> Tensor:
    device = next(subject.model.net.parameters()).device
    found = probabilities(subject.model.net, pictures.to(device), subject.model.preprocessing)
    return found.cpu()


def _tested(subject: Subject) -> Pictures:
    assert subject.tested is not None
    return subject.tested
