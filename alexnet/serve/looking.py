"""Inside the net for one picture: maps, Grad-CAM, occlusion and deconvnet, as pictures or numbers.

The methods and their sources are in `alexnet.inspection`; here they become PNG files of a few
hundred pixels, or JSON for the page that draws for itself.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from alexnet.inspection import occlusion
from alexnet.inspection.deconvnet import project
from alexnet.inspection.grad_cam import enlarge, grad_cam
from alexnet.inspection.kernels import first_kernels
from alexnet.inspection.panels import in_rgb, signed, tile
from alexnet.inspection.subject import Subject
from alexnet.inspection.watch import last_maps, map_layers, named_layer, watched, without_doubles
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.subsampling import SIDE, Subsampling
from alexnet.serve.models import Opened
from alexnet.text.pooling import AveragePooling, MaxPooling
from alexnet.text.vision import Convolution

SQUARE, PLACES = 0.22, 16
"""Side of the gray square, as a share of the picture's, and its steps along that."""
MOST_TILES, SHEET = 1024, 512
"""Maps on a sheet, and its least side in pixels."""
HEAT = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float32
)
"""Five colours of viridis, from the least to the most."""
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """What is looked at."""

    layer: str = ""
    """A layer by the paper's, Caffe's or torchvision's name; "" is the last with maps."""
    unit: int = -1
    """A map of it; -1 takes all, or the strongest."""
    target: int = -1
    """A class by its number; -1 takes the first answer."""


def activations(subject: Subject, picture: Tensor, asked: Asked) -> Picture:
    """Draw the maps of a layer, or one of them: gray, black for the least."""
    y = _maps(subject, picture, asked)
    if asked.unit >= 0:
        return _enlarged(_gray(_unit(y, asked)))
    largest = y[:MOST_TILES].amax((1, 2), keepdim=True).clamp(min=1e-12)
    maps = [_gray(each) for each in y[:MOST_TILES] / largest]
    return _enlarged(tile(maps, int(np.ceil(np.sqrt(len(maps))))))


def cam(subject: Subject, picture: Tensor, asked: Asked) -> Picture:
    """Draw where the maps of a layer speak for a class, over the picture."""
    x = subject.inputs(picture)
    target = _target(subject, picture, asked)
    found = grad_cam(subject.model.net, x, target=target, layer=_layer(subject, asked))
    heat = enlarge(found, (x.shape[2], x.shape[3]))[0].cpu()
    return _over(subject.window(picture[0]), heat / heat.max().clamp(min=1e-12))


def occluded(subject: Subject, picture: Tensor, asked: Asked) -> Picture:
    """Draw how much a class, or if one is given a unit, loses under a gray square."""
    preprocessing, net = subject.model.preprocessing, subject.model.net
    gray = 127.5 / preprocessing.divide_by if preprocessing.subtract == "none" else 0.0
    side, stride = max(1, round(SQUARE * net.input_size)), max(1, net.input_size // PLACES)
    x = subject.inputs(picture)
    if asked.unit >= 0:
        of = (_layer(subject, asked), asked.unit)
        p = occlusion.occlude_unit(net, x, of=of, side=side, stride=stride, gray=gray)
    else:
        target = _target(subject, picture, asked)
        p = occlusion.occlude(net, x, target=target, side=side, stride=stride, gray=gray)
    left = occlusion.spread(p, size=(x.shape[2], x.shape[3]), side=side, stride=stride)
    lost = (left.max() - left) / (left.max() - left.min()).clamp(min=1e-12)
    return _over(subject.window(picture[0]), lost)


def seen(subject: Subject, picture: Tensor, asked: Asked) -> Picture:
    """Draw the part of the picture that the net sees."""
    return subject.window(picture[0])


def projected(subject: Subject, picture: Tensor, asked: Asked) -> Picture:
    """Draw what of the picture excites a unit, as the deconvnet brings it back."""
    layer, unit = _layer(subject, asked), asked.unit
    if unit < 0:
        y = _maps(subject, picture, asked)
        unit = int(y.flatten(1).amax(1).argmax())
    found = project(subject.model.net, subject.inputs(picture), layer=layer, unit=unit)
    return signed(in_rgb(found.picture, subject.model.preprocessing))


def statistics(subject: Subject, picture: Tensor, asked: Asked) -> dict[str, Any]:
    """Return the largest and mean value of each unit of a layer, and the shares above and at 0."""
    layer = _layer(subject, asked)
    y = _output(subject, picture, layer)
    flat = y.flatten(1) if y.dim() > 1 else y[:, None]
    return {
        "layer": layer,
        "shape": list(y.shape),
        "largest": flat.amax(1).tolist(),
        "mean": flat.mean(1).tolist(),
        "share_above_zero": float((flat > 0).float().mean()),
        "share_zero": float((flat == 0).float().mean()),
    }


def values(subject: Subject, picture: Tensor, asked: Asked) -> dict[str, Any]:
    """Return the numbers of one map.

    Raises: ValueError if the layer has no such unit.
    """
    y = _maps(subject, picture, asked)
    return {"unit": asked.unit, "values": _unit(y, asked).tolist()}


DRAWN: dict[str, Callable[[Subject, Tensor, Asked], Picture]] = {
    "picture": seen,
    "activations": activations,
    "grad-cam": cam,
    "occlusion": occluded,
    "deconvnet": projected,
}
TOLD: dict[str, Callable[[Subject, Tensor, Asked], dict[str, Any]]] = {
    "statistics": statistics,
    "values": values,
}


def look(opened: Opened, picture: Picture, kind: str, asked: Asked) -> bytes | dict[str, Any]:
    """Return a PNG, or numbers, of what a net makes of a picture.

    Raises: ValueError for a layer, unit or class that there is not.
    """
    subject = Subject("", opened.place.folder, opened.model)
    x = torch.from_numpy(picture)[None]
    if kind in TOLD:
        return TOLD[kind](subject, x, asked)
    return as_png(DRAWN[kind](subject, x, asked))


def kernels(opened: Opened) -> bytes:
    """Return the kernels of the first layer as a PNG, by column (figure 3).

    Raises: ValueError if the net has none.
    """
    _, found, columns = first_kernels(opened.model.net)
    found = in_rgb(found, opened.preprocessing)
    images = [signed(each) for each in found]
    per_row = -(-len(images) // max(1, columns * 3))
    return as_png(_enlarged(tile(images, max(1, per_row))))


def layers_of(opened: Opened) -> list[dict[str, Any]]:
    """Return the layers of figure 2: name, kind and the shape of what each gives."""
    net = opened.model.net
    subject = Subject("", opened.place.folder, opened.model)
    names = [name for name, _ in net.steps()]
    with torch.no_grad(), watched(net, names) as kept:
        net(subject.blank())
    shown = set(without_doubles(net, names))
    return [
        {
            "name": name,
            "kind": type(layer).__name__,
            "shape": list(kept[name].shape[1:]) if name in kept else None,
            "parameters": sum(p.numel() for p in layer.parameters()),
            "groups": int(layer.groups) if isinstance(layer, nn.Conv2d) else 1,
            **_windows(layer),
            "in_figure": name in shown,
        }
        for name, layer in net.steps()
    ]


def outline_of(opened: Opened) -> dict[str, Any]:
    """Return what a drawing of the net needs besides its layers.

    Columns are the groups of the second convolution, up to four.
    """
    net = opened.model.net
    groups = [layer.groups for _, layer in net.steps() if isinstance(layer, nn.Conv2d)]
    blank = Subject("", opened.place.folder, opened.model).blank()
    return {
        "input": list(blank.shape[1:]),
        "columns": groups[1] if len(groups) > 1 and 1 < groups[1] <= 4 else 1,
        "branches": net.branches,
    }


def as_png(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG."""
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, "PNG")
    return data.getvalue()


def _windows(layer: nn.Module) -> dict[str, int | None]:
    """Return side and stride of the windows that a layer reads its input in."""
    side, stride = None, None
    match layer:
        case nn.Conv2d():
            side, stride = layer.kernel_size[0], layer.stride[0]
        case nn.MaxPool2d() | nn.AvgPool2d():
            side, stride = _first(layer.kernel_size), _first(layer.stride)
        case Convolution() if layer.windows.kernel:
            side, stride = layer.windows.kernel[0], layer.windows.stride[0]
        case MaxPooling() | AveragePooling():
            side, stride = layer.panes.rows.kernel, layer.panes.rows.stride
        case PartialConvolution():
            side, stride = layer.size, 1
        case Subsampling():
            side, stride = SIDE, SIDE
    return {"kernel": side, "stride": stride}


def _first(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _layer(subject: Subject, asked: Asked) -> str:
    if asked.layer:
        return named_layer(subject.model.net, asked.layer)
    return last_maps(subject.model.net, subject.blank())


def _target(subject: Subject, picture: Tensor, asked: Asked) -> int:
    return asked.target if asked.target >= 0 else int(subject.answer(picture)[0].argmax())


@torch.no_grad()
def _output(subject: Subject, picture: Tensor, layer: str) -> Tensor:
    with watched(subject.model.net, (layer,)) as kept:
        subject.model.net(subject.inputs(picture))
    return kept[layer][0].float().cpu()


def _maps(subject: Subject, picture: Tensor, asked: Asked) -> Tensor:
    layer = _layer(subject, asked)
    y = _output(subject, picture, layer)
    if y.dim() != 3:
        names = ", ".join(map_layers(subject.model.net, subject.blank()))
        raise ValueError(f"layer {layer} gives no maps; those that do are {names}")
    return y


def _unit(y: Tensor, asked: Asked) -> Tensor:
    if not 0 <= asked.unit < len(y):
        raise ValueError(f"unit {asked.unit} is not there; the layer's are 0 to {len(y) - 1}")
    return y[asked.unit]


def _gray(y: Tensor) -> Picture:
    scaled = (y / y.max().clamp(min=1e-12)).clamp(0, 1)
    gray: Picture = (scaled * 255).round().to(torch.uint8)[..., None].expand(-1, -1, 3).numpy()
    return gray


def _over(picture: Picture, heat: Tensor) -> Picture:
    """Lay values from 0 to 1 over a picture, in colours."""
    place = heat.clamp(0, 1).numpy() * (len(HEAT) - 1)
    low = np.minimum(place.astype(int), len(HEAT) - 2)
    share = (place - low)[..., None]
    colours = HEAT[low] * (1 - share) + HEAT[low + 1] * share
    gray = picture.mean(axis=2, keepdims=True)
    mixed: Picture = (0.45 * gray + 0.55 * colours).round().astype(np.uint8)
    return mixed


def _enlarged(picture: Picture) -> Picture:
    """Repeat the pixels of what is small."""
    times = max(1, SHEET // max(picture.shape[:2]))
    return picture.repeat(times, axis=0).repeat(times, axis=1)
