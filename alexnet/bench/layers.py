"""Each call of a training step alone, on its input in the net: times, bytes, operations.

Layers that the net runs as one are timed as one: relu1+norm1+pool1.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.bench.case import Case
from alexnet.inspection.summary import summarise
from alexnet.layers.fused import Step, fuse, members
from alexnet.measure import WARM_UPS, Timing
from alexnet.training.step import at_work


@dataclass(frozen=True)
class LayerTimes:
    """One layer, or some that run as one, of a training step without the update."""

    name: str
    """Names joined by +."""
    type: str
    forward: Timing
    backward: Timing
    forward_flop: int
    """2 * multiply-adds * batch; norms, pools and activations count as none."""
    backward_flop: int
    forward_bytes: int
    """Input, weights and output once each, in the types that they have in memory."""
    backward_bytes: int
    """The same and their gradients once each; the first layer's input has none."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`, times in milliseconds."""
        rest = {k: v for k, v in asdict(self).items() if k not in ("forward", "backward")}
        passes = {"forward": self.forward, "backward": self.backward}
        return rest | {
            f"{which}_{figure}": value
            for which, timing in passes.items()
            for figure, value in (
                ("ms", timing.median * 1e3),
                ("least_ms", timing.least * 1e3),
                ("spread_ms", timing.spread * 1e3),
                ("n", timing.n),
            )
        }


def time_layers(case: Case, *, repeats: int) -> list[LayerTimes]:
    """Time each call of our net, forward and backward, in the order in which they run.

    Raises: ValueError if `repeats` is below 1, or the net's layers form no chain.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    drawn = case.draw_net()
    if drawn.branches:
        raise ValueError(
            f"the layers of {case.net} form no chain, so that none can be timed alone; time the "
            "whole net with alexnet bench train, or its layers with alexnet caffe time"
        )
    net = at_work(drawn, case.dtype).train()
    x = case.draw_pictures().to(case.dtype)
    summary = summarise(case.net, classes=case.classes, input_size=case.side)
    names = {layer: name for name, layer in net.steps()}
    rows: list[LayerTimes] = []
    first = True  # up to conv1 nobody wants the gradient of the input
    for step in fuse(layer for _, layer in net.steps()):
        layers = members(step)
        inside = [names[layer] for layer in layers]  # a block's layers are called block.layer
        own = [each for each in summary.layers if each.name.partition(".")[0] in inside]
        parameters = [parameter for layer in layers for parameter in layer.parameters()]
        laps = [_pass(step, x, parameters, first=first) for _ in range(WARM_UPS + repeats)]
        y, forward, backward = laps[-1][0], *zip(*(lap[1:] for lap in laps[WARM_UPS:]), strict=True)
        weights = sum(parameter.nbytes for parameter in parameters)
        flop = 2 * sum(figure.multiply_adds for figure in own) * case.batch
        touched = x.nbytes + weights + y.nbytes
        rows.append(
            LayerTimes(
                name="+".join(inside),
                type="block" if len(own) > len(inside) else "+".join(each.type for each in own),
                forward=Timing.of(forward),
                backward=Timing.of(backward),
                forward_flop=flop,
                backward_flop=flop if first else 2 * flop,
                forward_bytes=touched,
                backward_bytes=2 * touched - (x.nbytes if first else 0),
            )
        )
        x, first = y, first and not weights
    return rows


def total(rows: list[LayerTimes]) -> dict[str, float]:
    """Return the sums over layers: seconds, operations and bytes of each pass."""
    return {
        "forward_seconds": sum(row.forward.median for row in rows),
        "backward_seconds": sum(row.backward.median for row in rows),
        "forward_flop": sum(row.forward_flop for row in rows),
        "backward_flop": sum(row.backward_flop for row in rows),
        "forward_bytes": sum(row.forward_bytes for row in rows),
        "backward_bytes": sum(row.backward_bytes for row in rows),
    }


def _pass(
    layer: Step, x: Tensor, parameters: list[nn.Parameter], *, first: bool
) -> tuple[Tensor, float, float]:
    """Return a layer's output, and the seconds of one forward and one backward pass."""
    leaf = x.detach().requires_grad_(not first)
    inputs = leaf.clone()  # activations work in place, which a leaf does not allow
    wanted = [*([] if first else [leaf]), *parameters]
    started_at = time.perf_counter()
    y = layer(inputs)
    forward = time.perf_counter() - started_at
    dy = torch.ones_like(y)
    if not wanted:  # padding before conv1: nothing to pass back
        return y.detach(), forward, 0.0
    started_at = time.perf_counter()
    torch.autograd.grad(y, wanted, dy)
    return y.detach(), forward, time.perf_counter() - started_at
