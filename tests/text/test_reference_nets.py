"""The nets that people know: read, printed, read again, built and counted.

Small texts of the same kinds always run; the originals do where ALEXNET_PROTOTXT names a folder
with BVLC Caffe's `examples` and `models`.
"""

import os
from pathlib import Path

import pytest

from alexnet.inspection.summary import summarise
from alexnet.text.deploy import as_deploy
from alexnet.text.graph import TextNet
from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import load, parse, print_text
from alexnet.text.upgrade import upgrade_net
from tests.text.small_nets import conv, inner, layer

FOLDER = os.environ.get("ALEXNET_PROTOTXT", "")
ALEXNET = (60_965_224, 724_406_816)
# Parameters and multiply-adds of one picture, from the papers and from Caffe's own logs.
GOLDEN = {
    "examples/mnist/lenet.prototxt": (431_080, 2_293_000),
    "examples/cifar10/cifar10_quick.prototxt": (145_578, 12_354_176),
    "examples/cifar10/cifar10_full.prototxt": (89_578, 12_298_240),
    "models/bvlc_alexnet/deploy.prototxt": ALEXNET,
    "models/bvlc_alexnet/train_val.prototxt": ALEXNET,
    "models/bvlc_reference_caffenet/deploy.prototxt": ALEXNET,
    "models/bvlc_reference_caffenet/train_val.prototxt": ALEXNET,
    "models/bvlc_googlenet/deploy.prototxt": (6_998_552, 1_582_671_872),
    # with both auxiliary classifiers, which multiply too
    "models/bvlc_googlenet/train_val.prototxt": (13_378_280, 1_591_044_096),
}
SIZES = {"cifar10": (3, 32, 32), "mnist": (1, 28, 28)}
"""Pictures of databases whose sizes the texts do not say."""


def read_again(path: Path, kind: str) -> Message:
    """Read a text, and hold what is printed of it to being the same."""
    net = load(path, kind)
    text = print_text(net)
    again = parse(text, kind)
    assert again == net
    assert print_text(again) == text
    return net


def texts(*, solvers: bool) -> list[Path]:
    found = sorted(Path(FOLDER).rglob("*.prototxt")) if FOLDER else []
    return [path for path in found if ("solver" in path.name) == solvers]


def named(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


needs_folder = pytest.mark.skipif(
    not FOLDER, reason="ALEXNET_PROTOTXT names no folder of prototxt files"
)


@needs_folder
@pytest.mark.parametrize("path", texts(solvers=False), ids=named)
def test_a_net_of_the_originals_is_read_printed_and_built(path: Path) -> None:
    net = read_again(path, "NetParameter")
    upgraded = upgrade_net(net)
    reads = any(layer["type"] in ("Data", "ImageData", "HDF5Data") for layer in upgraded["layer"])
    if any(layer["type"] == "Python" for layer in upgraded["layer"]):
        with pytest.raises(TextError, match="a Python layer runs the code of"):
            TextNet(net)
        return
    if not reads and "WindowData" not in path.read_text():
        assert TextNet(net).outputs
        return
    shape = next((size for key, size in SIZES.items() if key in path.as_posix()), None)
    if "autoencoder" in path.name or "siamese" in path.name or "hdf5" in path.as_posix():
        pytest.skip("its data are no pictures with labels, and are not here")
    deploy = as_deploy(upgraded, shape=shape)
    built = TextNet(deploy.net)
    assert set(built.outputs) == {blob for blob, _ in deploy.heads}
    count = sum(p.numel() for p in built.parameters())
    known = GOLDEN.get(named(path), GOLDEN.get(named(path).replace("_train_test", "")))
    assert known is None or count == known[0]


@needs_folder
@pytest.mark.parametrize("path", texts(solvers=True), ids=named)
def test_a_solver_of_the_originals_is_read_and_printed(path: Path) -> None:
    assert read_again(path, "SolverParameter")["max_iter"] > 0


@needs_folder
@pytest.mark.parametrize("name", GOLDEN)
def test_a_net_of_the_originals_has_its_published_counts(name: str) -> None:
    path = Path(FOLDER, name)
    if not path.exists():
        pytest.skip(f"{name} is not in the folder")
    totals = summarise(str(path)).totals
    assert (totals["parameters"], totals["multiply_adds"]) == GOLDEN[name]


# ---- What always runs ---------------------------------------------------------------------------

LENET = (
    'name: "LeNet" layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 64 dim: 1 dim: 28 dim: 28 } } }\n"
    + conv("conv1", "data", outputs=20, kernel=5)
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { kernel_size: 2 stride: 2 }")
    + conv("conv2", "pool1", outputs=50, kernel=5)
    + layer("pool2", "Pooling", "conv2", "pool2", "pooling_param { kernel_size: 2 stride: 2 }")
    + inner("ip1", "pool2", outputs=500)
    + layer("relu1", "ReLU", "ip1", "ip1")
    + inner("ip2", "ip1", outputs=10)
    + layer("prob", "Softmax", "ip2")
)
CIFAR = (
    'name: "quick" layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }\n"
)
for _index, (_bottom, _outputs, _pool) in enumerate(
    [("data", 32, "MAX"), ("pool1", 32, "AVE"), ("pool2", 64, "AVE")], start=1
):
    CIFAR += layer(
        f"conv{_index}",
        "Convolution",
        _bottom,
        text=f"convolution_param {{ num_output: {_outputs} pad: 2 kernel_size: 5 }}",
    )
    CIFAR += layer(
        f"pool{_index}",
        "Pooling",
        f"conv{_index}",
        text=f"pooling_param {{ pool: {_pool} kernel_size: 3 stride: 2 }}",
    )
CIFAR += inner("ip1", "pool3", outputs=64) + inner("ip2", "ip1", outputs=10)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (LENET, GOLDEN["examples/mnist/lenet.prototxt"]),
        (CIFAR, GOLDEN["examples/cifar10/cifar10_quick.prototxt"]),
    ],
    ids=["lenet", "cifar10_quick"],
)
def test_nets_as_known_from_the_originals_have_their_counts(
    text: str, counts: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    read_again(path, "NetParameter")
    totals = summarise(str(path)).totals
    assert (totals["parameters"], totals["multiply_adds"]) == counts
