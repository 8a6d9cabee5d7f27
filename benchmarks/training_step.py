"""Time one training step of the paper's net beside the same net with torch's own parts.

    python -m benchmarks.training_step [--batch 32] [--repeats 7]

prints a Markdown table. Both nets stand in one process and step in turn. Torch's has
nn.LocalResponseNorm (alpha times 5, which makes it the paper's; its window crosses the columns)
and torch.optim.SGD as one would write it; ours is what `alexnet train` runs. Pages are kept for
both.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from alexnet.device import keep_pages
from alexnet.nets import find
from alexnet.nets.alexnet import AlexNet
from alexnet.training.sgd import MomentumSGD
from alexnet.bench.machine import describe_machine

WARM_UPS = 2


def make_net() -> AlexNet:
    """Return the paper's net for 1,000 classes."""
    net = find("alexnet").build(classes=1000)
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def our_step(x: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """Return a step as `alexnet train` makes it."""
    net: nn.Module = make_net().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = MomentumSGD(net)
    x = x.to(memory_format=torch.channels_last)

    def step() -> None:
        F.cross_entropy(net(x), labels).backward()
        optimizer.step(0.01)

    return step


def torch_step(x: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """Return a step with torch's own norm and optimizer."""
    net = make_net()
    for number in (1, 2):
        net.add_module(f"norm{number}", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), labels).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    """Return how long one call takes."""
    started_at = time.perf_counter()
    step()
    return time.perf_counter() - started_at


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time a training step beside torch's own parts.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    keep_pages()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(arguments.batch, 3, 227, 227, generator=generator)
    labels = torch.randint(0, 1000, (arguments.batch,), generator=generator)
    ours, theirs = our_step(x, labels), torch_step(x, labels)
    times = [(seconds(ours), seconds(theirs)) for _ in range(WARM_UPS + arguments.repeats)]
    pairs = times[WARM_UPS:]
    our_time, their_time = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{describe_machine()}\n")
    print("| training step, float32 | batch | ours, img/s | torch, img/s | ratio | n |")
    print("|---|--:|--:|--:|--:|--:|")
    print(
        f"| paper's net, 227, 1,000 classes | {arguments.batch} "
        f"| {arguments.batch / our_time:.1f} "
        f"| {arguments.batch / their_time:.1f} | {ratio:.2f} | {arguments.repeats} |"
    )


if __name__ == "__main__":
    main()
