"""Messages between processes as pairs: what goes forward, and what its gradient sends back.

    gather    forward: every process gets all parts;      backward: sums of the parts' gradients,
              then each works on in its own way            each to the process that has the part
    collect   forward: the same;                           backward: the own part of the gradient,
              then all compute the same                    with no message
    total     forward: the sum over processes              backward: the sum of the gradients

A process alone sends nothing. Source: the "transfer layer" of Krizhevsky's notes of 2012; one weird
trick (arXiv 1404.5997), section 4. torch.distributed.nn has such pairs for some of its operations;
it is deprecated, and none of them starts a message and lets go on computing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Circle:
    """Those that exchange parts, and how: this process is number `rank` of `size`."""

    group: dist.ProcessGroup | None = None
    rank: int = 0
    size: int = 1
    dtype: torch.dtype | None = None
    """Type that parts are sent in; None sends them as they are. Half precision halves the bytes,
    as the program of 2012 could (its quantised traffic)."""

    @staticmethod
    def of(group: dist.ProcessGroup | None, dtype: torch.dtype | None = None) -> "Circle":
        """Return the circle of a group of torch's; none is this process alone."""
        if group is None:
            return Circle()
        return Circle(group, dist.get_rank(group), dist.get_world_size(group), dtype)

    def __deepcopy__(self, _: Any) -> "Circle":
        """Return itself: a copy of a net talks to the same processes."""
        return self

    def own(self, x: Tensor, dim: int) -> Tensor:
        """Return this process's part of x along a dimension.

        Raises: ValueError if x has not as many elements there as makes equal parts.
        """
        count = x.shape[dim]
        if count % self.size:
            raise ValueError(f"{count} elements along dimension {dim} are no {self.size} parts")
        return x.narrow(dim, self.rank * (count // self.size), count // self.size)


class Parts:
    """Parts of a tensor that are under way; compute something else before `wait`."""

    def __init__(self, parts: list[Tensor], work: Any, dtype: torch.dtype) -> None:
        self._parts, self._work, self._dtype = parts, work, dtype

    def wait(self) -> list[Tensor]:
        """Return the parts in the type that they had, when they are here."""
        if self._work is not None:
            self._work.wait()
        return [part.to(self._dtype) for part in self._parts]

    def without_use(self) -> "Parts":
        """Return the same message with nothing in it for this process."""
        return Parts([part[:0] for part in self._parts], self._work, self._dtype)


def start_gather(x: Tensor, circle: Circle) -> Parts:
    """Start to send x to all, and to get theirs, in the order of their ranks."""
    sent = _dense(x, circle)
    if circle.group is None:
        return Parts([sent], None, x.dtype)
    parts = [torch.empty_like(sent) for _ in range(circle.size)]
    return Parts(parts, dist.all_gather(parts, sent, group=circle.group, async_op=True), x.dtype)


def start_sum(parts: Sequence[Tensor], circle: Circle) -> Parts:
    """Start to send each its part, and to get the sum of what all have for this process."""
    sent = [_dense(part, circle) for part in parts]
    if circle.group is None:
        return Parts(sent, None, parts[0].dtype)
    own = torch.empty_like(sent[circle.rank])
    work = dist.reduce_scatter(own, sent, group=circle.group, async_op=True)
    return Parts([own], work, parts[0].dtype)


def start_lending(x: Tensor, circle: Circle, owner: int) -> Parts:
    """Start to send the owner's x to all; the others give a tensor of its shape."""
    sent = _dense(x, circle).clone()
    if circle.group is None:
        return Parts([sent], None, x.dtype)
    work = dist.broadcast(sent, group=circle.group, group_src=owner, async_op=True)
    return Parts([sent], work, x.dtype)


def start_return(x: Tensor, circle: Circle, owner: int) -> Parts:
    """Start to send the sum of what all have to the owner; the others get what is of no use."""
    sent = _dense(x, circle).clone()
    if circle.group is None:
        return Parts([sent], None, x.dtype)
    work = dist.reduce(sent, group=circle.group, group_dst=owner, async_op=True)
    return Parts([sent], work, x.dtype)


def gather(x: Tensor, circle: Circle, dim: int) -> Tensor:
    """Return the parts of all, side by side along `dim`; see the module for the gradient.

    Shapes:  x (..., n, ...) -> (..., size * n, ...).
    """
    if circle.size == 1:
        return x
    y: Tensor = _Gather.apply(x, circle, dim)  # type: ignore[no-untyped-call]
    return y


def collect(x: Tensor, circle: Circle, dim: int) -> Tensor:
    """Return the parts of all, side by side along `dim`; see the module for the gradient.

    Shapes:  x (..., n, ...) -> (..., size * n, ...).
    """
    if circle.size == 1:
        return x
    y: Tensor = _Collect.apply(x, circle, dim)  # type: ignore[no-untyped-call]
    return y


def total(x: Tensor, circle: Circle) -> Tensor:
    """Return the sum over all processes, of x and of the gradient."""
    if circle.size == 1:
        return x
    y: Tensor = _Total.apply(x, circle)  # type: ignore[no-untyped-call]
    return y


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, circle: Circle, dim: int) -> Tensor:
        ctx.circle, ctx.dim = circle, dim
        return torch.cat(start_gather(x, circle).wait(), dim)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        (dx,) = start_sum(dy.chunk(ctx.circle.size, ctx.dim), ctx.circle).wait()
        return dx, None, None


class _Collect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, circle: Circle, dim: int) -> Tensor:
        ctx.circle, ctx.dim = circle, dim
        return torch.cat(start_gather(x, circle).wait(), dim)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.circle.own(dy, ctx.dim), None, None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, circle: Circle) -> Tensor:
        ctx.circle = circle
        return _sum(x, circle)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return _sum(dy, ctx.circle), None


def _sum(x: Tensor, circle: Circle) -> Tensor:
    y = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(y, group=circle.group)
    return y


def _dense(x: Tensor, circle: Circle) -> Tensor:
    return x.detach().to(circle.dtype or x.dtype).contiguous()
