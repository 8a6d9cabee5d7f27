"""Copies of a net that see different pictures and add up their gradients.

The loss is the mean over the pictures of all copies, so gradients are added, not averaged; torch's
DistributedDataParallel does it, in buckets that leave while the backward pass goes on. What would
make a copy compute something else than one process with the whole batch is replaced: dropout draws
by the sample, batch norm takes its statistics over all copies.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from alexnet.layers.dropout import Dropout
from alexnet.nets.chain import Chain, Heads
from alexnet.parallel.batch_norm import SharedBatchNorm
from alexnet.parallel.collectives import Circle
from alexnet.parallel.dropout import Rows, SharedDropout
from alexnet.text.norms import BatchNorm
from alexnet.text.pooling import StochasticPooling

ALONE = (BatchNorm, StochasticPooling)
"""Layers that look at, or draw for, all pictures of a batch, and know of one process only."""


def share_layers(net: nn.Module, rows: Rows, circle: Circle) -> None:
    """Replace the layers that look at, or draw for, all pictures of the batch; in place.

    Parameters, buffers and names stay.

    Raises: ValueError for a layer that looks at all pictures and has no form for several processes.
    """
    for name, layer in list(net.named_modules()):
        if isinstance(layer, ALONE):
            raise ValueError(
                f"{name} is a {type(layer).__name__}, which looks at or draws for the whole batch "
                "and cannot be shared by several processes; train this net in one"
            )
        if isinstance(layer, Dropout):
            net.set_submodule(name, SharedDropout(layer, rows, Circle()))
        elif type(layer) is nn.BatchNorm2d:
            net.set_submodule(name, SharedBatchNorm(layer, circle))


def replicate(module: nn.Module, group: dist.ProcessGroup) -> DistributedDataParallel:
    """Return a module whose gradients are the sums over the copies in a group."""
    copies = DistributedDataParallel(module, process_group=group)
    copies.broadcast_buffers = False  # they are batch norm's, which all copies move alike
    copies.register_comm_hook(group, _add_up)
    return copies


class Replica(nn.Module):
    """One copy of a net at work; `heads` and its backward pass are those of all copies together.

    `parts` is into how many parts a batch is cut, each with a backward pass of its own: messages
    leave with the last. Dropout draws for the whole batch in each, and takes that part's rows.
    """

    def __init__(
        self, worker: Chain, group: dist.ProcessGroup, *, rows: Rows, parts: int = 1
    ) -> None:
        super().__init__()
        self._rows, self._parts, self._calls = rows, parts, 0
        self._left = torch.empty(0)
        self._copies = replicate(_Heads(worker), group)

    def heads(self, x: Tensor) -> Heads:
        """Return what training takes the loss of."""
        rows = self._rows
        if self._calls % self._parts == 0:
            assert rows.indices is not None
            self._left = rows.indices
        elif self._parts > 1:
            torch.manual_seed(torch.initial_seed())
        rows.indices, self._left = self._left[: len(x)], self._left[len(x) :]
        self._calls += 1
        self._copies.require_backward_grad_sync = self._calls % self._parts == 0
        heads: Heads = self._copies(x)
        return heads


class _Heads(nn.Module):
    """A net whose forward pass is what training takes the loss of."""

    def __init__(self, worker: Chain) -> None:
        super().__init__()
        self.worker = worker

    def forward(self, x: Tensor) -> Heads:
        return self.worker.heads(x)


def _add_up(
    group: dist.ProcessGroup,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> Future[Tensor]:
    """Start to add a bucket's gradients over the copies."""
    work = dist.all_reduce(bucket.buffer(), group=group, async_op=True)
    assert work is not None
    future: Future[list[Tensor]] = work.get_future()
    return future.then(lambda done: done.value()[0])
