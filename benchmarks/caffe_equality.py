"""Compare the blobs of Caffe's nets with those of OpenCV 4 and of BVLC Caffe itself.

    python -m benchmarks.caffe_equality NET.prototxt [NET.caffemodel] ... [--pictures FILE ...]
        [--caffe BUILD/tools/caffe] [--each]

prints a Markdown table, a row for each net and peer. A net without weights gets random ones of the
size that He 2015 gives, written by us and read by the peer. Pictures are put to the input's size,
channels in the order B, G, R, levels less the mean 104, 117, 123; without any, noise of that size.
The difference of a blob is the largest one of its values, divided by the largest of its values.

OpenCV gives what each layer makes (before another works on it in place), Caffe what each blob is
after the last layer. OpenCV's fused layers and its Winograd convolutions are off: the former hide
blobs, the latter trade exactness for speed.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.bench.machine import describe_machine
from alexnet.caffe import TEST, Net, Transformer, io
from alexnet.text import prototxt
from alexnet.text.upgrade import upgrade_net

Array = NDArray[np.float32]
MEAN = (104.0, 117.0, 123.0)
HEADER = (
    "| net | beside | blobs | n | largest difference | in | of the last blob |\n"
    "|---|---|--:|--:|--:|---|--:|"
)


def draw_weights(net: Net, seed: int = 0) -> None:
    """Give a net random weights that keep its values apart: normal, variance 2 / fan-in.

    Biases get 0.1 of a normal number, and the last layer of all a tenth of what it would have:
    trained nets have logits of about ten, and a softmax makes a relative difference of what is an
    absolute one before. A BatchNorm gets variances about 1, a Scale factors about 1.
    """
    random = np.random.default_rng(seed)
    for layer in net.layers:
        for blob in layer.blobs:
            fan_in = blob.count / blob.shape[0]
            size = np.sqrt(2 / fan_in) if len(blob.shape) > 1 else 0.1
            blob.data[...] = size * random.standard_normal(blob.shape)
        if layer.type == "BatchNorm":
            _, variance, factor = layer.blobs
            factor.data[...] = 2  # what the first two are divided by
            variance.data[...] += 2
        elif layer.type == "Scale" and layer.blobs:
            layer.blobs[0].data[...] += 1
    list(net.params.values())[-1][0].data[...] *= 0.1


def read_pictures(paths: Sequence[Path], shape: Sequence[int], noise: int = 2) -> Array:
    """Return pictures, or noise in their place, for an input of a shape (N, K, H, W)."""
    if not paths:
        random = np.random.default_rng(5)
        return random.normal(0, 60, (noise, *shape[1:])).astype(np.float32)
    transformer = Transformer({"data": shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_raw_scale("data", 255)
    if shape[1] == 3:
        transformer.set_channel_swap("data", (2, 1, 0))
        transformer.set_mean("data", MEAN)
    pictures = [io.load_image(str(path), color=shape[1] == 3) for path in paths]
    return np.stack([transformer.preprocess("data", picture) for picture in pictures])


def run_ours(net: Net, pictures: Array) -> dict[str, Array]:
    """Return what the first top of each layer is when the layer has made it, by layer."""
    in_ = net.inputs[0]
    net.blobs[in_].reshape(*pictures.shape)
    net.blobs[in_].data[...] = pictures
    net.forward()
    made = {}
    for name, tops in net.top_names.items():
        if tops and net.layer_dict[name].type != "Input":
            made[name] = net.forward(start=name, end=name)[tops[0]].copy()
    return made


def run_opencv(
    text: Path, weights: Path, pictures: Array, names: Sequence[str]
) -> dict[str, Array]:
    """Return what OpenCV's layers of those names make, as far as it has them."""
    net = cv2.dnn.readNetFromCaffe(str(text), str(weights))
    net.enableFusion(False)
    net.enableWinograd(False)
    net.setInput(pictures)
    known = [name for name in net.getLayerNames() if name in names]
    made = net.forward(known)
    return {name: np.asarray(blob, np.float32) for name, blob in zip(known, made, strict=True)}


def run_caffe(
    caffe: Path, text: Path, weights: Path, pictures: Array, names: Sequence[str]
) -> dict[str, Array]:
    """Return what Caffe's blobs of those names are after a pass; HDF5 files carry them.

    Raises: SystemExit with the log if it fails.
    """
    message = upgrade_net(prototxt.load(text, "NetParameter"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for layer in message["layer"]:
            if layer["type"] == "Input":
                layer["type"] = "HDF5Data"
                del layer["input_param"]
                layer["hdf5_data_param"] = {"source": "list.txt", "batch_size": len(pictures)}
                with h5py.File(place / "given.h5", "w") as file:
                    file[layer["top"][0]] = pictures
        (place / "list.txt").write_text("given.h5\n")
        for number, name in enumerate(names):
            layer = message.add("layer", {"name": f"out of {number}", "type": "HDF5Output"})
            layer["bottom"] = [name, name]
            layer["hdf5_output_param"] = {"file_name": f"{number}.h5"}
        (place / "net.prototxt").write_text(prototxt.print_text(message))
        flags = ["-model", "net.prototxt", "-weights", str(weights.resolve()), "-iterations", "1"]
        done = subprocess.run(
            [str(caffe), "test", *flags], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        made = {}
        for number, name in enumerate(names):
            with h5py.File(place / f"{number}.h5") as file:
                made[name] = np.asarray(file["data"], np.float32)
    return made


def compare(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, float]:
    """Return the difference of each blob that both have: max |a - b| / max |b|."""
    found = {}
    for name, theirs_now in theirs.items():
        a, b = ours[name].astype(np.float64), theirs_now.astype(np.float64)
        largest = np.abs(b).max() or 1.0
        found[name] = float(np.abs(a - b.reshape(a.shape)).max() / largest)
    return found


def print_row(name: str, peer: str, n: int, differences: Mapping[str, float], each: bool) -> None:
    """Print a net's row, and its blobs' before it if they are asked for."""
    if each:
        for blob, difference in differences.items():
            print(f"|  | {blob} |  |  | {difference:.1e} |  |  |")
    worst = max(differences, key=differences.__getitem__)
    last = list(differences.values())[-1]
    cells = (name, peer, str(len(differences)), str(n), f"{differences[worst]:.1e}", f"`{worst}`")
    print(f"| {' | '.join(cells)} | {last:.1e} |", flush=True)


def compare_net(text: Path, weights: Path | None, arguments: argparse.Namespace) -> None:
    """Print the rows of one net."""
    net = Net(text, TEST, weights=weights)
    name = f"{text.parent.name}/{text.name}"
    with tempfile.TemporaryDirectory() as folder:
        if weights is None:
            draw_weights(net)
            weights = Path(folder) / "drawn.caffemodel"
            net.save(weights)
            name += ", weights drawn"
        pictures = read_pictures(arguments.pictures, net.blobs[net.inputs[0]].shape)
        made = run_ours(net, pictures)
        theirs = run_opencv(text, weights, pictures, list(made))
        beside = f"OpenCV {cv2.__version__}"
        print_row(name, beside, len(pictures), compare(made, theirs), arguments.each)
        if arguments.caffe:
            net.forward()
            blobs = {n: blob.data for n, blob in net.blobs.items() if n not in net.inputs}
            theirs = run_caffe(arguments.caffe, text, weights, pictures, list(blobs))
            found = compare(blobs, theirs)
            print_row(name, "BVLC Caffe", len(pictures), found, arguments.each)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Compare blobs with OpenCV's and Caffe's.")
    parser.add_argument("files", type=Path, nargs="+", help="prototxt files, weights after theirs")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[])
    parser.add_argument("--caffe", type=Path, help="the program `caffe` of a build")
    parser.add_argument("--each", action="store_true", help="print each blob too")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"{describe_machine()}\n\n{HEADER}")
    files: list[Path] = arguments.files
    for path, after in zip(files, [*files[1:], None], strict=True):
        if path.suffix == ".prototxt":
            own = after if after is not None and after.suffix != ".prototxt" else None
            compare_net(path, own, arguments)


if __name__ == "__main__":
    main()
