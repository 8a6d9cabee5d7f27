"""Time one training step beside plain PyTorch, torch.compile and Caffe.

    python -m benchmarks.training_step [--net alexnet] [--batch 128] [--precision auto]

prints a Markdown table. The update is included, except in Caffe's row. With the paper's net plain
PyTorch runs in float32, as one writes it from the paper; with torchvision's in our own arithmetic,
with the fused update. Those who are not installed are left out.
"""

import argparse

import torch

from alexnet.bench.case import Case
from benchmarks.markdown import measure, precision_here, print_report

BESIDE_PAPER = ("torch:fp32", "compile", "caffe:fp32")
BESIDE_TORCHVISION = ("torch",)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time a training step beside others.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--input-size", type=int, default=0, help="pixels; 0 takes the net's own")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each")
    arguments = parser.parse_args()
    case = Case(
        net=arguments.net,
        batch=arguments.batch,
        precision=precision_here(arguments.precision),
        input_size=arguments.input_size,
        threads=torch.get_num_threads(),
    )
    names = BESIDE_TORCHVISION if arguments.net == "torchvision" else BESIDE_PAPER
    print_report(measure("train", case, names, arguments.repeats), "training step")


if __name__ == "__main__":
    main()
