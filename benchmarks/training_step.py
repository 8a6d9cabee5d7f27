"""Time one training step beside plain PyTorch, torch.compile and Caffe.

    python -m benchmarks.training_step [--net alexnet] [--batch 128] [--precision auto]

prints a Markdown table. The update is included, except in Caffe's row. With the paper's net plain
PyTorch runs in float32, as one writes it from the paper; with torchvision's in our own arithmetic,
with the fused update. Those who are not installed are left out.
"""

from benchmarks.markdown import measure, parse_case, print_report

BESIDE_PAPER = ("torch:fp32", "compile", "caffe:fp32")
BESIDE_TORCHVISION = ("torch",)


def main() -> None:
    """Print the table."""
    case, repeats = parse_case(
        "Time a training step beside others.", batch=128, precisions=("fp32", "bf16"), repeats=7
    )
    names = BESIDE_TORCHVISION if case.net == "torchvision" else BESIDE_PAPER
    print_report(measure("train", case, names, repeats), "training step")


if __name__ == "__main__":
    main()
