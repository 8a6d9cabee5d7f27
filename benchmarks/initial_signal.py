"""Print how far apart two pictures are at the outputs of a new net.

    python -m benchmarks.initial_signal

prints, for the demo's digits, the deviation over pictures of the logits before any training, with
the weights of each net's source and with weights normalised on the batch.
"""

import tempfile
from itertools import islice
from pathlib import Path

import torch

from alexnet.bench.machine import describe_machine
from alexnet.data.augment import Preprocessing, cut, same_windows
from alexnet.data.digits import write_digits
from alexnet.data.folder import split_folder
from alexnet.data.loader import Loader
from alexnet.data.statistics import compute
from alexnet.nets import find
from alexnet.training.initialise import normalise_outputs

NETS = ("alexnet", "alexnet-2012", "bvlc-alexnet", "torchvision")
PICTURES = 64


@torch.no_grad()
def deviation(name: str, pictures: torch.Tensor, *, normalised: bool) -> float:
    """Return the mean over outputs of the logits' deviation over pictures."""
    variant = find(name)
    net = variant.build(classes=10)
    net.init_weights(torch.Generator().manual_seed(0))
    preprocessing = Preprocessing(compute([pictures]), 256, variant.input_size)
    x = cut(pictures, same_windows(len(pictures), 14, 14), preprocessing)
    if normalised:
        normalise_outputs(net, x / 64)
        x = x / 64
    return float(net.eval()(x).std(0).mean())


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder))
        loader = Loader(split_folder(Path(folder)).train, batch_size=PICTURES, cache_bytes=0)
        (batch,) = islice(loader.epoch(0, seed=0), 1)
    print(f"{describe_machine()}; {PICTURES} digits, seed 0\n")
    print("| net | weights of its source | normalised |")
    print("|---|--:|--:|")
    for name in NETS:
        source = deviation(name, batch.pictures, normalised=False)
        normalised = deviation(name, batch.pictures, normalised=True)
        print(f"| `{name}` | {source:.4f} | {normalised:.4f} |", flush=True)


if __name__ == "__main__":
    main()
