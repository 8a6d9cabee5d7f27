"""What excites a unit most: pictures of a data set, and pictures made for it.

Sources: Zeiler and Fergus 2014, figure 2 (the nine strongest pictures of a map). Simonyan, Vedaldi
and Zisserman 2014, Deep Inside Convolutional Networks, section 2 (a picture climbs the gradient of
a score, with L2 decay). Yosinski, Clune, Nguyen, Fuchs and Lipson 2015, Understanding Neural
Networks Through Deep Visualization, section 3 (Gaussian blur between steps). What differs: a step
has a fixed length, whatever the net's scale, and the picture is moved by some pixels before each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.inspection.deconvnet import check_unit
from alexnet.inspection.watch import watched
from alexnet.nets.chain import Chain

DEVIATION = 64.0
"""Grey levels by which photos deviate from their mean, about."""


@torch.no_grad()
def strongest(
    net: Chain, batches: Iterable[Tensor], *, layer: str, units: Sequence[int] = (), count: int = 9
) -> tuple[Tensor, Tensor]:
    """Find the pictures that excite each unit of a layer most; a map counts by its maximum.

    `units` () are all. With fewer pictures than `count` all are ranked; of equals the first leads.

    Shapes:  batches of (N, C, H, W) -> activations and pictures' numbers, (units, count), falling.
    Raises:  ValueError if there is no such layer or unit, or no picture.
    """
    found: list[Tensor] = []
    with watched(net, (layer,)) as kept:
        for x in batches:
            net(x)
            y = kept[layer].float()
            found.append(y.flatten(2).amax(2) if y.dim() > 2 else y)
    if not found:
        raise ValueError(f"there is no picture to excite {layer}")
    values = torch.cat(found).T.cpu()
    for unit in units:
        check_unit(layer, unit, len(values))
    values = values[list(units)] if units else values
    order = values.argsort(dim=1, descending=True, stable=True)[:, :count]
    return values.gather(1, order), order


@dataclass(frozen=True)
class Climb:
    """How a picture is made that excites a unit."""

    steps: int = 100
    """Steps along the gradient."""
    length: float = 0.2
    """Length of a step, as the root mean square over the picture, in units of the input."""
    decay: float = 0.01
    """Share of the picture that is taken off at each step: the L2 penalty."""
    blur: float = 0.5
    """Deviation of the Gaussian that smooths the picture, in pixels; 0 does not."""
    blur_every: int = 4
    """Steps between two such blurs."""
    jitter: int = 4
    """The most pixels by which the picture is moved before a step."""
    start: float = 0.1
    """Deviation of the noise that it starts from, in units of the input."""

    def scaled(self, divide_by: float, side: int) -> "Climb":
        """Return the climb for inputs of other units, where `divide_by` grey levels are 1.

        The defaults suit pictures that deviate by about 1: of 64 grey levels. A small picture is
        moved by no more than a sixteenth of its side.
        """
        unit = DEVIATION / divide_by
        jitter = min(self.jitter, side // 16)
        return replace(self, length=unit * self.length, start=unit * self.start, jitter=jitter)


def maximise(
    net: Chain,
    shape: tuple[int, int, int],
    *,
    layer: str,
    unit: int,
    climb: Climb = Climb(),
    generator: torch.Generator,
) -> tuple[Tensor, list[float]]:
    """Make a picture that excites a unit, and return it with the unit's activation at each step.

        x <- (1 - decay) * (x + length * g / rms(g)),   g = d a / d x,   a blur every few steps

    a is the unit's activation; of a map, that in its middle. The last activation is the picture's
    own, without a move.

    Shapes:  shape (C, H, W) -> (C, H, W) float32.
    Units:   those of the net's input: the mean colour is 0 where the mean is subtracted.
    Raises:  ValueError if there is no such layer or unit.
    """
    device = next(net.parameters()).device
    x = (torch.randn(1, *shape, generator=generator) * climb.start).to(device)
    path = []
    with watched(net, (layer,)) as kept:
        for step in range(climb.steps):
            move = torch.randint(-climb.jitter, climb.jitter + 1, (2,), generator=generator)
            shift = (int(move[0]), int(move[1]))
            x = x.roll(shift, (2, 3))
            activation, gradient = _gradient(net, x, layer, unit, kept)
            path.append(activation)
            norm = gradient.square().mean().sqrt().clamp(min=1e-20)
            x = (x + climb.length * gradient / norm) * (1 - climb.decay)
            x = x.roll((-shift[0], -shift[1]), (2, 3))
            if climb.blur > 0 and step % climb.blur_every == climb.blur_every - 1:
                x = blurred(x, climb.blur)
        path.append(_gradient(net, x, layer, unit, kept)[0])
    return x[0], path


def blurred(x: Tensor, deviation: float) -> Tensor:
    """Smooth pictures by a Gaussian; past the edge the nearest pixel goes on.

    Shapes:  x (N, C, H, W) -> same.     Units: deviation in pixels.
    """
    radius = max(1, round(3 * deviation))
    taps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-taps.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (radius,) * 4, mode="replicate")
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


def _gradient(
    net: Chain, x: Tensor, layer: str, unit: int, kept: dict[str, Tensor]
) -> tuple[float, Tensor]:
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        net(x)
        output = kept[layer]
        check_unit(layer, unit, output.shape[1])
        middle = [side // 2 for side in output.shape[2:]]
        activation = output[(0, unit, *middle)]
        (gradient,) = torch.autograd.grad(activation, x)
    return float(activation.detach()), gradient
