"""The update rule of the paper: momentum and weight decay with the rate inside the velocity.

Source: Krizhevsky 2012, section 5.
"""

import torch
from torch import Tensor, nn

LayerFactors = dict[str, float]


class MomentumSGD:
    """Stochastic gradient descent as the paper writes it.

        v <- momentum * v - decay * lr * w - lr * g
        w <- w + v

    Each parameter has its own factors on the rate and on the decay. A rate of zero freezes a
    parameter for good: no decay, no velocity left to coast on, as in the 2012 program.

    torch.optim.SGD keeps the rate outside the velocity, which differs whenever the rate changes.
    With its lr at 1 and its dampening at 1 - rate the two are the same: its buffer is -v.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        bias_factors: tuple[float, float] = (1.0, 1.0),
        layer_factors: LayerFactors | None = None,
    ) -> None:
        self._names = [name for name, _ in net.named_parameters()]
        unused = set(layer_factors or {})
        groups = []
        for name, parameter in net.named_parameters():
            is_bias = name.endswith("bias")
            rate, decay = bias_factors if is_bias else (1.0, 1.0)
            layer = name.rpartition(".")[0]
            for key in (layer, name):
                rate *= (layer_factors or {}).get(key, 1.0)
            unused -= {layer, name}
            groups.append(
                {"params": [parameter], "rate": rate, "weight_decay": weight_decay * decay}
            )
        if unused:
            layers = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in self._names))
            raise ValueError(
                f"layer_lr names {sorted(unused)[0]!r}, which the net has not; "
                f"its layers are {layers}"
            )
        self._sgd = torch.optim.SGD(groups, lr=1.0, momentum=momentum, fused=True)
        for parameter in net.parameters():
            self._sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def step(self, rate: float) -> None:
        """Update every parameter from its gradient and let go of the gradients."""
        for group in self._sgd.param_groups:
            group["dampening"] = 1.0 - rate * group["rate"]
            if rate * group["rate"] == 0:
                group["params"][0].grad = None
        self._sgd.step()
        self._sgd.zero_grad(set_to_none=True)

    def velocities(self) -> dict[str, Tensor]:
        """Return the negated velocities by parameter name, to be stored."""
        groups = self._sgd.param_groups
        return {
            name: self._sgd.state[group["params"][0]]["momentum_buffer"]
            for name, group in zip(self._names, groups, strict=True)
        }

    def load_velocities(self, velocities: dict[str, Tensor]) -> None:
        """Take over what `velocities` returned."""
        for name, buffer in self.velocities().items():
            buffer.copy_(velocities[name])
