"""The algorithm `native`: torch's own convolution, whatever that is on this machine.

On a processor without units for halves, torch adds the taps of a half in halves: its gradients are
then off by several roundings of the type, and not, as ours, by one.
"""

from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution.problem import Algorithm, Cost, Direction, Problem

FORWARD = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _forward(x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int) -> Tensor:
    x, before = _even(x, problem), [min(pair) for pair in problem.padding]
    y: Tensor = FORWARD[problem.axes](
        x, w, bias, problem.stride, before, problem.dilation, problem.groups
    )
    return y


def _input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
    x = _even(dy.new_empty(1).expand(problem.x_shape), problem)
    dx: Tensor = _backward(dy, x, w, problem, wanted=0)
    pads = [-each for each in _uneven(problem)]
    return F.pad(dx, pads) if any(pads) else dx


def _weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
    x = _even(x, problem)
    return _backward(dy, x, dy.new_empty(1).expand(problem.w_shape), problem, wanted=1)


def _backward(dy: Tensor, x: Tensor, w: Tensor, problem: Problem, *, wanted: int) -> Tensor:
    before = [min(pair) for pair in problem.padding]
    gradients = torch.ops.aten.convolution_backward(
        *(dy, x, w, None, problem.stride, before, problem.dilation, False),
        *([0] * problem.axes, problem.groups, [wanted == 0, wanted == 1, False]),
    )
    gradient: Tensor = gradients[wanted]
    return gradient


def _even(x: Tensor, problem: Problem) -> Tensor:
    """Return x with as many zeros before as behind still to add."""
    pads = _uneven(problem)
    return F.pad(x, pads) if any(pads) else x


def _uneven(problem: Problem) -> list[int]:
    """Return what each side is padded more than the other, as `F.pad` takes it."""
    return [each - min(pair) for pair in reversed(problem.padding) for each in pair]


def _cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    """Return the cost of the definition, whatever torch does instead.

        multiplications = additions = N * K * C / groups * P * Q * R * S
        bytes = those of inputs and output

    The workspace is 0, which stands for unknown.
    """
    products = prod(problem.y_shape) * prod(problem.w_shape[1:])
    arrays = sum(map(prod, (problem.x_shape, problem.w_shape, problem.y_shape)))
    return Cost(products, products, arrays * problem.dtype.itemsize, workspace=0)


NATIVE = Algorithm("native", _forward, _input_gradient, _weight_gradient, lambda _: "", _cost)
