"""The processes of a training run in rows and columns; the one place that reads the environment.

    rank = group * columns + column

Processes of one group hold the columns of one net and see the same pictures; processes of the same
column, one of each group, hold the same weights and see different pictures. With 4 processes and 2
columns, group 0 is ranks 0 and 1, group 1 ranks 2 and 3; weights' gradients are exchanged by ranks
0 and 2, and by 1 and 3: the arrangement of Krizhevsky's notes of 2012 for four cards.

Processes are started by torchrun, which tells each its rank. Messages go by NCCL between GPUs and
by gloo between processors.
"""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from alexnet import __version__
from alexnet.parallel.watch import Watch

TIMEOUT = timedelta(minutes=10)
"""How long a message may take. A process that is lost is found earlier, by its missing signs."""


@dataclass(frozen=True)
class World:
    """What torchrun tells a process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Rank among the processes of this machine."""
    local_size: int = 1
    restarts: int = 0
    """How often torchrun has started the run anew after a process was lost."""

    @staticmethod
    def of(environment: Mapping[str, str]) -> "World":
        """Return what the environment says; without torchrun this process is alone.

        Raises: ValueError for a rank that is no number below the number of processes.
        """
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return World()
        names = (
            "RANK",
            "WORLD_SIZE",
            "LOCAL_RANK",
            "LOCAL_WORLD_SIZE",
            "TORCHELASTIC_RESTART_COUNT",
        )
        texts = [
            environment.get(name, fallback) for name, fallback in zip(names, "01010", strict=True)
        ]
        try:
            world = World(*map(int, texts))
        except ValueError:
            pairs = ", ".join(f"{n}={t}" for n, t in zip(names, texts, strict=True))
            raise ValueError(
                f"{pairs}: these must be numbers; start the run with torchrun"
            ) from None
        if not 0 <= world.rank < world.size:
            raise ValueError(
                f"RANK is {world.rank} and WORLD_SIZE {world.size}; ranks count from 0; start the "
                "run with torchrun"
            )
        return world


@dataclass(frozen=True)
class Mesh:
    """This process's place among all; `groups` x `columns` processes."""

    world: World = field(default_factory=World)
    columns: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    data: dist.ProcessGroup | None = None
    """Those of the same column, ordered by group; None for a process alone."""
    model: dist.ProcessGroup | None = None
    """Those of the same group, ordered by column."""

    @property
    def groups(self) -> int:
        """Return how many copies of the net there are."""
        return self.world.size // self.columns

    @property
    def group(self) -> int:
        """Return which copy of the net this process belongs to."""
        return self.world.rank // self.columns

    @property
    def column(self) -> int:
        """Return which part of that copy it holds."""
        return self.world.rank % self.columns

    @property
    def leads(self) -> bool:
        """Return whether this process speaks for all: prints, and writes the run's files."""
        return self.world.rank == 0


@contextmanager
def join(
    columns: int = 1,
    *,
    device: torch.device | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Mesh]:
    """Meet the other processes of the run, and part from them at the end.

    `device` is "cuda" for one GPU a process. A process alone has nobody to meet.

    Raises: ValueError if the columns do not divide the processes, or a machine has fewer GPUs than
            processes, or the processes run different versions. PeerError if another process ends.
    """
    world = World.of(environment)
    if columns < 1 or world.size % columns:
        raise ValueError(
            f"columns is {columns}, which does not divide the {world.size} process(es); start "
            f"torchrun with --nproc-per-node {columns} or a multiple of it"
        )
    place = _place(device or torch.device("cpu"), world)
    if world.size == 1:
        yield Mesh(world, device=place)
        return
    shared, rank, size = next(iter(rendezvous("env://", timeout=TIMEOUT)))
    # torchrun keeps the store when it starts a run again: what the first one wrote is not for us
    store = PrefixStore(f"start-{world.restarts}", shared)
    _compare_versions(store, world)
    # what processes tell each other about the run lies in the processor's memory
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    with Watch(PrefixStore("signs", store), rank=rank, size=size) as watch:
        try:
            dist.init_process_group(
                backend,
                store=PrefixStore("messages", store),
                rank=rank,
                world_size=size,
                timeout=TIMEOUT,
            )
            shape = (world.size // columns, columns)
            both = init_device_mesh(place.type, shape, mesh_dim_names=("data", "model"))
            yield Mesh(world, columns, place, both.get_group("data"), both.get_group("model"))
        except Exception as error:
            raise watch.explain(error)  # noqa: B904  it is the same, or says more
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()


def _place(device: torch.device, world: World) -> torch.device:
    """Return this process's device: each on a machine has a GPU of its own."""
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count()
    if world.local_size > count:
        raise ValueError(
            f"{world.local_size} processes share {count} GPU(s); start torchrun with "
            f"--nproc-per-node {count}, or take --device cpu"
        )
    place = torch.device("cuda", world.local_rank)
    torch.cuda.set_device(place)
    return place


def _compare_versions(store: Store, world: World) -> None:
    """Refuse processes of different versions: their numbers and files might differ.

    Raises: ValueError that names the first rank that differs from rank 0, and both versions.
    """
    own = f"alexnet {__version__}, torch {torch.__version__}, Python {platform.python_version()}"
    store.set(f"version-{world.rank}", own)
    versions = [store.get(f"version-{rank}").decode() for rank in range(world.size)]
    store.set(f"compared-{world.rank}", "")
    if world.rank == 0:  # the store may end with this process: all must have read it
        store.wait([f"compared-{rank}" for rank in range(world.size)])
    for rank, theirs in enumerate(versions):
        if theirs != versions[0]:
            raise ValueError(
                f"rank {rank} runs {theirs}, rank 0 runs {versions[0]}; install the same on every "
                "machine"
            )
