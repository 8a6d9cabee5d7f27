"""What all nets share: named layers that run one after the other."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from alexnet.layers.fused import fuse
from alexnet.nearest import nearest


class Heads(NamedTuple):
    """The logits of a net and of its auxiliary classifiers.

    loss = L(logits) + weight * sum of L(auxiliary)
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...] = ()
    weight: float = 0.0


class Multipliers(NamedTuple):
    """What a net's source says of how fast a parameter learns; None where it says nothing."""

    rate: float | None
    """Factor on the rate."""
    decay: float | None
    """Factor on the decay."""


class Architecture(Protocol):
    """What is known of a net before it is built; the presets in `alexnet.nets.NETS` are these."""

    @property
    def source(self) -> str:
        """The paper or file that the net follows."""

    @property
    def input_size(self) -> int:
        """Width and height of the crop that the net sees, in pixels."""

    @property
    def channels(self) -> int:
        """Colours of its input: 3, or 1 for grey."""

    @property
    def published(self) -> tuple[int | None, int | None, int | None] | None:
        """Published parameters, neurons and multiply-adds, at its own classes and input size."""

    @property
    def published_classes(self) -> int:
        """Classes for which `published` holds."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader who compares the figures with the source should know."""

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "Chain":
        """Return the net on the current default device."""

    def check_input(self, input_size: int) -> int:
        """Return the side of the last feature maps; ValueError if that input does not fit."""


class Chain(nn.Module):
    """A net whose children, in their order, are the forward pass.

    Children carry the names of the net's paper. A child may be a block with layers of its own,
    whose outputs are named with a dot: `inception_3a.conv3x3`.
    """

    classes: int
    input_size: int
    branches: bool = False
    """Whether the steps are no chain but a graph that `forward` alone knows."""

    def steps(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the layers that lead from the input to the logits, with their names."""
        return self.named_children()

    def forward(self, x: Tensor, *, upto: str | None = None) -> Tensor:
        """Return the logits, or the activation of the layer named `upto`.

        Shapes:  x (N, C, H, W) -> (N, classes), or the shape of that layer's output.
        Raises:  ValueError if no layer is called `upto`.
        """
        if upto is not None:
            return self.activations(x, (upto,))[upto]
        for step in fuse(layer for _, layer in self.steps()):
            x = step(x)
        return x

    def heads(self, x: Tensor) -> Heads:
        """Return what training takes the loss of; a net without auxiliary classifiers has one."""
        return Heads(self(x))

    def multipliers(self) -> dict[str, Multipliers]:
        """Return what the net's source says of single parameters' rates; most say nothing."""
        return {}

    def activations(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the outputs of the named layers; computes no layer past the last of them.

        Shapes:  x (N, C, H, W) -> {name: output of that layer}.
        Raises:  ValueError if the net has no layer of one of these names.
        """
        known = [name for name, _ in self.steps()]
        inner = [name for name, _ in self.named_modules() if name.partition(".")[0] in known]
        for name in names:
            if name not in inner:
                raise ValueError(
                    f"no layer is called {name!r}{nearest(name, inner)}; "
                    f"the layers are {', '.join(known)}"
                )
        kept: dict[str, Tensor] = {}

        def keep(name: str, output: Tensor) -> None:
            kept[name] = output.clone()  # the activation that follows works in place

        handles = [
            self.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: keep(name, output)
            )
            for name in names
        ]
        try:
            for _, layer in self.steps():
                if len(kept) == len(set(names)):
                    break
                x = layer(x)
        finally:
            for handle in handles:
                handle.remove()
        return kept

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights as the net's source does."""
        raise NotImplementedError


def leaves(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers of a net that hold no other layers, with their dotted names.

    Those of the way to the logits come in the order in which the net lists them; auxiliary
    classifiers are left out.
    """
    if not isinstance(net, Chain):
        yield from ((name, each) for name, each in net.named_modules() if _is_leaf(each))
        return
    for step, layer in net.steps():
        for name, each in layer.named_modules(prefix=step):
            if _is_leaf(each):
                yield name, each


def _is_leaf(layer: nn.Module) -> bool:
    return next(layer.children(), None) is None
