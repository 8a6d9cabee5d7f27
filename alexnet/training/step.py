"""One training step: the net at work, its loss and its gradients.

Source: Krizhevsky 2012, section 5.
"""

import copy
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from alexnet.layers.loss import cross_entropy_sum
from alexnet.nets.chain import Chain, Heads
from alexnet.parallel.hybrid import HybridNet, HybridStep
from alexnet.parallel.replicas import Replica
from alexnet.parallel.team import Team
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import batch_factor
from alexnet.training.sgd import MomentumSGD

Net = TypeVar("Net", bound=nn.Module)
Gradients = Callable[[Tensor, Tensor, int, float], Tensor]
"""What adds the gradients of an update: of pictures, labels, the number of pictures of the whole
batch and the rate. It returns this process's part of the loss."""


class Worker(Protocol):
    """What computes: a net, or one of its copies in several processes."""

    def heads(self, x: Tensor) -> Heads:
        """Return what training takes the loss of."""


def at_work(net: Net, dtype: torch.dtype) -> Net:
    """Return what computes the gradients: the net itself, or a copy of it in bfloat16.

    The net keeps the float32 weights that updates add up in; `MomentumSGD` rounds the copy in the
    same pass. Autocast would round all weights, and widen all gradients, anew in each step.

    A layer that keeps numbers in buffers, as batch norm its statistics, is not copied: the worker
    has the net's own, in float32, so that what it gathers while training is the net's.
    """
    if dtype == next(net.parameters()).dtype:
        return net
    kept = {id(layer): layer for layer in net.modules() if _keeps_numbers(layer)}
    worker = copy.deepcopy(net, dict(kept))
    rounded: dict[nn.Parameter, nn.Parameter] = {}  # two layers may share one
    for layer in worker.modules():
        if id(layer) in kept:
            continue
        for name, parameter in layer.named_parameters(recurse=False):
            if parameter not in rounded:
                low = parameter.detach().to(dtype)
                rounded[parameter] = nn.Parameter(low, requires_grad=parameter.requires_grad)
            layer.register_parameter(name, rounded[parameter])
    return worker


def _keeps_numbers(layer: nn.Module) -> bool:
    return any(buffer.is_floating_point() for buffer in layer.buffers(recurse=False))


def gradients(
    worker: Worker,
    x: Tensor,
    labels: Tensor,
    *,
    parts: int = 1,
    smoothing: float = 0.0,
    whole: int = 0,
) -> Tensor:
    """Add the gradients of the mean loss to the worker's parameters and return the loss.

        L = -(1 / N) * sum over pictures of ln softmax(logits)[label]

    with N = `whole` if that is above 0: a process that has a part of the batch computes its share
    of the sum. Auxiliary classifiers add their L times their weight, as `Heads` says; `smoothing`
    spreads that share of the target over all classes.

    A batch in several `parts` needs less memory; only dropout's masks are drawn otherwise, and
    batch norm takes its statistics over a part.

    Shapes:  x (N, C, H, W) in the worker's type, labels (N,) int64 -> () float32.
    """
    total = torch.zeros((), device=x.device)
    pairs = zip(x.tensor_split(parts), labels.tensor_split(parts), strict=True)
    for part, part_labels in pairs:
        heads = worker.heads(part)
        loss = cross_entropy_sum(heads.logits, part_labels, smoothing)
        for logits in heads.auxiliary:
            loss = loss + heads.weight * cross_entropy_sum(logits, part_labels, smoothing)
        loss = loss / (whole or len(labels))
        loss.backward()
        total += loss.detach()
    return total


def gradients_with(
    team: Team, worker: Chain, *, recipe: Recipe, optimizer: MomentumSGD
) -> Gradients:
    """Return what adds the gradients of the whole batch to this process's part of the net."""
    smoothing = recipe.label_smoothing
    if isinstance(worker, HybridNet):
        return _of_hybrid(team, worker, recipe=recipe, optimizer=optimizer)
    parts, shown = recipe.accumulate, team.mesh.column == 0
    at_work: Worker = worker
    if team.copies is not None:
        at_work = Replica(worker, team.copies, rows=team.rows, parts=parts)

    def of_copies(x: Tensor, labels: Tensor, whole: int, rate: float) -> Tensor:
        loss = gradients(at_work, x, labels, parts=parts, smoothing=smoothing, whole=whole)
        return loss if shown else torch.zeros_like(loss)

    return of_copies


def _of_hybrid(
    team: Team, worker: HybridNet, *, recipe: Recipe, optimizer: MomentumSGD
) -> Gradients:
    """Return what adds the gradients by one weird trick, and makes a variable batch's updates."""
    assert team.layout.hybrid is not None
    names = worker.classifier_names
    fc_share = batch_factor(recipe, recipe.fc_batch) / batch_factor(recipe)
    now = {"rate": 0.0}

    def update_classifier(factor: float) -> None:
        optimizer.step(now["rate"] * fc_share, only=names, scale=factor)

    step = HybridStep(
        worker,
        team.rows,
        team.layout.hybrid,
        between=update_classifier if recipe.fc_batch else None,
        round_pictures=recipe.fc_batch,
    )

    def add(x: Tensor, labels: Tensor, whole: int, rate: float) -> Tensor:
        now["rate"] = rate
        loss = step.gradients(x, labels, smoothing=recipe.label_smoothing, whole=whole)
        return loss if team.leads else torch.zeros_like(loss)

    return add
