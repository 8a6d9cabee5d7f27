"""Layers of a net watched while it answers: what they give, with the gradients that lead on."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from alexnet.inspection.layer_names import resolve
from alexnet.nearest import nearest
from alexnet.nets.chain import Chain, leaves
from alexnet.text.picture import PictureNet


def layer_names(net: Chain) -> list[str]:
    """Return the names of all layers on the way to the logits, blocks and what is in them."""
    names = []
    for step, layer in net.steps():
        names += [name for name, _ in layer.named_modules(prefix=step)]
    return names


def find_layer(net: Chain, name: str) -> nn.Module:
    """Return a layer on the way to the logits.

    Raises: ValueError if there is none of that name; the message gives the nearest.
    """
    known = layer_names(net)
    if name not in known:
        steps = ", ".join(step for step, _ in net.steps())
        raise ValueError(f"no layer is called {name!r}{nearest(name, known)}; they are {steps}")
    return net.get_submodule(name)


def named_layer(net: Chain, name: str) -> str:
    """Return the layer whose output a name of the paper, of Caffe or of torchvision means.

    `alexnet.inspection.layer_names` has the rule: conv5 is after its ReLU, conv5:before is not.

    Raises: ValueError if nothing has that name, or what has it does not lead to the logits.
    """
    layer = resolve(net, name).layer
    if isinstance(net, PictureNet):
        tops = {str(r["name"]): str(r["top"][0]) for r in net.body.records if r["top"]}
        blob = tops.get(layer, layer)
        makers = [str(r["name"]) for r in net.body.records if blob in r["top"]]
        made = net.body.layers[makers[-1]]  # the last of those that work in place
        layer = next((own for own, each in net.named_children() if each is made), makers[-1])
    find_layer(net, layer)
    return layer


@contextmanager
def watched(net: Chain, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Keep what the named layers give while the net runs, which is set to answer, not to train.

    The tensors are those that the logits are computed from: their gradients can be asked for. They
    are whole, though an activation that follows may work in place.

    Raises: ValueError as `find_layer`.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        kept[name] = output
        return output.clone()

    handles = [
        find_layer(net, name).register_forward_hook(
            lambda _, __, output, name=name: keep(name, output)
        )
        for name in names
    ]
    was_training = net.training
    net.eval()
    try:
        yield kept
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()


@torch.no_grad()
def map_layers(net: Chain, x: Tensor) -> dict[str, tuple[int, int, int]]:
    """Return the steps of a net that give maps of more than one pixel, in their order.

    Shapes:  x (N, C, H, W) -> {name: (C, H, W)}.
    """
    names = [name for name, _ in net.steps()]
    with watched(net, names) as kept:
        net(x)
    found = {}
    for name in names:  # a layer of a text may lie off the way to the logits
        shape = tuple(kept[name].shape[1:]) if name in kept else ()
        if len(shape) == 3 and shape[1] * shape[2] > 1:
            found[name] = (int(shape[0]), int(shape[1]), int(shape[2]))
    return found


def without_doubles(net: Chain, names: Iterable[str]) -> list[str]:
    """Leave out of a net's steps those whose activation follows: it shows the same, cut off."""
    steps = list(net.steps())
    doubles = {
        name for (name, _), (_, after) in pairwise(steps) if not net.branches and _keeps_maps(after)
    }
    return [name for name in names if name not in doubles]


def last_maps(net: Chain, x: Tensor) -> str:
    """Return the last layer with convolutions whose maps have places, or its activation.

    Of AlexNet it is relu5, of VGG relu5_3, of a ResNet the last block, of GoogLeNet inception_5b.

    Shapes:  x (N, C, H, W).
    Raises:  ValueError if no layer gives maps.
    """
    shapes = map_layers(net, x)
    steps = [(name, layer) for name, layer in net.steps() if name in shapes]
    convolutions = [place for place, (_, layer) in enumerate(steps) if _convolves(layer)]
    if not convolutions:
        raise ValueError("the net has no convolution whose maps have more than one place")
    place = convolutions[-1]
    while place + 1 < len(steps) and _keeps_maps(steps[place + 1][1]):
        place += 1
    return steps[place][0]


def last_weights(net: Chain) -> str:
    """Return the name of the layer that gives the logits; what it reads is the last hidden layer.

    Raises: ValueError if no layer of the net has weights.
    """
    weighted = [n for n, e in leaves(net) if [*e.parameters(), *e.buffers()]]
    if not weighted:
        raise ValueError("no layer of the net has weights")
    return weighted[-1]


def _convolves(layer: nn.Module) -> bool:
    return any(
        weight.dim() >= 3 and not isinstance(each, nn.Linear)
        for each in layer.modules()
        for weight in each.parameters(recurse=False)
    )


def _keeps_maps(layer: nn.Module) -> bool:
    kinds = nn.ReLU | nn.Tanh | nn.BatchNorm2d
    return isinstance(layer, kinds) or type(layer).__name__ == "ScaledTanh"
