"""Time answers, many at a time and one alone, beside PyTorch, ONNX Runtime and OpenVINO.

    python -m benchmarks.inference [--net alexnet] [--batch 64] [--precision auto]

prints a Markdown table. A process for each batch keeps its memory its own. Those who are not
installed are left out; pip install 'alexnet[bench]' brings ONNX Runtime and OpenVINO.
"""

import argparse

import torch

from alexnet.bench.case import Case
from benchmarks.markdown import measure, precision_here, print_report

BESIDE = ("torch", "compile", "onnxruntime", "openvino", "caffe:fp32")
BESIDE_INT8 = ("onnxruntime", "openvino")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time answers beside others.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "int8"), default="auto")
    parser.add_argument("--input-size", type=int, default=0, help="pixels; 0 takes the net's own")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each")
    arguments = parser.parse_args()
    case = Case(
        net=arguments.net,
        batch=arguments.batch,
        precision=precision_here(arguments.precision),
        input_size=arguments.input_size,
        threads=torch.get_num_threads(),
    )
    names = BESIDE_INT8 if case.precision == "int8" else BESIDE
    print_report(measure("infer", case, names, arguments.repeats), "inference")


if __name__ == "__main__":
    main()
