"""Messages between processes as pairs: what goes forward, and what its gradient sends back.

    gather    forward: every process gets all parts;      backward: sums of the parts' gradients,
              then each works on in its own way            each to the process that has the part
    collect   forward: the same;                           backward: the own part of the gradient,
              then all compute the same                    with no message
    total     forward: the sum over processes              backward: the sum of the gradients

A process alone sends nothing. Parts may travel in another type than they are computed in, and what
that rounds away is added up. Source: the "transfer layer" of Krizhevsky's notes of 2012; one weird
trick (arXiv 1404.5997), section 4. torch.distributed.nn has such pairs for some of its operations;
it is deprecated, and none of them starts a message and lets go on computing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Rounding:
    """What is lost of the numbers that are sent in another type, added up without waiting for it.

    It is the loss of this process's messages before they leave. Where half precision is summed on
    the way, each of the size - 1 sums is rounded once more, by half a unit of its last place.
    """

    def __init__(self) -> None:
        self._lost = self._whole = self._worst = torch.zeros(())

    def add(self, x: Tensor, sent: Tensor) -> None:
        """Take in a message: what was to be sent, and what was."""
        wide = x if x.itemsize > 4 else x.float()
        lost, whole = (sent.to(wide.dtype) - wide).square().sum(), wide.square().sum()
        self._lost = self._lost.to(lost) + lost
        self._whole = self._whole.to(whole) + whole
        share = torch.where(whole > 0, lost / whole, lost)  # nothing of nothing is nothing
        self._worst = torch.maximum(self._worst.to(share), share)

    def relative(self) -> float:
        """Return the error of all messages since the last call, as a share of their norm.

        sqrt(sum((sent - x) ** 2) / sum(x ** 2)),   0 where nothing was rounded
        """
        lost, whole = float(self._lost), float(self._whole)
        self._lost = self._whole = torch.zeros(())
        return math.sqrt(lost / whole) if whole else 0.0

    def worst(self) -> float:
        """Return the largest such error of one message since the last call.

        Gradients are small beside activations: where float16 makes nothing of them, it shows here.
        """
        worst, self._worst = float(self._worst), torch.zeros(())
        return math.sqrt(worst)


@dataclass(frozen=True)
class Circle:
    """Those that exchange parts, and how: this process is number `rank` of `size`."""

    group: dist.ProcessGroup | None = None
    rank: int = 0
    size: int = 1
    dtype: torch.dtype | None = None
    """Type that numbers are sent in; None sends them as they are. Half precision halves the bytes,
    as the program of 2012 could (its quantised traffic). Whole numbers are sent as they are."""
    rounding: Rounding = field(default_factory=Rounding, compare=False)
    """What `dtype` loses of them."""

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
    sent = [_dense(part, circle, terms=circle.size) for part in parts]
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
    sent = _dense(x, circle, terms=circle.size).clone()
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


def _dense(x: Tensor, circle: Circle, *, terms: int = 1) -> Tensor:
    """Return x as it is sent, one of so many terms of a sum.

    What the type cannot hold, or what the sum of such terms could not, is sent as the largest that
    it can, so that a number beyond 65504 is wrong in float16 but not infinite.
    """
    x = x.detach().contiguous()
    if circle.dtype is None or circle.dtype == x.dtype:
        return x
    if circle.size == 1 or not x.is_floating_point():
        return x
    limits = torch.finfo(circle.dtype)
    if limits.max < torch.finfo(x.dtype).max:
        largest = limits.max / terms
        if terms > 1:  # sums of rounded terms may end above the exact one
            largest *= 1 - terms * limits.eps
        sent = x.clamp(-largest, largest).to(circle.dtype)
    else:
        sent = x.to(circle.dtype)
    circle.rounding.add(x, sent)
    return sent
