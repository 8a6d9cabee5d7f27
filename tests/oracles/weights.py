"""Weights and pictures to compare nets with: everything random, nothing at its start value."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tests.oracles.alexnet import Array


def random_weights(net: nn.Module, *, seed: int = 0) -> None:
    """Draw all that a net holds, means and variances too, so that activations keep their size."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.dim() > 1:
            tensor.normal_(0, 1.4 * tensor[0].numel() ** -0.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(1 if name.endswith("weight") else 0, 0.3, generator=generator)


def arrays(net: nn.Module) -> Mapping[str, Array]:
    """Return what a net holds, by name."""
    return {name: value.numpy() for name, value in net.state_dict().items()}


def pixels(size: int, *, count: int = 2) -> Tensor:
    """Return float64 pictures with mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64)
