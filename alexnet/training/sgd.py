"""The update rule of the paper: momentum and weight decay with the rate inside the velocity.

Source: Krizhevsky 2012, section 5.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alexnet.native.training import update
from alexnet.nets.chain import Chain, Multipliers
from alexnet.training.lars import Lars, Term

LayerFactors = dict[str, float]


class MomentumSGD:
    """Stochastic gradient descent as the paper writes it.

        v <- momentum * v - decay * lr * w - lr * g
        w <- w + v

    Each parameter has its own factors on the rate and on the decay. A rate of zero freezes a
    parameter for good: no decay, no velocity left to coast on, as in the 2012 program.

        lr = rate * (the net's own factor, or that for biases) * those by layer and by parameter
        decay = weight_decay * (the net's own factor, or that for biases)

    A net's own factors are its `multipliers`, lr_mult and decay_mult of a text: where it gives one,
    `bias_factors` say nothing of that parameter's, so that a bias is not doubled twice.

    The gradients are those of `worker`, which may be the net itself or a copy of it in bfloat16;
    a copy is rounded anew from the float32 weights in each update.

    With `lars` set, a tensor's rate is multiplied by one that is found anew in each update:

        v <- momentum * v - lr * rate[w] * (decay * w + g)

    torch.optim.SGD keeps the rate outside the velocity, which differs whenever the rate changes.
    """

    lars: Lars | None = None
    """Where the tensors' own rates come from; None leaves them alike."""

    def __init__(
        self,
        net: nn.Module,
        *,
        worker: nn.Module | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        bias_factors: tuple[float, float] = (1.0, 1.0),
        layer_factors: LayerFactors | None = None,
    ) -> None:
        self._momentum = momentum
        self._weights = [
            _Weights(name, own, at_work, torch.zeros_like(own), 1.0, weight_decay)
            for (name, own), at_work in zip(
                net.named_parameters(), (worker or net).parameters(), strict=True
            )
        ]
        own = net.multipliers() if isinstance(net, Chain) else {}
        self._scale(own, bias_factors, layer_factors or {})

    def _scale(
        self,
        own: Mapping[str, Multipliers],
        bias_factors: tuple[float, float],
        layer_factors: LayerFactors,
    ) -> None:
        unused = set(layer_factors)
        for index, weights in enumerate(self._weights):
            rate, decay = bias_factors if weights.name.endswith("bias") else (1.0, 1.0)
            if weights.name in own:
                given = own[weights.name]
                rate = rate if given.rate is None else given.rate
                decay = decay if given.decay is None else given.decay
            for key in (weights.layer, weights.name):
                rate *= layer_factors.get(key, 1.0)
            unused -= {weights.layer, weights.name}
            self._weights[index] = weights._replace(rate=rate, decay=weights.decay * decay)
        if unused:
            layers = ", ".join(dict.fromkeys(weights.layer for weights in self._weights))
            raise ValueError(
                f"layer_lr names {sorted(unused)[0]!r}, which the net has not; "
                f"its layers are {layers}"
            )

    @torch.no_grad()
    def step(self, rate: float, *, only: Collection[str] | None = None, scale: float = 1.0) -> None:
        """Update every parameter from `scale` times its gradient and let go of the gradients.

        `only` names the parameters that are updated; the others keep their gradients.
        """
        due: list[tuple[_Weights, Tensor]] = []
        for weights in self._weights:
            if only is not None and weights.name not in only:
                continue
            gradient, weights.at_work.grad = weights.at_work.grad, None
            if gradient is not None and rate * weights.rate != 0:
                due.append((weights, gradient))
        terms = [Term(w.name, w.own, gradient, w.decay) for w, gradient in due]
        own_rates = self.lars.rates(terms, scale) if self.lars is not None else {}
        for weights, gradient in due:
            lr, decay = rate * weights.rate, weights.decay
            if weights.name in own_rates:  # a tensor, so that a GPU is not waited for
                gradient = gradient.to(weights.own.dtype).mul_(scale)
                gradient.add_(weights.own, alpha=decay).mul_(own_rates[weights.name])
                factors = self._momentum, lr, 0.0
            else:  # rate * (scale * g + decay * w), with no pass of its own for the scale
                factors = self._momentum, lr * scale, decay / scale
            update(weights.own, weights.velocity, gradient, weights.copy, factors=factors)

    @torch.no_grad()
    def refresh(self) -> None:
        """Round the copy anew; to be called after the net's weights changed by other means."""
        for weights in self._weights:
            if weights.copy is not None:
                weights.copy.copy_(weights.own)

    def velocities(self) -> dict[str, Tensor]:
        """Return the negated velocities by parameter name, to be stored."""
        return {weights.name: weights.velocity for weights in self._weights}

    def load_velocities(self, velocities: dict[str, Tensor]) -> None:
        """Take over what `velocities` returned."""
        for weights in self._weights:
            weights.velocity.copy_(velocities[weights.name])


class _Weights(NamedTuple):
    """A parameter and all that its update needs."""

    name: str
    own: Tensor
    at_work: Tensor
    """The parameter that has the gradient: `own`, or its copy."""
    velocity: Tensor
    rate: float
    decay: float

    @property
    def layer(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def copy(self) -> Tensor | None:
        return None if self.at_work is self.own else self.at_work
