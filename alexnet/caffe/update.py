"""The six update rules of Caffe's solvers, and what comes before them in an update.

An update takes the summed gradients of all blobs, clips them by their common length, divides them
by the number of passes, adds the weight decay, and asks the rule what to subtract. All of it is
float32, in Caffe's order of operations.

Source: Caffe, solvers/*.cpp. `rate` and `momentum` are inside the history, as in the paper and not
as in torch.optim. A blob whose lr_mult is 0 has the gradient 0, yet its decay enters the history.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet.native.training import update as sgd_in_one_pass
from alexnet.text.assembly import Learnable
from alexnet.text.message import Message


class Step(NamedTuple):
    """What a rule needs to know beside the gradient; float32 values."""

    rate: float
    """The learning rate of this blob."""
    iteration: int
    """How many updates were made before."""
    momentum: float
    momentum2: float
    delta: float
    rms_decay: float


Rule = Callable[[Tensor, Sequence[Tensor], Step], Tensor]


def sgd(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return h <- momentum * h + rate * g.

    Shapes:  gradient and history alike -> same; the history changes in place, here and below.
    Source:  Caffe, SGDSolver::ComputeUpdateValue.
    """
    return history[0].mul_(step.momentum).add_(gradient, alpha=step.rate)


def nesterov(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return (1 + momentum) * h' - momentum * h, with h' <- momentum * h + rate * g.

    Source:  Caffe, NesterovSolver::ComputeUpdateValue.
    """
    before = history[0].clone()
    history[0].mul_(step.momentum).add_(gradient, alpha=step.rate)
    ahead = _float32(1 + step.momentum)
    return before.mul_(-step.momentum).add_(history[0], alpha=ahead)


def adagrad(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return rate * g / (sqrt(h) + delta), with h <- h + g ** 2.

    Source:  Caffe, AdaGradSolver::ComputeUpdateValue.
    """
    history[0].addcmul_(gradient, gradient)
    return (gradient / history[0].sqrt().add_(step.delta)).mul_(step.rate)


def rmsprop(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return rate * g / (sqrt(h) + delta), with h <- rms_decay * h + (1 - rms_decay) * g ** 2.

    Source:  Caffe, RMSPropSolver::ComputeUpdateValue.
    """
    _decay(history[0], gradient.square(), step.rms_decay)
    return (gradient / history[0].sqrt().add_(step.delta)).mul_(step.rate)


def adadelta(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return rate * u, with u = g * sqrt((delta + h2) / (delta + h1)).

        h1 <- momentum * h1 + (1 - momentum) * g ** 2   before u
        h2 <- momentum * h2 + (1 - momentum) * u ** 2   after it

    Source:  Caffe, AdaDeltaSolver::ComputeUpdateValue.
    """
    gradients, updates = history
    _decay(gradients, gradient.square(), step.momentum)
    ratio = (updates + step.delta).div_(gradients + step.delta)
    change = ratio.sqrt_().mul_(gradient)
    _decay(updates, change.square(), step.momentum)
    return change.mul_(step.rate)


def adam(gradient: Tensor, history: Sequence[Tensor], step: Step) -> Tensor:
    """Return rate * sqrt(1 - momentum2 ** t) / (1 - momentum ** t) * m / (sqrt(v) + delta).

        m <- momentum * m + (1 - momentum) * g
        v <- momentum2 * v + (1 - momentum2) * g ** 2
        t = iteration + 1

    Source:  Caffe, AdamSolver::ComputeUpdateValue; Kingma and Ba 2014, at the end of section 2:
             delta is their epsilon hat.
    """
    first, second = history
    _decay(first, gradient, step.momentum)
    _decay(second, gradient.square(), step.momentum2)
    t = step.iteration + 1
    correction = math.sqrt(1 - step.momentum2**t) / (1 - step.momentum**t)
    rate = _float32(step.rate * _float32(correction))
    return (first / second.sqrt().add_(step.delta)).mul_(rate)


RULES: dict[str, Rule] = {
    "SGD": sgd,
    "Nesterov": nesterov,
    "AdaGrad": adagrad,
    "RMSProp": rmsprop,
    "AdaDelta": adadelta,
    "Adam": adam,
}
HISTORIES = {"AdaDelta": 2, "Adam": 2}
"""How many tensors a rule remembers of each blob, where it is not one."""


class Clipped(NamedTuple):
    """Gradients that were longer than clip_gradients, and the factor they were scaled by."""

    length: float
    factor: float


class Updates:
    """The updates of a net's blobs by one solver, and the history that they need."""

    def __init__(self, learnable: Sequence[Learnable], solver: Message) -> None:
        """Start with a history of zeros; `check_solver` has passed the solver."""
        self._learnable, self._solver = list(learnable), solver
        self._rule = RULES[solver["type"]]
        copies = HISTORIES.get(solver["type"], 1)
        self.history = [torch.zeros_like(each.tensor) for _ in range(copies) for each in learnable]
        """What the rule remembers: one tensor a blob, then, if the rule has two, a second one a
        blob; as in SolverState."""

    @torch.no_grad()
    def apply(self, rate: float, iteration: int) -> Clipped | None:
        """Change every blob by its gradient; tell if the gradients were clipped before."""
        gradients = [_gradient(each) for each in self._learnable]
        clipped = self._clip(gradients)
        passes = self._solver["iter_size"]
        for index, (blob, gradient) in enumerate(zip(self._learnable, gradients, strict=True)):
            if passes != 1:
                gradient.mul_(_float32(1 / passes))
            change = self._change(index, gradient, self._step(blob, rate, iteration))
            if self._solver["snapshot_diff"]:  # Caffe's diff is what was subtracted
                blob.tensor.grad = change.clone()
        return clipped

    def _change(self, index: int, gradient: Tensor, step: Step) -> Tensor:
        blob = self._learnable[index]
        history = self.history[index :: len(self._learnable)]
        decay = _float32(_float32(self._solver["weight_decay"]) * _float32(blob.decay_mult))
        l1 = decay != 0 and self._solver["regularization_type"] == "L1"
        if self._rule is sgd and not l1:
            factors = step.momentum, step.rate, decay
            sgd_in_one_pass(blob.tensor, history[0], gradient, None, factors=factors)
            return history[0]
        if decay != 0:
            gradient.add_(blob.tensor.sign() if l1 else blob.tensor, alpha=decay)
        change = self._rule(gradient, history, step)
        blob.tensor.sub_(change)
        return change

    def _clip(self, gradients: Sequence[Tensor]) -> Clipped | None:
        limit = _float32(self._solver["clip_gradients"])
        if limit < 0 or not gradients:
            return None
        lengths = torch.stack([torch.linalg.vector_norm(each) for each in gradients])
        length = float(torch.linalg.vector_norm(lengths))
        if not length > limit:
            return None
        factor = _float32(limit / length)
        for gradient in gradients:
            gradient.mul_(factor)
        return Clipped(length, factor)

    def _step(self, blob: Learnable, rate: float, iteration: int) -> Step:
        names = ("momentum", "momentum2", "delta", "rms_decay")
        return Step(
            _float32(_float32(rate) * _float32(blob.lr_mult)),
            iteration,
            *(_float32(self._solver[name]) for name in names),
        )


def _decay(average: Tensor, value: Tensor, kept: float) -> None:
    """Move an average: average <- kept * average + (1 - kept) * value, the weights in float32."""
    average.mul_(kept).add_(value, alpha=_float32(1 - kept))


def _gradient(blob: Learnable) -> Tensor:
    gradient = blob.tensor.grad
    return torch.zeros_like(blob.tensor) if gradient is None or blob.lr_mult == 0 else gradient


def _float32(value: float) -> float:
    return float(np.float32(value))
