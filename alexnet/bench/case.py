"""What is timed: a net, a batch and an arithmetic; and who does it.

All who take part build their net from the weights that `Case.draw_net` draws, and before any time
is taken their logits are compared with ours, so that nobody is timed on another function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from alexnet.measure import Lap
from alexnet.model import architecture
from alexnet.nets import ALEXNETS
from alexnet.nets.alexnet import AlexNet, Variant
from alexnet.nets.chain import Architecture, Chain
from alexnet.training.initialise import normalise_outputs, not_normalisable

Precision = Literal["fp32", "bf16", "int8"]
RATE = 1e-6
"""Learning rate of the steps: weights that hardly move keep every step the same work."""
GREY_DEVIATION = 30.0
NORMALISED_ON = 8
TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.5}
"""Largest difference of logits, as a share of the largest logit. float32 differs by the order of
its sums; bf16 rounds eight layers to 8 bits; int8 is there to tell another function from ours."""


class PeerMissing(OSError):
    """A package or program to compare with is not installed."""


class WrongAnswer(OSError):
    """A net that was to be timed does not compute the same function."""


@dataclass(frozen=True)
class Case:
    """One piece of work, the same for all who are timed on it."""

    net: str = "alexnet"
    batch: int = 64
    precision: Precision = "fp32"
    classes: int = 1000
    input_size: int = 0
    """Width of the input in pixels; 0 takes the net's own."""
    threads: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1")
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it must be at least 1")
        self.architecture.check_input(self.side)

    @property
    def architecture(self) -> Architecture:
        """What is known of the net before it is built."""
        return architecture(self.net)

    @property
    def variant(self) -> Variant:
        """The variant of a net that is called AlexNet.

        Raises: ValueError for other nets; those are timed against themselves only.
        """
        found = self.architecture
        if not isinstance(found, Variant):
            raise ValueError(
                f"only the nets called AlexNet are built for others to run, and {self.net} is not "
                f"one; use one of {', '.join(ALEXNETS)}, or leave --against out"
            )
        return found

    @property
    def side(self) -> int:
        """Width and height of the input, in pixels."""
        return self.input_size or self.architecture.input_size

    @property
    def dtype(self) -> torch.dtype:
        """The type that matrix products read; int8 is bfloat16 elsewhere."""
        return torch.float32 if self.precision == "fp32" else torch.bfloat16

    @property
    def crosses_columns(self) -> bool:
        """Whether a peer's norm reaches past the edge of a column, where ours ends."""
        net = self.architecture
        if not isinstance(net, Variant):
            return False
        norms = "norm" in (*net.after_conv1, *net.after_conv2)
        return norms and net.columns > 1 and net.norm.within_column

    def with_precision(self, precision: Precision) -> "Case":
        """Return the same work in another arithmetic."""
        return replace(self, precision=precision)

    def draw_net(self) -> Chain:
        """Return the net with its weights, the same ones each time.

        They are normalised on a few pictures, so that a difference anywhere in the net shows in
        the logits; with the weights of most sources it would fade on the way.
        """
        net = self.architecture.build(classes=self.classes, input_size=self.side)
        net.init_weights(torch.Generator().manual_seed(0))
        if not_normalisable(net) is None:
            normalise_outputs(net, self._noise(NORMALISED_ON, seed=1) / GREY_DEVIATION)
        return net

    def draw_alexnet(self) -> AlexNet:
        """Return the net of `draw_net` to be built again in other layers.

        Raises: ValueError if it is not one of those called AlexNet.
        """
        assert self.variant
        net = self.draw_net()
        assert isinstance(net, AlexNet)
        return net

    def draw_crossing(self) -> Chain:
        """Return the net of `draw_net` with norms that run across columns, as those of peers do."""
        net = self.draw_net()
        if not self.crosses_columns:
            return net
        norm = replace(self.variant.norm, within_column=False)
        crossed = replace(self.variant, norm=norm).build(classes=self.classes, input_size=self.side)
        crossed.load_state_dict(net.state_dict())
        return crossed

    def draw_pictures(self) -> Tensor:
        """Return the batch: noise, (N, C, H, W) float32, channels last, deviation 30 grey levels.

        With these the norms divide by something, which they hardly do with numbers near 1.
        """
        return self._noise(self.batch, seed=0)

    def draw_labels(self) -> Tensor:
        """Return a label for each picture, (N,) int64."""
        generator = torch.Generator().manual_seed(2)
        return torch.randint(0, self.classes, (self.batch,), generator=generator)

    @torch.inference_mode()
    def reference(self, *, crossing: bool) -> Tensor:
        """Return our float32 logits, layer by layer, (N, classes).

        `crossing` lets the norms run across columns, as those of peers do.
        """
        net = self.draw_crossing() if crossing else self.draw_net()
        x = self.draw_pictures()
        if net.eval().branches:
            logits: Tensor = net(x)
            return logits
        for _, layer in net.steps():
            x = layer(x)
        return x

    def _noise(self, count: int, *, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        size = (count, self.side, self.side, self.architecture.channels)
        x = torch.randn(size, generator=generator) * GREY_DEVIATION
        return x.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Contender:
    """Somebody who does the work of a case."""

    name: str
    precision: Precision
    lap: Lap
    answer: Callable[[], Tensor] | None = None
    """Returns the logits of the case's pictures; None where they cannot be had."""
    note: str = ""
    """What a reader who compares should know."""


def check_installed(packages: Sequence[str], *, peer: str) -> None:
    """Check that a peer's packages are there, without importing them.

    Raises: PeerMissing if one is not; the message says how to install it.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        names = " ".join(missing)
        raise PeerMissing(f"{peer} needs {names}, not installed here; pip install {names}")


def require(modules: Sequence[str], *, peer: str) -> list[Any]:
    """Import what a peer needs; a module a.b comes in the package a.

    Raises: PeerMissing as `check_installed`.
    """
    packages = dict.fromkeys(module.partition(".")[0] for module in modules)
    check_installed(list(packages), peer=peer)
    return [import_module(module) for module in modules]


def difference(answer: Tensor, reference: Tensor) -> float:
    """Return the largest difference of two sets of logits as a share of the largest logit."""
    return float((answer.double() - reference.double()).abs().max() / reference.abs().max())


def check_answer(contender: Contender, answer: Tensor, reference: Tensor) -> float:
    """Return how far a contender's logits are from ours.

    Raises: WrongAnswer if they are further than the arithmetic explains, or of another shape.
    """
    most = TOLERANCES[contender.precision]
    if answer.shape != reference.shape:
        shapes = f"{tuple(answer.shape)}, ours {tuple(reference.shape)}"
        raise WrongAnswer(f"{contender.name} answers with shape {shapes}; it is not the same net")
    found = difference(answer, reference)
    if not found <= most:
        raise WrongAnswer(
            f"{contender.name} differs from our logits by {found:.2g} of their scale, more than "
            f"{most:g} in {contender.precision}; it is not the same net, so it is not timed"
        )
    return found
