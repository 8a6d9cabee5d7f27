"""Figures of a net's insides: what its layers give, what an answer rests on, what units look for.

Each function draws one of the figures of `alexnet.inspection.figure_set` from a subject; the
methods and their sources are in the modules that compute them.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from alexnet.inspection import exciting, explained, learned, occlusion
from alexnet.inspection.deconvnet import check_chain, project
from alexnet.inspection.grad_cam import enlarge, grad_cam
from alexnet.inspection.panels import as_picture, in_rgb, percent, shorten, signed
from alexnet.inspection.subject import Subject
from alexnet.inspection.watch import (
    last_weights,
    map_layers,
    named_layer,
    watched,
    without_doubles,
)
from alexnet.nets.chain import Chain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLAINED = 4
"""Pictures whose answers are explained."""
MOST_LAYERS = 16
"""Rows of maps that one page takes."""
MADE = 12
"""Units that pictures are made for."""
CLIMB = exciting.Climb()
"""How those are made."""
SQUARE, PLACES = 0.22, 16
"""Side of the gray square, as a share of the picture's, and its steps along that."""


@torch.no_grad()
def activations(subject: Subject) -> "Figure":
    """Draw the strongest maps of each layer for one picture."""
    picture = subject.shown(1).pictures
    x, net = subject.inputs(picture), subject.model.net
    known = without_doubles(net, map_layers(net, x))
    chosen = np.linspace(0, len(known) - 1, min(MOST_LAYERS, len(known))).round().astype(int)
    names = [known[place] for place in chosen.tolist()]
    if not names:
        raise ValueError("no layer of the net gives maps of more than one place")
    with watched(net, names) as kept:
        net(x)
    layers = [(name, kept[name][0].float().cpu()) for name in names]
    which = "each layer" if len(names) == len(known) else f"{len(names)} of {len(known)} layers"
    title = f"{subject.name}: the strongest maps of {which}, with their numbers"
    return learned.draw_activations(subject.window(picture[0]), layers, most=8, title=title)


def occluded(subject: Subject) -> "Figure":
    """Draw how the answer falls where a gray square lies on a picture."""
    preprocessing, net = subject.model.preprocessing, subject.model.net
    sample = subject.shown(EXPLAINED)
    gray = 127.5 / preprocessing.divide_by if preprocessing.subtract == "none" else 0.0
    side, stride = max(1, round(SQUARE * net.input_size)), max(1, net.input_size // PLACES)
    items = []
    for picture, label in zip(sample.pictures, sample.labels, strict=True):
        x = subject.inputs(picture[None])
        p = occlusion.occlude(net, x, target=label, side=side, stride=stride, gray=gray)
        size = (x.shape[2], x.shape[3])
        map_ = occlusion.spread(p, size=size, side=side, stride=stride)
        whole = float(subject.answer(picture[None])[0, label])
        below = f"uncovered {percent(whole)}, least {percent(float(p.min()))}"
        limits = _limits(float(map_.min()), float(map_.max()))
        name = subject.model.classes[label]
        items.append(explained.Explained(subject.window(picture), map_, name, below, limits))
    title = f"{subject.name}: probability of the true class under a gray square of {side} pixels"
    return explained.draw_explained(items, title, legend="probability")


def _limits(low: float, high: float) -> tuple[float, float]:
    """Return the ends of a scale, about a tenth of its middle apart for what hardly varies."""
    middle = (low + high) / 2
    half = max((high - low) / 2, 0.05 * middle, 1e-9)
    return middle - half, middle + half


def cam(subject: Subject) -> "Figure":
    """Draw where the maps of a layer speak for the first answer."""
    pictures, layer = subject.shown(EXPLAINED).pictures, subject.unit_layer()
    items = []
    for picture, row in zip(pictures, subject.answer(pictures), strict=True):
        target = int(row.argmax())
        x = subject.inputs(picture[None])
        found = grad_cam(subject.model.net, x, target=target, layer=layer)
        map_ = enlarge(found, (x.shape[2], x.shape[3]))[0].cpu()
        name = f"{shorten(subject.model.classes[target], 24)} {percent(float(row[target]))}"
        largest = float(map_.max())
        below = f"{layer}, {found.shape[1]} x {found.shape[2]} places"
        below += "" if largest else ": nothing speaks for it"
        limits = (0.0, largest or 1.0)
        items.append(explained.Explained(subject.window(picture), map_, name, below, limits))
    title = f"{subject.name}: Grad-CAM of the first answer at {layer}"
    return explained.draw_explained(items, title, legend="for the class")


def projected(subject: Subject) -> "Figure":
    """Draw the strongest activations of a layer as the deconvnet brings them to the pixels."""
    net, layer, preprocessing = subject.model.net, subject.unit_layer(), subject.model.preprocessing
    check_chain(net, layer)
    pictures = subject.looked_through.pictures
    values, order = exciting.strongest(net, subject.batches(pictures), layer=layer, count=1)
    items = []
    for unit in values[:, 0].argsort(descending=True, stable=True)[:12].tolist():
        picture = pictures[int(order[unit, 0])]
        found = project(net, subject.inputs(picture[None]), layer=layer, unit=unit)
        top, left, bottom, right = found.window
        seen = subject.window(picture)[top:bottom, left:right]
        drawn = signed(in_rgb(found.picture, preprocessing)[:, top:bottom, left:right])
        label = _label(subject, layer, unit, f"{found.value:.3g}")
        items.append(learned.Excited(label, (drawn, seen)))
    title = (
        f"{subject.name}: deconvnet of {layer}, its strongest units in {len(pictures):,} pictures, "
        "beside what they saw"
    )
    return learned.draw_excited(items, across=3, wide=2, title=title)


def excited(subject: Subject) -> "Figure":
    """Draw the pictures that excite the strongest units of a layer most."""
    layer, pictures = subject.unit_layer(), subject.looked_through.pictures
    net = subject.model.net
    values, order = exciting.strongest(net, subject.batches(pictures), layer=layer)
    items = []
    for unit in values[:, 0].argsort(descending=True, stable=True)[:8].tolist():
        images = tuple(subject.window(pictures[i]) for i in order[unit].tolist())
        span = f"{float(values[unit, 0]):.3g} to {float(values[unit, -1]):.3g}"
        items.append(learned.Excited(_label(subject, layer, unit, span), images))
    title = (
        f"{subject.name}: of {len(pictures):,} pictures, those that excite units of {layer} most"
    )
    return learned.draw_excited(items, across=4, wide=3, title=title)


def maximised(subject: Subject) -> "Figure":
    """Draw pictures that are made to excite units: of the classes, or of a layer."""
    net = subject.model.net
    layer = named_layer(net, subject.layer) if subject.layer else last_weights(net)
    layer = _with_a_slope(net, layer)
    blank = subject.blank()
    with torch.no_grad(), watched(net, (layer,)) as kept:
        net(blank)
    count = kept[layer].shape[1]
    climb = CLIMB.scaled(subject.model.preprocessing.divide_by, min(blank.shape[2:]))
    chosen = np.linspace(0, count - 1, min(count, MADE)).round().astype(int).tolist()
    items = []
    for unit in chosen:
        x, path = exciting.maximise(
            net,
            (blank.shape[1], blank.shape[2], blank.shape[3]),
            layer=layer,
            unit=unit,
            climb=climb,
            generator=torch.Generator().manual_seed(unit),
        )
        label = _label(subject, layer, unit, f"{path[0]:.3g} to {path[-1]:.3g}")
        items.append(learned.Excited(label, (as_picture(x, subject.model.preprocessing),)))
    which = "the units" if len(chosen) == count else f"{len(chosen)} of the {count:,} units"
    title = f"{subject.name}: pictures made to excite {which} of {layer} most"
    return learned.draw_excited(items, across=min(4, len(items)), wide=1, title=title)


def _with_a_slope(net: Chain, layer: str) -> str:
    """Return the layer before a ReLU: a unit at 0 has no slope to climb behind it."""
    names = [name for name, _ in net.steps()]
    if net.branches or layer not in names[1:] or not isinstance(net.get_submodule(layer), nn.ReLU):
        return layer
    return names[names.index(layer) - 1]


def _label(subject: Subject, layer: str, unit: int, activations: str) -> str:
    """Name a unit, by its class if the layer gives the logits, and say how excited it was."""
    if layer == last_weights(subject.model.net) and unit < len(subject.model.classes):
        return f"{shorten(subject.model.classes[unit], 24)}\n{activations}"
    return f"unit {unit}: {activations}"
