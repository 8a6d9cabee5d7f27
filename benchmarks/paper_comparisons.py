"""Print the paper's comparisons as measured here: figure 1 on CIFAR-10, ablations on Imagenette.

    python -m benchmarks.paper_comparisons IMAGENETTE CIFAR10 --out FOLDER

What FOLDER holds already is read and not run again, so that the measurement, of some hours on two
slow cores, may be made in several sittings: FOLDER/ablation and FOLDER/figure1 are what `alexnet
ablate` and `alexnet figure1` write. The nets of the ablations see 67 pixels, the fewest that reach
pool5, for four epochs: enough to rank large effects, not to repeat the paper's differences.
"""

import argparse
import sys
from pathlib import Path

import torch

from alexnet.bench.machine import describe_machine
from alexnet.cli import run
from alexnet.store import make_folder

ABLATION = (
    *("--epochs", "4", "--picture-size", "80", "--input-size", "67"),
    *("--validate-every", "4", "--stuck-after", "0"),
)
FIGURE1 = {
    "figure1": (),
    "figure1-normalised": (
        *("--rates", "0.003", "0.01", "0.03", "--init", "normalised", "--divide-by", "64"),
    ),
}
"""The weights of 2012 on grey levels, and weights and inputs scaled to deviations of about 1."""


def main() -> None:
    """Make what is missing and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("imagenette", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder to write or to go on with")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", default=["norm", "pooling", "columns", "views"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    make_folder(options.out)
    commands = (
        [
            *("ablate", str(options.imagenette), "--out", str(options.out / "ablation")),
            *("--seeds", str(options.seeds), "--rows", *options.rows, *ABLATION),
        ],
        *(
            ["figure1", str(options.cifar10), "--out", str(options.out / name), *words]
            for name, words in FIGURE1.items()
        ),
    )
    print(f"Machine: {describe_machine()}\n")
    for words in commands:
        print(f"`alexnet {' '.join(words)}`\n", flush=True)
        code = run(words)
        if code:
            sys.exit(code)
        if words[0] == "ablate":
            print((options.out / "ablation" / "table.md").read_text())


if __name__ == "__main__":
    main()
