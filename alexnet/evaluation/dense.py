"""Dense testing: fully connected layers as convolutions over a picture larger than the crop.

A fully connected layer that reads C maps of s x s is a convolution with an s x s kernel, and those
behind it are convolutions with 1 x 1 kernels. Over a larger picture the net then gives a map of
scores, one for each place where the crop could lie (every 32 pixels for AlexNet), and their mean
is the answer.
Source:  Sermanet et al. 2013, OverFeat, section 3.5; Simonyan and Zisserman 2014, section 3.2:
         "the class score map is spatially averaged". We test the central square of the picture,
         which is what our preprocessing keeps; they took the uncropped one. OverFeat's finer
         offsets before the last pool are not made.
Where a convolution adds zeros at the edge, a window in the middle of the picture sees its
neighbours instead, so that the scores are not those of crops; without zeros they are.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.fused import fuse

Named = tuple[str, nn.Module]
ANYWHERE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, Dropout)
"""Layers that treat each number alone, and so serve maps as they serve vectors."""


def split(steps: Iterable[Named]) -> tuple[list[Named], list[Named]]:
    """Split a net's steps before its first fully connected layer.

    The first part gives maps (pool5 of AlexNet), the second makes them flat and classifies.

    Raises:  ValueError if no layer makes the maps flat.
    """
    layers = list(steps)
    for place, (_, layer) in enumerate(layers):
        if isinstance(layer, nn.Flatten | nn.Linear):
            return layers[:place], layers[place:]
    raise ValueError(
        "the net has no fully connected layer, so that nothing can be computed densely or from "
        "the maps before it; use --views 1 or 10"
    )


def run(layers: Sequence[Named], x: Tensor) -> Tensor:
    """Return what the layers make of x, one after the other."""
    for step in fuse(layer for _, layer in layers):
        x = step(x)
    return x


class DenseNet(nn.Module):
    """A net that takes pictures of its crop's size or larger and answers with mean scores.

    Raises:  ValueError if a layer has no form that takes maps; the message names it.
    """

    def __init__(self, steps: Iterable[Named], *, input_size: int, channels: int) -> None:
        super().__init__()
        maps, classifier = split(steps)
        self.input_size = input_size
        example = torch.zeros(1, channels, input_size, input_size)
        parameter = next((p for _, layer in maps for p in layer.parameters()), None)
        if parameter is not None:
            example = example.to(parameter.device)
        for _, layer in maps:
            layer.eval()
        with torch.inference_mode():
            name, last = maps[-1]
            if isinstance(last, nn.AdaptiveAvgPool2d):
                maps[-1] = _fixed_pool(name, last, run(maps[:-1], example).shape[-1])
            side = run(maps, example).shape[-1]
        self.steps = maps + _as_convolutions(classifier, side)
        self.layers = nn.ModuleList(layer for _, layer in self.steps)
        self.eval()

    def score_map(self, x: Tensor) -> Tensor:
        """Return the scores of every place.

        Shapes:  x (N, C, H, W) -> (N, classes, places down, places across).
        Raises:  ValueError if the pictures are smaller than the net's crop.
        """
        if min(x.shape[2:]) < self.input_size:
            raise ValueError(
                f"pictures of {x.shape[2]} x {x.shape[3]} pixels are smaller than the net's input "
                f"of {self.input_size}; give scales of at least {self.input_size}"
            )
        return run(self.steps, x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the scores over all places, in float32.

        Shapes:  x (N, C, H, W) -> (N, classes).
        """
        return self.score_map(x).float().mean((2, 3))


def _fixed_pool(name: str, pool: nn.AdaptiveAvgPool2d, side: int) -> Named:
    """Return the pool with the window that it has on maps of that side."""
    wanted = pool.output_size
    if wanted in (side, (side, side)):
        return name, nn.Identity()
    if wanted in (1, (1, 1)):
        return name, nn.AvgPool2d(side, stride=1)
    raise ValueError(
        f"layer {name} averages maps of {side} x {side} into {wanted} windows of unequal size and "
        f"has no dense form; use --views 1 or 10"
    )


def _as_convolutions(layers: Sequence[Named], side: int) -> list[Named]:
    found: list[Named] = []
    for name, layer in layers:
        if isinstance(layer, nn.Linear):
            layer, side = _as_convolution(layer, side), 1
        elif isinstance(layer, nn.Flatten):
            continue
        elif not isinstance(layer, ANYWHERE):
            raise ValueError(
                f"layer {name} ({type(layer).__name__}) takes no maps, so that this net has no "
                f"dense form; use --views 1 or 10"
            )
        found.append((name, layer))
    return found


@torch.no_grad()
def _as_convolution(layer: nn.Linear, side: int) -> nn.Conv2d:
    """Return the convolution that has the layer's weights, in the same memory."""
    weight = layer.weight.detach()
    channels = layer.in_features // side**2
    with torch.device("meta"):  # its own weights are never made
        made = nn.Conv2d(channels, layer.out_features, side, bias=layer.bias is not None)
    made.weight = nn.Parameter(weight.view(-1, channels, side, side), requires_grad=False)
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return made
