"""Time answers, many at a time and one alone, beside PyTorch, ONNX Runtime and OpenVINO.

    python -m benchmarks.inference [--net alexnet] [--batch 64] [--precision auto]

prints a Markdown table. A process for each batch keeps its memory its own. Those who are not
installed are left out; pip install 'alexnet[bench]' brings ONNX Runtime and OpenVINO.
"""

from benchmarks.markdown import measure, parse_case, print_report

BESIDE = ("torch", "compile", "onnxruntime", "openvino", "caffe:fp32")
BESIDE_INT8 = ("onnxruntime", "openvino")


def main() -> None:
    """Print the table."""
    case, repeats = parse_case(
        "Time answers beside others.", batch=64, precisions=("fp32", "bf16", "int8"), repeats=9
    )
    names = BESIDE_INT8 if case.precision == "int8" else BESIDE
    print_report(measure("infer", case, names, repeats), "inference")


if __name__ == "__main__":
    main()
