"""How long a net takes, layer by layer, and as a whole.

Source: Caffe, tools/caffe.cpp, time. Layers are run one after the other, each cut off from the one
before, so that its passes can be timed alone. A net without a loss goes back from its outputs, with
gradients of one. What differs: at the end the whole net is timed again as training runs it, where
layers in a row run as one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.caffe.log import LOG
from alexnet.caffe.placement import CPU, run_there
from alexnet.text.assembly import as_tuple
from alexnet.text.graph import Pass, TextNet
from alexnet.text.kind import Source
from alexnet.text.message import Message


@dataclass
class LayerTime:
    """Seconds that a layer took in all iterations."""

    name: str
    forward_seconds: float = 0.0
    backward_seconds: float = 0.0


@dataclass
class _Call:
    """A layer's bottoms and tops in a pass forward."""

    number: int
    sources: list[Tensor]
    """What it reads, as the layers before made it."""
    bottoms: list[Tensor]
    """The same without history."""
    tops: tuple[Tensor, ...]


def time_net(
    net: TextNet,
    iterations: int,
    *,
    place: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
) -> list[LayerTime]:
    """Time the layers of a net and the whole, log what Caffe logs, and return the layers' times.

    Layers alone are timed in float32, the whole with products of `dtype`.

    Raises: ValueError if there is no iteration to time.
    """
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; time at least 1")
    inputs = {name: torch.zeros(shape, device=place) for name, shape in net.inputs.items()}
    LOG.info("Performing Forward")
    result = run_there(net, place, inputs)
    LOG.info(f"Initial loss: {float(result.loss.detach()):g}")
    LOG.info("Performing Backward")
    _go_back(net, result)
    LOG.info("*** Benchmark begins ***")
    LOG.info(f"Testing for {iterations} iterations.")
    times = [LayerTime(record["name"]) for record in net.records]
    passes = {"Forward": 0.0, "Backward": 0.0}
    started_at = time.perf_counter()
    for iteration in range(iterations):
        begun_at = _now(place)
        calls, gradients = _forward(net, inputs, times, place)
        turned_at = _now(place)
        _backward(net, calls, gradients, times)
        ended_at = _now(place)
        passes["Forward"] += turned_at - begun_at
        passes["Backward"] += ended_at - turned_at
        milliseconds = 1000 * (ended_at - begun_at)
        LOG.info(f"Iteration: {iteration + 1} forward-backward time: {milliseconds:g} ms.")
    total = time.perf_counter() - started_at
    LOG.info("Average time per layer: ")
    for each in times:
        forward = 1000 * each.forward_seconds / iterations
        LOG.info(f"{each.name:>10}\tforward: {forward:g} ms.")
        backward = 1000 * each.backward_seconds / iterations
        LOG.info(f"{each.name:>10}\tbackward: {backward:g} ms.")
    for name, seconds in passes.items():
        LOG.info(f"Average {name} pass: {1000 * seconds / iterations:g} ms.")
    LOG.info(f"Average Forward-Backward: {1000 * total / iterations:g} ms.")
    LOG.info(f"Total Time: {1000 * total:g} ms.")
    LOG.info("*** Benchmark ends ***")
    whole = _time_whole(net, inputs, iterations, place, dtype)
    name = "bfloat16" if dtype == torch.bfloat16 else "float32"
    LOG.info(f"As training runs it, layers in a row as one, {name}: {1000 * whole:g} ms (median).")
    return times


def _time_whole(
    net: TextNet,
    inputs: Mapping[str, Tensor],
    iterations: int,
    place: torch.device,
    dtype: torch.dtype,
) -> float:
    """Return the median seconds of a pass forward and backward, after one that warms up."""
    seconds = []
    for _ in range(iterations + 1):
        net.zero_grad()
        started_at = _now(place)
        _go_back(net, run_there(net, place, inputs, dtype=dtype))
        seconds.append(_now(place) - started_at)
    return sorted(seconds[1:])[iterations // 2]


def _go_back(net: TextNet, result: Pass) -> None:
    """Take all gradients of the loss, or of the sum of the outputs of a net without one."""
    heads = [result.loss] if net.loss_weights else [y.sum() for y in result.blobs.values()]
    heads = [head for head in heads if head.requires_grad]
    if heads:
        torch.autograd.backward(heads)


def _now(place: torch.device) -> float:
    """Return the time in seconds when all that was asked of a device is done."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter()


def _forward(
    net: TextNet,
    inputs: Mapping[str, Tensor],
    times: Sequence[LayerTime],
    place: torch.device,
) -> tuple[list[_Call], dict[int, Tensor]]:
    """Run each layer on bottoms without history; return its calls, and the gradients of losses.

    Gradients stand by the id of the value that they belong to; the calls keep all values alive.
    """
    weights = net.loss_weights or dict.fromkeys(net.outputs, 1.0)
    values: dict[str, Tensor] = {}
    calls: list[_Call] = []
    gradients: dict[int, Tensor] = {}
    for number, record in enumerate(net.records):
        sources = [values[name] for name in record["bottom"]]
        bottoms = [value.detach().requires_grad_(value.requires_grad) for value in sources]
        started_at = _now(place)
        tops = _run(record, net.layers[record["name"]], bottoms, inputs, place=place)
        times[number].forward_seconds += _now(place) - started_at
        calls.append(_Call(number, sources, bottoms, tops))
        values.update(zip(record["top"], tops, strict=False))
        names = record["top"] or [""]  # a loss without a top counts once
        for name, top in zip(names, tops, strict=False):
            weight = weights.get(name, 0.0) if name else 1.0
            if weight and top.requires_grad:
                gradients[id(top)] = torch.full_like(top, weight)
    return calls, gradients


def _run(
    record: Message,
    module: nn.Module,
    bottoms: Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    *,
    place: torch.device,
) -> tuple[Tensor, ...]:
    if record["type"] == "Input":
        return tuple(inputs[name] for name in record["top"])
    if isinstance(module, Source):
        return tuple(top.to(place) for top in as_tuple(module()))
    return as_tuple(module(*bottoms))


def _backward(
    net: TextNet,
    calls: Sequence[_Call],
    gradients: dict[int, Tensor],
    times: Sequence[LayerTime],
) -> None:
    """Take each layer's gradients, from the last to the first."""
    for call in reversed(calls):
        each = times[call.number]
        tops = [top for top in call.tops if id(top) in gradients]
        places = [n for n, bottom in enumerate(call.bottoms) if bottom.requires_grad]
        wanted = [call.bottoms[n] for n in places]
        wanted += [p for p in net.layers[each.name].parameters() if p.requires_grad]
        if not tops or not wanted:
            continue
        given = [gradients[id(top)] for top in tops]
        place = tops[0].device
        started_at = _now(place)
        found = torch.autograd.grad(tops, wanted, given, allow_unused=True)
        each.backward_seconds += _now(place) - started_at
        for index, gradient in zip(places, found, strict=False):
            source = call.sources[index]
            if gradient is not None:
                before = gradients.get(id(source))
                gradients[id(source)] = gradient if before is None else before + gradient
