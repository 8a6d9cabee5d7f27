"""One training step: the net at work, its loss and its gradients.

Source: Krizhevsky 2012, section 5.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def at_work(net: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return what computes the gradients: the net itself, or a copy of it in bfloat16.

    The net keeps the float32 weights that updates add up in; `MomentumSGD` rounds the copy in the
    same pass. Autocast would round all weights, and widen all gradients, anew in each step.
    """
    return net if dtype == torch.float32 else copy.deepcopy(net).to(dtype)


def gradients(
    worker: nn.Module, x: Tensor, labels: Tensor, *, parts: int = 1, smoothing: float = 0.0
) -> Tensor:
    """Add the gradients of the mean loss to the worker's parameters and return the loss.

        L = -(1 / N) * sum over pictures of ln softmax(worker(x))[label]

    A batch in several `parts` needs less memory; only dropout's masks are drawn otherwise.

    Shapes:  x (N, 3, H, W) in the worker's type, labels (N,) int64 -> () float32.
    """
    total = torch.zeros((), device=x.device)
    for part, part_labels in zip(x.chunk(parts), labels.chunk(parts), strict=True):
        logits = worker(part).float()
        losses = F.cross_entropy(logits, part_labels, label_smoothing=smoothing, reduction="sum")
        loss = losses / len(labels)
        loss.backward()
        total += loss.detach()
    return total
