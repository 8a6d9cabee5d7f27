"""Transformer, load_image, resize_image and oversample as pycaffe's scripts expect them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from alexnet.caffe.pictures import Transformer, load_image, oversample, resize_image

Array = NDArray[np.float32]


def draw(*shape: int) -> Array:
    return np.random.default_rng(0).random(shape, np.float32)


def caffenet_transformer() -> Transformer:
    """Return the transformer of the classification notebook, for an input of 6 x 5."""
    transformer = Transformer({"data": (2, 3, 6, 5)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.array([104.0, 117.0, 123.0]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    return transformer


def test_preprocessing_follows_the_order_of_the_original() -> None:
    picture = draw(6, 5, 3)
    transformer = caffenet_transformer()
    transformer.set_input_scale("data", 0.5)
    blob = transformer.preprocess("data", picture)
    for channel, mean in enumerate((104.0, 117.0, 123.0)):
        wanted = 0.5 * (255 * picture[:, :, 2 - channel] - mean)
        np.testing.assert_allclose(blob[channel], wanted, rtol=1e-5, atol=1e-4)


def test_deprocessing_gives_the_picture_back() -> None:
    picture = draw(6, 5, 3)
    transformer = caffenet_transformer()
    transformer.set_input_scale("data", 2.0)
    back = transformer.deprocess("data", transformer.preprocess("data", picture)[None])
    np.testing.assert_allclose(back, picture, atol=1e-6)


def test_another_size_is_resized_first() -> None:
    picture = draw(12, 10, 3)
    transformer = caffenet_transformer()
    blob = transformer.preprocess("data", picture)
    wanted = transformer.preprocess("data", resize_image(picture, (6, 5)))
    np.testing.assert_array_equal(blob, wanted)


def test_a_mean_picture_is_resized_to_the_input() -> None:
    transformer = Transformer({"data": (1, 1, 2, 2)})
    transformer.set_mean("data", np.array([[[0, 2, 4, 6]] * 4], np.float32))
    # bilinear at half-pixel centres: 0.5, 2.5 in columns of 0, 2, 4, 6
    np.testing.assert_allclose(transformer.mean["data"], [[[1.0, 5.0]] * 2])


def test_halving_bilinearly_averages_pairs_and_nearest_takes_one() -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    halves = resize_image(picture, (2, 2))[:, :, 0]
    np.testing.assert_allclose(halves, [[2.5, 4.5], [10.5, 12.5]])
    nearest = resize_image(picture, (2, 2), interp_order=0)[:, :, 0]
    assert set(nearest.ravel()) <= set(picture.ravel())


def test_more_channels_than_colours_are_resized_too() -> None:
    picture = draw(4, 6, 7)
    one = np.concatenate([resize_image(picture[:, :, i : i + 1], (3, 5)) for i in range(7)], 2)
    np.testing.assert_allclose(resize_image(picture, (3, 5)), one, atol=1e-6)


def test_oversampling_cuts_corners_and_centre_then_mirrors() -> None:
    pictures = [draw(6, 8, 2), draw(6, 8, 2) + 1]
    crops = oversample(pictures, (4, 5))
    assert crops.shape == (20, 4, 5, 2)
    corners = [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]
    for picture, block in zip(pictures, (crops[:10], crops[10:]), strict=True):
        for (top, left), crop, mirrored in zip(corners, block[:5], block[5:], strict=True):
            np.testing.assert_array_equal(crop, picture[top : top + 4, left : left + 5])
            np.testing.assert_array_equal(mirrored, crop[:, ::-1])


def test_a_picture_is_loaded_as_shares_of_white(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    np.testing.assert_allclose(load_image(str(path)), pixels / 255, atol=1e-6)
    grey = load_image(str(path), color=False)
    assert grey.shape == (5, 7, 1)
    wanted = pixels @ [0.2125, 0.7154, 0.0721] / 255
    np.testing.assert_allclose(grey[:, :, 0], wanted, atol=1e-6)


def test_what_does_not_fit_an_input_is_refused() -> None:
    transformer = Transformer({"data": (1, 3, 4, 4)})
    with pytest.raises(ValueError, match=r"no input is called 'dat', did you mean 'data'|'data'"):
        transformer.set_raw_scale("dat", 1)
    with pytest.raises(ValueError, match=r"transpose is \(0, 1\); give the axes 0 to 2"):
        transformer.set_transpose("data", (0, 1))
    with pytest.raises(ValueError, match=r"channel_swap names 2 channels; input 'data' has 3"):
        transformer.set_channel_swap("data", (1, 0))
    with pytest.raises(ValueError, match=r"the mean has 2 values; input 'data' has 3 channels"):
        transformer.set_mean("data", np.zeros(2))
    with pytest.raises(ValueError, match=r"the mean has the shape \(1, 4, 4\).*\(3, 4, 4\)"):
        transformer.set_mean("data", np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"interp_order is 3; 0 is nearest, 1 is bilinear"):
        resize_image(np.zeros((2, 2, 1)), (1, 1), interp_order=3)
