"""A net of Caffe's, forward and backward: `alexnet caffe time`'s own pass beside Caffe's program.

    ALEXNET_CAFFE=BUILD/tools/caffe python -m benchmarks.caffe_time NET.prototxt --batch 64

Both run the prototxt as it is, its Input layer at the given batch, with pictures of zeros and
weights of the text's fillers, in float32, without an update, in turn: A B A B. Caffe's time is the
"Average Forward-Backward" of `caffe time -iterations 1`, after one pass that it does not count.
Ours is the net as it runs in training: layers in a row as one pass.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from alexnet.text.graph import TextNet
from alexnet.text.message import Message
from alexnet.text.prototxt import load, print_text
from alexnet.text.upgrade import upgrade_net


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("net", type=Path)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    caffe = os.environ.get("ALEXNET_CAFFE", "")
    net = _at_batch(upgrade_net(load(arguments.net, "NetParameter")), arguments.batch)
    ours = _ours(net)
    ours()  # the first pass takes memory and chooses ways
    times: dict[str, list[float]] = {"alexnet": [], "Caffe": []}
    for _ in range(arguments.rounds):
        times["alexnet"].append(_seconds(ours))
        if caffe:
            times["Caffe"].append(_theirs(Path(caffe), net))
    threads = torch.get_num_threads()
    print(f"{arguments.net}, batch {arguments.batch}, n = {arguments.rounds}, {threads} threads\n")
    print("| who | seconds: median (least, most) | pictures/s | time / ours |\n|---|--:|--:|--:|")
    for name, seconds in times.items():
        if seconds:
            ratio = statistics.median(b / a for a, b in zip(times["alexnet"], seconds, strict=True))
            middle = statistics.median(seconds)
            print(
                f"| {name} | {middle:.3f} ({min(seconds):.3f}, {max(seconds):.3f}) "
                f"| {arguments.batch / middle:.1f} | {ratio:.2f} |"
            )


def _at_batch(net: Message, batch: int) -> Message:
    """Return the net with another batch size in its Input layer."""
    for layer in net["layer"]:
        if layer["type"] == "Input":
            for shape in layer["input_param"]["shape"]:
                shape["dim"] = [batch, *list(shape["dim"])[1:]]
    return net


def _ours(net: Message) -> Callable[[], None]:
    """Return what runs a net once, forward and backward."""
    built = TextNet(net, "TRAIN")
    shapes = built.inputs

    def run() -> None:
        given = {name: torch.zeros(shape) for name, shape in shapes.items()}
        total = sum(blob.sum() for blob in built.run(given).blobs.values())
        assert isinstance(total, torch.Tensor)
        total.backward()
        for learnable in built.learnable:
            learnable.tensor.grad = None

    return run


def _seconds(run: Callable[[], None]) -> float:
    started_at = time.perf_counter()
    run()
    return time.perf_counter() - started_at


def _theirs(caffe: Path, net: Message) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.prototxt")
        path.write_text(print_text(net))
        words = [str(caffe), "time", f"-model={path}", "-iterations=1"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"Average Forward-Backward: ([\d.]+) ms", done.stderr)
    assert found is not None, done.stderr[-500:]
    return float(found[1]) / 1000


if __name__ == "__main__":
    main()
