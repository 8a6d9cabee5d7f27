"""One process of many that are not there: messages are counted and go nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

OPERATIONS = ("all_gather", "reduce_scatter", "all_reduce", "broadcast", "reduce")


class Sent(NamedTuple):
    """What a process handed to an operation."""

    operation: str
    ranks: int
    handed_bytes: int


class _Done:
    """An all-reduce that has found nobody else."""

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def wait(self) -> None:
        pass

    def get_future(self) -> torch.futures.Future[list[Tensor]]:
        future: torch.futures.Future[list[Tensor]] = torch.futures.Future()
        future.set_result([self._x])
        return future


@contextmanager
def simulated_rank(rank: int, size: int) -> Iterator[list[Sent]]:
    """Be one of so many ranks; give the list that collects what is sent from now on.

    torch's fake process group answers each message with this rank's own tensors.
    """
    sent: list[Sent] = []
    with pytest.MonkeyPatch.context() as patch:
        for operation in OPERATIONS:
            patch.setattr(dist, operation, _counted(operation, sent))
        patch.setattr(dist, "_broadcast_coalesced", _coalesced(sent))
        dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
        try:
            yield sent
        finally:
            dist.destroy_process_group()


def _counted(operation: str, sent: list[Sent]) -> Any:
    real = getattr(dist, operation)

    def call(
        first: Any,
        *others: Any,
        group: Any = None,
        async_op: bool = False,
        group_src: int | None = None,
        group_dst: int | None = None,
    ) -> Any:
        handed = others[0] if operation in ("all_gather", "reduce_scatter") else first
        tensors = handed if isinstance(handed, list) else [handed]
        sent.append(Sent(operation, dist.get_world_size(group), sum(map(_bytes, tensors))))
        ends = {"group_src": group_src, "group_dst": group_dst}
        given = {name: rank for name, rank in ends.items() if rank is not None}
        work = real(first, *others, group=group, async_op=async_op, **given)
        return _Done(first) if operation == "all_reduce" and async_op else work

    return call


def _coalesced(sent: list[Sent]) -> Any:
    """Count what DistributedDataParallel sends of buffers, all types in one."""

    def call(group: Any, tensors: list[Tensor], *_: Any) -> None:
        sent.append(Sent("broadcast", group.size(), sum(map(_bytes, tensors))))

    return call


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()
