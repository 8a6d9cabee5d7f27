"""Where a picture carries its class: a gray square is moved over it, and the answer watched.

Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2.
What differs: squares end at the picture's edge instead of reaching past it, and the steps are such
that the last square ends there.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from alexnet.inspection.deconvnet import check_unit
from alexnet.inspection.watch import watched
from alexnet.nets.chain import Chain

BATCH_SIZE = 32


def places(size: int, *, side: int, stride: int) -> list[int]:
    """Return where squares begin along one side; the last one ends with the picture.

    Raises: ValueError if the square does not fit, or side or stride is below 1.
    """
    if not 1 <= side <= size:
        raise ValueError(
            f"the square's side is {side} pixels; it must be from 1 to the picture's {size}"
        )
    if stride < 1:
        raise ValueError(f"stride is {stride} pixels; it must be at least 1")
    return sorted({*range(0, size - side + 1, stride), size - side})


@torch.inference_mode()
def occlude(
    net: Chain, x: Tensor, *, target: int, side: int, stride: int, gray: float = 0.0
) -> Tensor:
    """Return the probability of a class for each place of a gray square on a picture.

        p[r, q] = softmax(net(x, but gray in rows r .. r + side, columns q .. q + side))[target]

    Shapes:  x (1, C, H, W) -> (places in H, places in W) float32.
    Units:   gray is in those of x: 0 is the mean colour where the mean is subtracted.
    Raises:  ValueError as `places`.
    """
    net.eval()
    answers = [net(batch).float().softmax(1)[:, target] for batch in covered(x, side, stride, gray)]
    return torch.cat(answers).view(_grid(x, side, stride))


@torch.inference_mode()
def occlude_unit(
    net: Chain, x: Tensor, *, of: tuple[str, int], side: int, stride: int, gray: float = 0.0
) -> Tensor:
    """Return the largest activation of a unit, `of` a layer, for each place of a gray square.

    Shapes:  x (1, C, H, W) -> (places in H, places in W) float32.
    Source:  Zeiler and Fergus 2014, figure 7 (b), where the map's values are added up instead.
    Raises:  ValueError as `places`, or if there is no such layer or unit.
    """
    layer, unit = of
    found = []
    with watched(net, (layer,)) as kept:
        for batch in covered(x, side, stride, gray):
            net(batch)
            check_unit(layer, unit, kept[layer].shape[1])
            found.append(kept[layer][:, unit].float().reshape(len(batch), -1).amax(1))
    return torch.cat(found).view(_grid(x, side, stride))


def covered(x: Tensor, side: int, stride: int, gray: float) -> Iterator[Tensor]:
    """Yield a picture with a gray square at each place, some places at a time.

    Shapes:  x (1, C, H, W) -> (N, C, H, W).
    """
    tops = places(x.shape[2], side=side, stride=stride)
    lefts = places(x.shape[3], side=side, stride=stride)
    corners = [(top, left) for top in tops for left in lefts]
    for first in range(0, len(corners), BATCH_SIZE):
        some = corners[first : first + BATCH_SIZE]
        batch = x.repeat(len(some), 1, 1, 1)
        for row, (top, left) in enumerate(some):
            batch[row, :, top : top + side, left : left + side] = gray
        yield batch


def spread(p: Tensor, *, size: tuple[int, int], side: int, stride: int) -> Tensor:
    """Return for each pixel the mean of `occlude` over the squares that cover it.

    A pixel between squares, where the stride is wider than they are, is not a number.

    Shapes:  p (places in H, places in W) -> (H, W) float32.
    """
    total, count = torch.zeros(size), torch.zeros(size)
    for row, top in enumerate(places(size[0], side=side, stride=stride)):
        for column, left in enumerate(places(size[1], side=side, stride=stride)):
            total[top : top + side, left : left + side] += p[row, column].cpu()
            count[top : top + side, left : left + side] += 1
    return total / count


def _grid(x: Tensor, side: int, stride: int) -> tuple[int, int]:
    rows, columns = (len(places(each, side=side, stride=stride)) for each in x.shape[2:])
    return rows, columns
