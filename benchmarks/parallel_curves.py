"""Train on real pictures in one process and in several: the loss curves beside each other.

    python -m benchmarks.parallel_curves DATA [--classes 4] [--updates 80] [--figure FILE.svg]

DATA is a folder with a sub-folder per class, such as Imagenette's; its first classes are used. Each
arrangement is a run of `alexnet train` under torchrun with the same recipe and seed. Prints a
Markdown table of losses, differences from one process, and errors at the end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from alexnet.bench.machine import describe_machine
from alexnet.training.journal import read_journal

ARRANGEMENTS: dict[str, tuple[int, list[str]]] = {
    "one process": (1, []),
    "two copies": (2, []),
    "two columns": (2, ["--columns", "2"]),
    "2 x 2: two copies in two columns": (4, ["--columns", "2"]),
    "one weird trick, scheme b, two processes": (2, ["--hybrid", "b"]),
    "two columns, crossings in bf16": (2, ["--columns", "2", "--crossing", "bf16"]),
}


@dataclass(frozen=True)
class Curve:
    """What a run left in its journal."""

    losses: dict[int, float]
    wrong: int
    pictures: int
    crossing_error: float


def train(data: Path, folder: Path, arrangement: str, words: list[str]) -> Curve:
    """Train in one arrangement and return its curve."""
    processes, layout = ARRANGEMENTS[arrangement]
    launcher = ["torch.distributed.run", "--nproc-per-node", str(processes), "-m"]
    start = launcher if processes > 1 else []
    command = [sys.executable, "-m", *start, "alexnet", "train", str(data), "--out", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2" if processes == 1 else "1"}
    done = subprocess.run(
        [*command, *words, *layout], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{arrangement}: {done.stderr[-2000:]}")
    lines = read_journal(folder / "journal.jsonl")
    steps = [line for line in lines if line["kind"] == "train"]
    last = [line for line in lines if line["kind"] == "validation"][-1]
    return Curve(
        {line["step"]: line["loss"] for line in steps},
        last["top1_errors"],
        last["pictures"],
        max(line.get("crossing_error", 0.0) for line in steps),
    )


def link_classes(data: Path, folder: Path, count: int) -> None:
    """Make a data set of the first classes; nothing is copied."""
    for part in ("train", "val"):
        names = sorted(path.name for path in (data / part).iterdir())[:count]
        (folder / part).mkdir(parents=True)
        for name in names:
            (folder / part / name).symlink_to((data / part / name).resolve())


def draw(curves: dict[str, Curve], path: Path) -> None:
    """Draw the losses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    styles = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
    for (name, curve), style in zip(curves.items(), styles, strict=True):
        axes.plot(list(curve.losses), list(curve.losses.values()), linestyle=style, label=name)
    axes.set_xlabel("update")
    axes.set_ylabel("mean loss since the last point")
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--updates", type=int, default=80)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    every = max(1, options.updates // 8)
    words = f"--recipe quick --batch {options.batch} --steps {options.updates} --epochs 9"
    words += f" --picture-size 144 --input-size 131 --report-every {every} --cache-gib 2"
    curves: dict[str, Curve] = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary, "data")
        link_classes(options.data, data, options.classes)
        for number, name in enumerate(ARRANGEMENTS):
            curves[name] = train(data, Path(temporary, str(number)), name, words.split())
            print(f"{name} is done", flush=True)
    one, *others = curves
    print(f"\n| update | {one} | {' | '.join(others)} |")
    print(f"|--:|--:|{'--:|' * len(others)}")
    for step, loss in curves[one].losses.items():
        apart = [f"{curves[name].losses[step] - loss:+.1e}" for name in others]
        print(f"| {step} | {loss:.5f} | {' | '.join(apart)} |")
    wrong = [f"{curve.wrong} of {curve.pictures}" for curve in curves.values()]
    print(f"| wrong at the end | {' | '.join(wrong)} |")
    rounded = max(curve.crossing_error for curve in curves.values())
    print(f"\nLargest error of a bf16 crossing between two reports: {rounded:.1e} of its norm")
    print(f"n = 1 run each, float32; alexnet train {words}; {describe_machine()}")
    if options.figure:
        draw(curves, options.figure)


if __name__ == "__main__":
    main()
