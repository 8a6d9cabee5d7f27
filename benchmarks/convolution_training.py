"""Train with each convolution algorithm: the loss curves, and how long a step takes.

    python -m benchmarks.convolution_training curves [--algorithms im2col winograd ...]
    python -m benchmarks.convolution_training steps [--nets vgg16 ...] [--batch 16]

`curves` trains AlexNet for an epoch of the demo's digits with the same seeds and each algorithm,
and prints the losses beside those of torch's convolutions as a Markdown table. `steps` times whole
training steps, update included: ours as `alexnet train` makes them, with torch's convolutions and
with `auto`, beside the same net in plain PyTorch, in turn.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from alexnet.bench.case import RATE, Case
from alexnet.bench.machine import describe_machine
from alexnet.convolution.choose import forget
from alexnet.convolution.swap import swap
from alexnet.data.digits import write_digits
from alexnet.device import keep_pages
from alexnet.measure import Lap, Timing, in_turn, stopwatch
from alexnet.training.recipes import find_recipe
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import gradients
from benchmarks.precision_curves import Curve, run

ALGORITHMS = ("auto", "im2col", "winograd", "fft", "direct")


def curves(algorithms: list[str], *, pictures: int, side: int) -> None:
    """Train once by each and print the losses."""
    found: dict[str, Curve] = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "digits")
        write_digits(data)
        for folder in (data / "train").iterdir():
            for path in sorted(folder.iterdir())[pictures // 10 :]:
                path.unlink()
        recipe = replace(
            find_recipe("digits"),
            data=str(data),
            epochs=1,
            minutes=0.0,
            report_every=max(1, pictures // 32 // 8),
            picture_size=side + side // 8,
            input_size=side,
        )
        for name in ("native", *algorithms):
            chosen = replace(recipe, convolution=name)
            found[name] = run(chosen, Path(temporary, name))
            print(f"{name} is done", flush=True)
    steps = list(found["native"].losses)
    print(f"\n| step | native | {' | '.join(algorithms)} |")
    print(f"|--:|--:|{'--:|' * len(algorithms)}")
    for step in steps:
        exact = found["native"].losses[step]
        apart = [f"{found[name].losses[step] - exact:+.1e}" for name in algorithms]
        print(f"| {step} | {exact:.5f} | {' | '.join(apart)} |")
    wrong = ", ".join(f"{name} {curve.top1_errors}" for name, curve in found.items())
    print(f"\nOf {found['native'].pictures} validation pictures wrong: {wrong}")
    for name in algorithms:
        shares = [
            abs(found[name].losses[step] / found["native"].losses[step] - 1) for step in steps
        ]
        print(f"- {name}: at most {max(shares):.1e} of the loss apart")


def step_of(case: Case, algorithm: str) -> Lap:
    """Return a training step of ours, with the convolutions by an algorithm."""
    net = case.draw_net()
    swap(net, algorithm)
    optimizer = MomentumSGD(net)
    x, labels = case.draw_pictures(), case.draw_labels()

    def step() -> None:
        gradients(net.train(), x, labels)
        optimizer.step(RATE)

    return stopwatch(step)


def plain_step_of(case: Case) -> Lap:
    """Return the same in plain PyTorch: layer by layer, torch's loss and fused update."""
    net = case.draw_net().train()
    layers = [layer for _, layer in net.steps()]
    optimizer = torch.optim.SGD(net.parameters(), RATE, 0.9, weight_decay=5e-4, fused=True)
    x, labels = case.draw_pictures(), case.draw_labels()

    def step() -> None:
        optimizer.zero_grad()
        y = x
        for layer in layers:
            y = layer(y)
        torch.nn.functional.cross_entropy(y, labels).backward()
        optimizer.step()

    return stopwatch(step)


def steps(nets: list[str], *, batch: int, repeats: int) -> None:
    """Print a row for each net."""
    print(
        "| net | batch | n | plain PyTorch ms | ours, native ms | ours, auto ms "
        "| auto over native | auto over plain |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name in nets:
        case = Case(net=name, batch=batch, precision="fp32", threads=torch.get_num_threads())
        laps = {
            "plain": plain_step_of(case),
            "native": step_of(case, "native"),
            "auto": step_of(case, "auto"),
        }
        rounds = in_turn(laps, repeats=repeats)
        cells = [show(rounds.timing(each)) for each in laps]
        ratios = [f"{rounds.ratio('auto', each):.2f}" for each in ("native", "plain")]
        print(f"| {name} | {batch} | {repeats} | {' | '.join([*cells, *ratios])} |", flush=True)


def show(timing: Timing) -> str:
    """Return median, least and spread in milliseconds."""
    return f"{timing.median * 1e3:.0f} ({timing.least * 1e3:.0f}, {timing.spread * 1e3:.0f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Training with each convolution algorithm.")
    parser.add_argument("what", choices=("curves", "steps"))
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--side", type=int, default=227)
    parser.add_argument("--nets", nargs="+", default=["vgg16", "alexnet", "torchvision"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    keep_pages()
    forget()
    print(f"{describe_machine()}\n")
    if arguments.what == "curves":
        curves(arguments.algorithms, pictures=arguments.pictures, side=arguments.side)
    else:
        steps(arguments.nets, batch=arguments.batch, repeats=arguments.repeats)


if __name__ == "__main__":
    main()
