"""pycaffe's Classifier, and scripts of its notebooks on a small net."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import alexnet.caffe as caffe

Array = NDArray[np.float32]
FILLER = 'weight_filler { type: "gaussian" std: 0.02 } bias_filler { type: "gaussian" std: 0.02 }'
FEATURES = f"""
name: "SmallNet"
input: "data" input_dim: 4 input_dim: 3 input_dim: 9 input_dim: 11
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param {{ num_output: 6 kernel_size: 3 {FILLER} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param {{ pool: MAX kernel_size: 3 stride: 2 }} }}
"""
FULL = (
    FEATURES
    + f"""
layer {{ name: "fc2" type: "InnerProduct" bottom: "pool1" top: "fc2"
  inner_product_param {{ num_output: 5 {FILLER} }} }}
layer {{ name: "prob" type: "Softmax" bottom: "fc2" top: "prob" }}
"""
)
CONVOLUTIONS = (
    FEATURES
    + """
layer { name: "fc2-conv" type: "Convolution" bottom: "pool1" top: "fc2-conv"
  convolution_param { num_output: 5 kernel_h: 3 kernel_w: 4 } }
layer { name: "prob" type: "Softmax" bottom: "fc2-conv" top: "prob" }
"""
)
MEAN = np.array([104.0, 117.0, 123.0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with deploy.prototxt, conv.prototxt, weights and a picture."""
    (tmp_path / "deploy.prototxt").write_text(FULL)
    (tmp_path / "conv.prototxt").write_text(CONVOLUTIONS)
    caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "cat.png")
    return tmp_path


def classifier(
    folder: Path, image_dims: tuple[int, ...] | None = None, scale: float | None = None
) -> caffe.Classifier:
    return caffe.Classifier(
        str(folder / "deploy.prototxt"),
        str(folder / "w.caffemodel"),
        image_dims=image_dims,
        mean=MEAN,
        channel_swap=(2, 1, 0),
        raw_scale=255,
        input_scale=scale,
    )


def probabilities(folder: Path, crops: Array, scale: float = 1) -> Array:
    """Return what the net says of crops, RGB in [0, 1], (N, H, W, 3), one at a time."""
    net = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "w.caffemodel"), caffe.TEST)
    net.blobs["data"].reshape(1, 3, 9, 11)
    blobs = scale * (255 * crops[..., ::-1] - MEAN).transpose(0, 3, 1, 2)
    return np.concatenate([net.forward(data=blob[None])["prob"] for blob in blobs])


def pictures(count: int, height: int, width: int) -> Array:
    return np.random.default_rng(1).random((count, height, width, 3), np.float32)


@pytest.mark.parametrize("scale", [None, 0.02])
def test_the_centre_alone_is_named(folder: Path, scale: float | None) -> None:
    images = pictures(6, 12, 14)

    answers = classifier(folder, (12, 14), scale).predict(list(images), oversample=False)

    wanted = probabilities(folder, images[:, 1:10, 1:12], scale or 1)
    np.testing.assert_allclose(answers, wanted, rtol=1e-4)


def test_ten_crops_are_averaged(folder: Path) -> None:
    images = pictures(3, 12, 14)

    answers = classifier(folder, (12, 14)).predict(list(images))

    corners = [(0, 0), (0, 3), (3, 0), (3, 3), (1, 1)]
    five = [images[:, top : top + 9, left : left + 11] for top, left in corners]
    ten = np.stack([*five, *(crop[:, :, ::-1] for crop in five)])
    wanted = np.mean([probabilities(folder, crop) for crop in ten], axis=0)
    assert answers.shape == (3, 5)
    np.testing.assert_allclose(answers, wanted, rtol=1e-4)


def test_pictures_are_brought_to_the_input_size_without_dims(folder: Path) -> None:
    images = pictures(2, 20, 30)
    small = np.stack([caffe.io.resize_image(image, (9, 11)) for image in images])

    answers = classifier(folder).predict(list(images), oversample=False)

    np.testing.assert_allclose(answers, probabilities(folder, small), rtol=1e-4)


def test_pictures_and_constants_that_do_not_fit_are_refused(folder: Path) -> None:
    text, weights = folder / "deploy.prototxt", folder / "w.caffemodel"
    with pytest.raises(ValueError, match=r"takes no 'raw_scal' \(did you mean 'raw_scale'\?\)"):
        caffe.Classifier(text, weights, raw_scal=255)  # type: ignore[call-arg]
    for dims in ((8, 11), (9,), (9, 11, 3)):
        with pytest.raises(ValueError, match=r"image_dims is .*; give .* at least \(9, 11\)"):
            caffe.Classifier(text, weights, image_dims=dims)
    with pytest.raises(ValueError, match=r"the mean has 2 values"):
        caffe.Classifier(text, weights, mean=[1, 2])
    namer = caffe.Classifier(text, weights)
    with pytest.raises(ValueError, match=r"a picture has the shape \(9, 11\); .* \(H, W, 3\)"):
        namer.predict([np.zeros((9, 11))])
    with pytest.raises(ValueError, match=r"a picture has the shape \(9, 11, 1\); .* \(H, W, 3\)"):
        namer.predict([np.zeros((9, 11, 1))])
    with pytest.raises(ValueError, match=r"there are no pictures to name"):
        namer.predict([])


def test_a_net_whose_input_is_no_picture_is_no_classifier(folder: Path) -> None:
    text = folder / "flat.prototxt"
    text.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" '
        "inner_product_param { num_output: 2 } }"
    )
    caffe.Net(text, caffe.TEST).save(folder / "flat.caffemodel")
    with pytest.raises(ValueError, match=r"input 'data' has the shape \(2, 3\); .* \(N, K, H, W\)"):
        caffe.Classifier(text, folder / "flat.caffemodel")


# ---- Scripts ------------------------------------------------------------------------------------


def test_the_classification_notebook_runs(folder: Path) -> None:
    caffe.set_mode_cpu()
    net = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "w.caffemodel"), caffe.TEST)
    mu = np.ones((3, 16, 16)) * MEAN[:, None, None]
    mu = mu.mean(1).mean(1)
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mu)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    net.blobs["data"].reshape(50, 3, 9, 11)
    image = caffe.io.load_image(str(folder / "cat.png"))
    net.blobs["data"].data[...] = transformer.preprocess("data", image)
    output = net.forward()
    output_prob = output["prob"][0]
    top_inds = output_prob.argsort()[::-1][:5]

    wanted = probabilities(folder, caffe.io.resize_image(image, (9, 11))[None])[0]
    np.testing.assert_allclose(output_prob, wanted, rtol=1e-4)
    assert list(top_inds) == list(wanted.argsort()[::-1])
    assert [(name, blob.data.shape) for name, blob in net.blobs.items()] == [
        ("data", (50, 3, 9, 11)),
        ("conv1", (50, 6, 7, 9)),
        ("pool1", (50, 6, 3, 4)),
        ("fc2", (50, 5)),
        ("prob", (50, 5)),
    ]
    shapes = [(name, p[0].data.shape, p[1].data.shape) for name, p in net.params.items()]
    assert shapes == [("conv1", (6, 3, 3, 3), (6,)), ("fc2", (5, 72), (5,))]
    filters = net.params["conv1"][0].data.transpose(0, 2, 3, 1)
    tiles = (filters - filters.min()) / (filters.max() - filters.min())
    assert (tiles.shape, tiles.min(), tiles.max()) == ((6, 3, 3, 3), 0, 1)
    back = transformer.deprocess("data", net.blobs["data"].data[0])
    np.testing.assert_allclose(back, caffe.io.resize_image(image, (9, 11)), atol=1e-6)


def test_net_surgery_turns_the_classifier_into_a_map(folder: Path) -> None:
    net = caffe.Net(str(folder / "deploy.prototxt"), str(folder / "w.caffemodel"), caffe.TEST)
    params = ["fc2"]
    fc_params = {pr: (net.params[pr][0].data, net.params[pr][1].data) for pr in params}
    net_full_conv = caffe.Net(
        str(folder / "conv.prototxt"), str(folder / "w.caffemodel"), caffe.TEST
    )
    params_full_conv = ["fc2-conv"]
    conv_params = {
        pr: (net_full_conv.params[pr][0].data, net_full_conv.params[pr][1].data)
        for pr in params_full_conv
    }
    for pr, pr_conv in zip(params, params_full_conv, strict=True):
        conv_params[pr_conv][0].flat = fc_params[pr][0].flat  # type: ignore[misc]
        conv_params[pr_conv][1][...] = fc_params[pr][1]
    net_full_conv.save(str(folder / "full_conv.caffemodel"))

    again = caffe.Net(
        str(folder / "conv.prototxt"), str(folder / "full_conv.caffemodel"), caffe.TEST
    )
    x = np.random.default_rng(2).normal(0, 60, (1, 3, 13, 13)).astype(np.float32)
    again.blobs["data"].reshape(*x.shape)
    heat = again.forward_all(data=x)["prob"]

    assert heat.shape == (1, 5, 3, 2)  # a map: the net sees 9 x 11 at steps of 2
    net.blobs["data"].reshape(1, 3, 9, 11)
    for row in range(3):
        for column in range(2):
            window = x[:, :, 2 * row : 2 * row + 9, 2 * column : 2 * column + 11]
            wanted = net.forward(data=window)["prob"][0]
            np.testing.assert_allclose(heat[0, :, row, column], wanted, rtol=1e-4)
