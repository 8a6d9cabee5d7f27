"""A loss that is no number any more: in which update, over which pictures, and where in the net.

On a CPU the loss of each update is looked at before the weights are touched, and the batch is gone
through once more to find the layer. A GPU would have to be waited for, and several processes would
have to ask each other; there the losses since the last report are looked at when it is due, or a
checkpoint, and what is known is the update and its pictures. Nothing is saved either way.
"""

import json
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from alexnet.data.loader import Batch, Loader
from alexnet.nets.chain import Chain
from alexnet.parallel.team import Team
from alexnet.training.guards import GuardStop, describe_loss

MOST_NAMED = 8


class RunawayStop(GuardStop):
    """Training was stopped because the loss is no finite number."""


@dataclass
class Losses:
    """The updates since the last report: where they turn out to have run away, which one it was."""

    team: Team
    loader: Loader
    _kept: deque[tuple[int, Tensor, float | Tensor]] = field(default_factory=deque)

    def keep(self, step: int, batch: Batch, loss: float | Tensor) -> None:
        """Take in this process's part of the loss of update `step`, the first being 1."""
        self._kept.append((step, batch.indices, loss))

    def check(self, loss: float) -> None:
        """Make sure that the sum of the losses over all processes is finite; forget them if it is.

        Raises: RunawayStop in all processes naming the first update that was not, and its pictures.
        """
        if math.isfinite(loss):
            self._kept.clear()
            return
        odd = (step for step, _, each in self._kept if not math.isfinite(float(each)))
        steps = [int(text) for text in self.team.hear(str(next(odd, 0)))]
        first = min(filter(None, steps), default=self._kept[-1][0])
        own = next((indices for step, indices, _ in self._kept if step == first), torch.empty(0))
        paths = [self.loader.listing.paths[int(index)] for index in own]
        said = self.team.hear(json.dumps([paths[:MOST_NAMED], len(paths)]))
        heard = [json.loads(text) for text in said[:: self.team.mesh.columns]]
        names = [name for each, _ in heard for name in each]
        raise RunawayStop(
            describe_loss(first, loss, pictures=_describe(names, sum(n for _, n in heard)))
        )


def _describe(names: list[str], count: int) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    rest = count - len(names[:MOST_NAMED])
    return f"{count} pictures: {shown}{f' and {rest} more' if rest else ''}"


def check_now(
    team: Team, net: Chain, *, x: Tensor, loss: Tensor, step: int, paths: list[str]
) -> None:
    """Look at a loss before its update is made: that of one process alone, on a CPU.

    Raises: RunawayStop naming the pictures, and where in the net the first number was lost.
    """
    if team.size > 1 or x.device.type != "cpu":
        return
    number = float(loss)
    if not math.isfinite(number):
        pictures = _describe(paths, len(paths))
        place = first_not_finite(net, x)
        raise RunawayStop(describe_loss(step, number, place=place, pictures=pictures))


def check_weights(net: nn.Module, team: Team, step: int) -> None:
    """Make sure that all weights are finite, before they are saved.

    The loss of the update that spoils them is still finite: that of the next one would not be.

    Raises: RunawayStop in all processes.
    """
    own = next((name for name, each in net.named_parameters() if not is_finite(each)), "")
    name = next(filter(None, team.hear(own)), "")
    if name:
        raise RunawayStop(describe_loss(step, math.nan, place=f"{name} after the update"))


def first_not_finite(net: Chain, x: Tensor) -> str:
    """Return where in a net the first number that is not finite stands, in words.

    The weights come first, for nothing behind them can be finite; then the layers in the order in
    which they compute. The net is run once, as it stands.

    Shapes:  x as the net takes it.
    """
    if not is_finite(x):
        return "the pictures as the net sees them"
    for name, parameter in net.named_parameters():
        if not is_finite(parameter):
            return f"{name}, which the update before has made so"
    with _lookouts(net) as lost, torch.no_grad():
        net.heads(x)
    return f"what {lost[0]} puts out" if lost else "the loss, of answers that are finite"


def is_finite(x: Tensor) -> bool:
    """Return whether all numbers of a tensor are finite; their sum is taken in float64."""
    return math.isfinite(float(x.detach().sum(dtype=torch.float64)))


@contextmanager
def _lookouts(net: nn.Module) -> Iterator[list[str]]:
    """Collect the names of the layers whose outputs are not finite, in the order of computing."""
    lost: list[str] = []

    def look_at(name: str) -> "torch.utils.hooks.RemovableHandle":
        def hook(layer: nn.Module, given: object, output: object) -> None:
            if isinstance(output, Tensor) and not is_finite(output):
                lost.append(name)

        return net.get_submodule(name).register_forward_hook(hook)

    names = [name for name, layer in net.named_modules() if not list(layer.children())]
    handles = [look_at(name) for name in names]
    try:
        yield lost
    finally:
        for handle in handles:
            handle.remove()
