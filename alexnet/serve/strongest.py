"""The pictures that excite each unit of each layer most, kept as pictures go by.

Source:  Zeiler and Fergus 2014, figure 2: the nine strongest pictures of a map, and what of them
         the unit sees. A map counts by its maximum.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.inspection.deconvnet import check_unit
from alexnet.inspection.reach import Reach
from alexnet.inspection.subject import Subject
from alexnet.inspection.watch import find_layer, without_doubles
from alexnet.nearest import nearest
from alexnet.nets.chain import Chain
from alexnet.serve.calls import calls_of, span

MOST = 9


class Ranks(NamedTuple):
    """The strongest of a layer's units, falling: each (units, MOST or fewer)."""

    values: Tensor
    pictures: Tensor
    """Numbers of the pictures."""
    places: Tensor
    """Where in the map, row by row; 0 for a unit without one."""


class Peaks(NamedTuple):
    """The largest activation of each unit of a layer in each of some pictures."""

    values: Tensor
    """(units, N) float32."""
    places: Tensor
    """Where in the map, row by row, (units, N)."""
    width: int
    """Columns of the map."""


class Strongest:
    """The strongest pictures of all units, of those that were added."""

    def __init__(self) -> None:
        self._ranks: dict[str, Ranks] = {}
        self._widths: dict[str, int] = {}

    def add(self, peaks: Mapping[str, Peaks], pictures: Sequence[int]) -> None:
        """Take in the peaks of layers for some pictures, by their numbers."""
        for layer, peak in peaks.items():
            numbers = torch.tensor(pictures).expand(len(peak.values), -1)
            new = Ranks(peak.values, numbers, peak.places)
            self._widths[layer] = peak.width
            self._ranks[layer] = _merged(self._ranks.get(layer), new)

    def of(self, layer: str, unit: int) -> list[dict[str, Any]]:
        """Return the pictures of a unit, the strongest first, with value, row and column.

        Raises: ValueError if there is no such unit, or the layer is not among those added.
        """
        if layer not in self._ranks:
            hint = nearest(layer, self._ranks)
            raise ValueError(
                f"pictures are not ranked by layer {layer!r}{hint}; they are by "
                f"{', '.join(self._ranks) or 'none yet'}"
            )
        ranks = self._ranks[layer]
        check_unit(layer, unit, len(ranks.values))
        rows = zip(*(each[unit].tolist() for each in ranks), strict=True)
        return [
            {"picture": picture, "value": value, "place": divmod(place, self._widths[layer])}
            for value, picture, place in rows
        ]


def ranked_layers(net: Chain) -> list[str]:
    """Return the layers whose units have strongest pictures: those of figure 2, not made flat."""
    steps = dict(net.steps())
    return [each for each in without_doubles(net, steps) if not isinstance(steps[each], nn.Flatten)]


def peaks_of(y: Tensor) -> Peaks:
    """Return the peaks of what a layer gives.

    Shapes:  y (N, C, H, W) or (N, C).
    """
    flat = y.float().flatten(2) if y.dim() > 2 else y.float()[..., None]
    values, places = flat.max(2)
    return Peaks(values.T.cpu(), places.T.cpu(), int(y.shape[3]) if y.dim() == 4 else 1)


def reach_of(subject: Subject, layer: str) -> Reach:
    """Return the pixels that the outputs of a layer see; those of a block, its widest branch.

    Raises: ValueError if there is no such layer.
    """
    find_layer(subject.model.net, layer)
    calls = calls_of(subject.model.net, subject.blank())
    inner = [each.reach for name, each in calls.items() if f"{name}.".startswith(f"{layer}.")]
    return max(inner, key=lambda each: each.width)


def seen_window(subject: Subject, reach: Reach, place: tuple[int, int]) -> list[float]:
    """Return what a place of a map sees, as shares of a picture's centre square.

    Top, left, bottom, right.
    """
    preprocessing, side = subject.model.preprocessing, subject.model.net.input_size
    border, size = preprocessing.border // 2, preprocessing.picture_size
    (top, bottom), (left, right) = (span(reach, each, side) for each in place)
    return [(border + each) / size for each in (top, left, bottom, right)]


def _merged(old: Ranks | None, new: Ranks) -> Ranks:
    if old is not None:
        new = Ranks(*(torch.cat(pair, 1) for pair in zip(old, new, strict=True)))
    order = new.values.argsort(dim=1, descending=True, stable=True)[:, :MOST]
    return Ranks(*(each.gather(1, order) for each in new))
