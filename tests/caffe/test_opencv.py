"""Nets with branches beside OpenCV 4, which reads our weights: each layer's top, at odd sizes.

Left out is what OpenCV computes otherwise than Caffe (k and WITHIN_CHANNEL of LRN) or does not know
(Bias, ArgMax); `tests/golden/caffe_layers` holds Caffe's own answers for these.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

cv2 = pytest.importorskip("cv2")
pytest.importorskip("h5py")
if not cv2.__version__.startswith("4."):
    pytest.skip("OpenCV reads Caffe's nets up to version 4", allow_module_level=True)

from alexnet.caffe import TEST, Net  # noqa: E402 - the benchmark needs what may not be there
from benchmarks.caffe_equality import compare, draw_weights, run_opencv, run_ours  # noqa: E402

CLOSE = 1e-5
"""Of a top's largest value: float32 sums of up to a thousand products, in another order."""


def layer(name: str, kind: str, bottoms: str, more: str = "", top: str = "") -> str:
    """Return a layer's text; bottoms are names with blanks between, the top is the name."""
    lines = "".join(f' bottom: "{bottom}"' for bottom in bottoms.split())
    return f'layer {{ name: "{name}" type: "{kind}"{lines} top: "{top or name}" {more} }}\n'


def conv(name: str, bottom: str, more: str, *, relu: bool = True) -> str:
    text = layer(name, "Convolution", bottom, f"convolution_param {{ {more} }}")
    return text + layer(f"relu_{name}", "ReLU", name, top=name) * relu


def pool(name: str, bottom: str, more: str) -> str:
    return layer(name, "Pooling", bottom, f"pooling_param {{ {more} }}")


def norm(name: str, bottom: str) -> str:
    return layer(name, "LRN", bottom, "lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 }")


def dense(name: str, bottom: str, outputs: int) -> str:
    inner = f"inner_product_param {{ num_output: {outputs} }}"
    return layer(name, "InnerProduct", bottom, inner)


def inception(name: str, bottom: str, sizes: tuple[int, ...]) -> str:
    """Return GoogLeNet's block; sizes are 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool's."""
    one, reduce3, three, reduce5, five, pooled = (f"num_output: {size}" for size in sizes)
    parts = [f"{name}/{part}" for part in ("1x1", "3x3r", "3x3", "5x5r", "5x5", "pool", "proj")]
    return (
        conv(parts[0], bottom, f"{one} kernel_size: 1")
        + conv(parts[1], bottom, f"{reduce3} kernel_size: 1")
        + conv(parts[2], parts[1], f"{three} kernel_size: 3 pad: 1")
        + conv(parts[3], bottom, f"{reduce5} kernel_size: 1")
        + conv(parts[4], parts[3], f"{five} kernel_size: 5 pad: 2")
        + pool(parts[5], bottom, "pool: MAX kernel_size: 3 stride: 1 pad: 1")
        + conv(parts[6], parts[5], f"{pooled} kernel_size: 1")
        + layer(name, "Concat", " ".join(parts[i] for i in (0, 2, 4, 6)))
    )


def normalised(name: str, bottom: str, more: str, *, relu: bool = True) -> str:
    """Return a convolution without bias, BatchNorm and Scale in place, and perhaps a ReLU."""
    return (
        conv(name, bottom, f"{more} bias_term: false", relu=False)
        + layer(f"bn_{name}", "BatchNorm", name, "batch_norm_param { eps: 1e-4 }", top=name)
        + layer(f"scale_{name}", "Scale", name, "scale_param { bias_term: true }", top=name)
        + layer(f"relu_{name}", "ReLU", name, top=name) * relu
    )


ALEXNET = (
    conv("conv1", "data", "num_output: 12 kernel_size: 7 stride: 2")
    + norm("norm1", "conv1")
    + pool("pool1", "norm1", "pool: MAX kernel_size: 3 stride: 2")
    + conv("conv2", "pool1", "num_output: 16 kernel_size: 5 pad: 2 group: 2")
    + norm("norm2", "conv2")
    + pool("pool2", "norm2", "pool: MAX kernel_size: 3 stride: 2")
    + conv("conv3", "pool2", "num_output: 10 kernel_size: 3 pad: 1 group: 2")
    + dense("fc6", "conv3", 24)
    + layer("relu6", "ReLU", "fc6", top="fc6")
    + layer("drop6", "Dropout", "fc6", top="fc6")
    + dense("fc7", "fc6", 7)
    + layer("prob", "Softmax", "fc7")
)
CAFFENET = (
    conv("conv1", "data", "num_output: 12 kernel_size: 5 stride: 3 pad: 1")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + norm("norm1", "pool1")
    + conv("conv2", "norm1", "num_output: 8 kernel_h: 3 kernel_w: 5 pad_h: 1 pad_w: 2 group: 4")
    + pool("pool2", "conv2", "pool: MAX kernel_size: 2 stride: 2 pad: 1")
    + dense("fc6", "pool2", 5)
    + layer("prob", "Softmax", "fc6")
)
GOOGLENET = (
    conv("conv1", "data", "num_output: 8 kernel_size: 7 stride: 2 pad: 3")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + norm("norm1", "pool1")
    + inception("3a", "norm1", (4, 3, 6, 2, 3, 5))
    + inception("3b", "3a", (3, 4, 5, 3, 4, 2))
    + pool("pool3", "3b", "pool: AVE kernel_size: 5 stride: 3 pad: 2")
    + pool("pool4", "3b", "pool: AVE global_pooling: true")
    + dense("classifier", "pool4", 9)
    + layer("prob", "Softmax", "classifier")
)
RESNET = (
    normalised("conv1", "data", "num_output: 8 kernel_size: 7 stride: 2 pad: 3")
    + pool("pool1", "conv1", "pool: MAX kernel_size: 3 stride: 2")
    + normalised("branch1", "pool1", "num_output: 12 kernel_size: 1 stride: 2", relu=False)
    + normalised("branch2a", "pool1", "num_output: 4 kernel_size: 1 stride: 2")
    + normalised("branch2b", "branch2a", "num_output: 4 kernel_size: 3 pad: 1")
    + normalised("branch2c", "branch2b", "num_output: 12 kernel_size: 1", relu=False)
    + layer("sum", "Eltwise", "branch1 branch2c")
    + layer("relu_sum", "ReLU", "sum", top="sum")
    + normalised("again", "sum", "num_output: 12 kernel_size: 3 pad: 1", relu=False)
    + layer("sum2", "Eltwise", "sum again", "eltwise_param { coeff: 0.5 coeff: -2 }")
    + pool("pool5", "sum2", "pool: AVE global_pooling: true")
    + dense("fc", "pool5", 5)
    + layer("prob", "Softmax", "fc")
)
SEGMENTED = (
    conv("conv1", "data", "num_output: 6 kernel_size: 3 pad: 4 dilation: 2 stride: 2", relu=False)
    + layer("prelu", "PReLU", "conv1")
    + pool("pool", "prelu", "pool: MAX kernel_size: 2 stride: 2")
    + conv("score", "pool", "num_output: 4 kernel_size: 1", relu=False)
    + layer(
        "up",
        "Deconvolution",
        "score",
        "convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 2 }",
    )
    + layer("cropped", "Crop", "up conv1", "crop_param { axis: 2 offset: 0 }")
    + layer("joined", "Concat", "cropped prelu", "concat_param { axis: 1 }")
    + layer("large", "Eltwise", "cropped conv1", "eltwise_param { operation: MAX }")
    + layer("product", "Eltwise", "large prelu", "eltwise_param { operation: PROD }")
    + layer("prob", "Softmax", "joined")
)
SCALARS = (
    conv("conv", "data", "num_output: 8 kernel_size: 3", relu=False)
    + layer("sigmoid", "Sigmoid", "conv")
    + layer("tanh", "TanH", "conv")
    + layer("elu", "ELU", "conv", "elu_param { alpha: 0.7 }")
    + layer("leaky", "ReLU", "conv", "relu_param { negative_slope: 0.1 }")
    + layer("abs", "AbsVal", "conv")
    + layer("bnll", "BNLL", "conv")
    + layer("power", "Power", "abs", "power_param { power: 0.5 scale: 2 shift: 0.5 }")
    + layer("mvn", "MVN", "conv")
    + layer("flat", "Flatten", "conv")
    + layer("shaped", "Reshape", "conv", "reshape_param { shape { dim: 0 dim: 4 dim: -1 } }")
)
SLICED = (
    conv("conv", "data", "num_output: 7 kernel_size: 3 stride: 2")
    + 'layer { name: "parts" type: "Slice" bottom: "conv" top: "parts" top: "rest" '
    "slice_param { axis: 1 slice_point: 3 } }\n" + layer("last", "Concat", "rest parts")
)
NETS = {
    "AlexNet": ALEXNET,
    "CaffeNet": CAFFENET,
    "GoogLeNet": GOOGLENET,
    "ResNet": RESNET,
    "segmentation": SEGMENTED,
    "scalars": SCALARS,
    "slices": SLICED,
}


SIZES = [(1, 31, 45), (3, 50, 37)]
"""Pictures, height, width."""


class Case(NamedTuple):
    """A net with weights, on disk too, and what it is given."""

    net: Net
    text: Path
    weights: Path
    pictures: NDArray[np.float32]


def draw_case(layers: str, size: tuple[int, int, int], folder: Path) -> Case:
    count, height, width = size
    dims = f"dim: {count} dim: 3 dim: {height} dim: {width}"
    text, weights = folder / "net.prototxt", folder / "net.caffemodel"
    text.write_text(layer("data", "Input", "", f"input_param {{ shape {{ {dims} }} }}") + layers)
    net = Net(text, TEST)
    draw_weights(net)
    net.save(weights)
    pictures = np.random.default_rng(7).standard_normal((count, 3, height, width), np.float32)
    return Case(net, text, weights, pictures)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETS)
def test_tops_equal_opencvs(name: str, size: tuple[int, int, int], tmp_path: Path) -> None:
    case = draw_case(NETS[name], size, tmp_path)

    ours = run_ours(case.net, case.pictures)
    theirs = run_opencv(case.text, case.weights, case.pictures, list(ours))

    assert set(theirs) == set(ours)
    assert {n: d for n, d in compare(ours, theirs).items() if not d < CLOSE} == {}
