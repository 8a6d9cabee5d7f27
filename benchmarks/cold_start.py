"""Time a first answer: `alexnet predict` from nothing to the printed label, by each runtime.

    python -m benchmarks.cold_start RUN PICTURE [--repeats 7]

exports the run to ONNX and OpenVINO in a temporary folder, and starts a new process for each
answer, the runtimes in turn. The limit is named too: a process that only imports the runtime, opens
the exported file and does nothing else.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from alexnet.bench.machine import describe_machine

LIMITS = {
    "onnx": "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])",
    "openvino": "import sys, openvino; openvino.Core().compile_model(sys.argv[1], 'CPU')",
}
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}


def seconds(words: list[str]) -> float:
    """Return how long a process takes; it must end with 0."""
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    command = [sys.executable, "-m", "alexnet"]
    with tempfile.TemporaryDirectory() as folder:
        cases = {"torch": [*command, "predict", str(options.run), str(options.picture)]}
        for name, limit in LIMITS.items():
            file = str(Path(folder) / FILES[name])
            export = [*command, "export", str(options.run), "--to", name, "--out", file]
            subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
            cases[name] = [*command, "predict", file, str(options.picture)]
            cases[f"{name}: limit"] = [sys.executable, "-c", limit, file]
        found: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(options.repeats):
            for name, words in cases.items():
                found[name].append(seconds(words))
    print(f"Machine: {describe_machine()}; n = {options.repeats} each\n")
    print("| runtime | seconds to the printed answer: median (least, most) | of its limit |")
    print("|---|--:|--:|")
    for name in ("torch", *LIMITS):
        times = found[name]
        middle, least = statistics.median(times), found.get(f"{name}: limit")
        share = f"{middle / statistics.median(least):.2f} x" if least else ""
        print(f"| {name} | {middle:.2f} ({min(times):.2f}, {max(times):.2f}) | {share} |")


if __name__ == "__main__":
    main()
