"""Print measured steps of every arrangement beside those that `alexnet plan` predicts.

    python -m benchmarks.plan_check [--net alexnet] [--batch 32] [--repeats 5]

Two processes with a thread each, messages by gloo. First come the machine's figures: the matrix
product's ceiling, the memory's bandwidth, and of a message the delay (64 bytes) and the bandwidth
(64 MB), all with both processes at it. The share of the ceiling that layers reach is the one with
which the model gives the time of one process with the whole batch, while the other does the same;
all other rows are predictions. Rounds go through all arrangements in turn; a row is the median.
"""

import argparse
import os
import socket
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple, get_args

import torch
import torch.distributed as dist

from alexnet.bench.machine import describe_machine, gemm_ceiling, memory_bandwidth
from alexnet.inspection.machines import LINK_SHARE, MEMORY_SHARE, Cluster, Gpu
from alexnet.inspection.plan import Arrangement, Question, plan
from alexnet.nets import find
from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns
from alexnet.parallel.dropout import Rows
from alexnet.parallel.hybrid import HybridNet, HybridStep
from alexnet.parallel.layout import Scheme
from alexnet.parallel.mesh import join
from alexnet.parallel.replicas import Replica, share_layers
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import gradients

RANKS = 2
NAMES = ("one device", "replicas", "2 columns", *(f"hybrid {s}" for s in get_args(Scheme)))
SMALL_BYTES, LARGE_BYTES = 64, 64 * 10**6
RATE = 1e-6
Step = Callable[[], object]


class Figures(NamedTuple):
    """What was measured in one process."""

    gemm: float
    copied: float
    delay: float
    bandwidth: float
    seconds: dict[str, list[float]]
    """Of a step, by the arrangement's name."""


def measure(net: str, batch: int, repeats: int) -> Figures:
    """Measure the machine and the steps, as one of two ranks."""
    torch.set_num_threads(1)
    with join() as mesh:
        group = mesh.data
        assert group is not None
        dist.barrier()
        gemm = gemm_ceiling(torch.float32)
        dist.barrier()
        copied = memory_bandwidth()
        delay = _all_reduce_seconds(SMALL_BYTES, 200) / 2
        large = _all_reduce_seconds(LARGE_BYTES, 5) - 2 * delay
        seconds: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(repeats):
            for name in NAMES:
                step = _step(name, net, batch, group)
                step()
                seconds[name].append(_timed(step))
    return Figures(gemm, copied, delay, LARGE_BYTES / large, seconds)


def _all_reduce_seconds(size: int, calls: int) -> float:
    """Return the time of one all-reduce of so many bytes; two ranks each send as many."""
    x = torch.ones(size // 4)
    times = []
    for _ in range(calls):
        times.append(_timed(lambda: dist.all_reduce(x)))
        x.fill_(1)
    return statistics.median(times)


def _timed(step: Step) -> float:
    dist.barrier()
    started_at = time.perf_counter()
    step()
    return time.perf_counter() - started_at


def _step(name: str, net_name: str, batch: int, group: dist.ProcessGroup) -> Step:
    """Return a training step of an arrangement, update included."""
    net = find(net_name).build().train()
    rank = dist.get_rank()
    own = batch if name in ("one device", "2 columns") else batch // RANKS
    x = torch.randn(own, find(net_name).channels, net.input_size, net.input_size)
    labels = torch.arange(own) % net.classes
    rows = Rows(torch.arange(own) + rank * (batch - own) // (RANKS - 1), batch)
    circle = Circle.of(group)
    if name.startswith("hybrid"):
        return _hybrid_step(name, net, x, labels, Rows(rows.indices, batch), circle)
    worker: Chain | Replica = net
    if name == "replicas":
        share_layers(net, rows, circle)
        worker = Replica(net, group, rows=rows)
    elif name == "2 columns":
        worker = net = Columns(net, circle, rows)
    optimizer = MomentumSGD(net.train())

    def step() -> None:
        gradients(worker, x, labels, whole=batch)
        optimizer.step(RATE)

    return step


def _hybrid_step(
    name: str, net: Chain, x: torch.Tensor, labels: torch.Tensor, rows: Rows, circle: Circle
) -> Step:
    scheme = next(each for each in get_args(Scheme) if name.endswith(each))
    worker = HybridNet(net, circle, rows)
    hybrid, optimizer = HybridStep(worker.train(), rows, scheme), MomentumSGD(worker)

    def step() -> None:
        hybrid.gradients(x, labels)
        optimizer.step(RATE)

    return step


def on_two_ranks(net: str, batch: int, repeats: int) -> list[Figures]:
    """Measure in two processes, started as torchrun would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ProcessPoolExecutor(RANKS, mp_context=get_context("spawn")) as pool:
        calls = [pool.submit(_as_rank, r, port, (net, batch, repeats)) for r in range(RANKS)]
        return [call.result() for call in calls]


def _as_rank(rank: int, port: int, case: tuple[str, int, int]) -> Figures:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    return measure(*case)


def predict(net: str, batch: int, gpu: Gpu, one_seconds: float) -> tuple[float, list[Arrangement]]:
    """Return the share with which the model gives one device's time, and all arrangements."""
    cluster = Cluster(gpu, RANKS, RANKS)
    question = Question(net, RANKS, batch, "fp32", share=1.0)
    low, high = 0.01, 4.0  # our kernels can be quicker than torch's matrix product
    for _ in range(20):
        middle = (low + high) / 2
        reached = replace(gpu, fp32=middle * gpu.fp32)
        found = plan(question, replace(cluster, gpu=reached)).arrangements
        low, high = (middle, high) if found[0].step_seconds > one_seconds else (low, middle)
    return middle, list(found)


def main() -> None:
    """Measure, predict and print."""
    parser = argparse.ArgumentParser(description="Measured steps beside those of alexnet plan.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    figures = on_two_ranks(given.net, given.batch, given.repeats)
    slowest = min(figures, key=lambda each: each.gemm)
    bandwidth = min(each.bandwidth for each in figures)
    copied = min(each.copied for each in figures)
    gpu = Gpu(
        source="measured",
        fp32=slowest.gemm,
        bf16=None,
        memory_bytes=2**62,
        memory_bandwidth=copied / MEMORY_SHARE,
        link_bandwidth=bandwidth / LINK_SHARE,
        network_bandwidth=bandwidth / LINK_SHARE,
        link_delay=max(each.delay for each in figures),
    )
    seconds = {
        name: [max(both) for both in zip(*(each.seconds[name] for each in figures), strict=True)]
        for name in NAMES
    }
    one = statistics.median(seconds[NAMES[0]])
    share, predicted = predict(given.net, given.batch, gpu, one)
    print(f"{describe_machine()}; {RANKS} processes with a thread each, n = {given.repeats}")
    print(
        f"{given.net}, float32, batch {given.batch}; GEMM {gpu.fp32 / 1e9:.1f} GFLOP/s, copy "
        f"{copied / 1e9:.1f} GB/s, message {bandwidth / 1e9:.2f} GB/s after "
        f"{gpu.link_delay * 1e6:.0f} us; share {share:.2f}\n"
    )
    print(
        "| arrangement | MB sent | measured ms | least | predicted ms | of these waiting | ratio |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|")
    for each in predicted:
        median = statistics.median(seconds[each.name])
        print(
            f"| {each.name} | {each.sent_bytes / 1e6:.1f} | {median * 1e3:.0f} "
            f"| {min(seconds[each.name]) * 1e3:.0f} | {each.step_seconds * 1e3:.0f} "
            f"| {each.exposed_seconds * 1e3:.0f} | {median / each.step_seconds:.2f} |"
        )


if __name__ == "__main__":
    main()
