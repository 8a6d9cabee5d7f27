"""Inside the net: the numbers beside `alexnet.inspection`, the pictures by what they show."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from alexnet.data.image import decode, fit_square
from alexnet.inspection.deconvnet import project
from alexnet.inspection.grad_cam import grad_cam
from alexnet.inspection.panels import in_rgb, signed
from alexnet.inspection.subject import Subject
from alexnet.serve.looking import Asked, kernels, layers_of, look, outline_of
from alexnet.serve.models import Opened, Shelf
from tests.serve.live import jpeg


@pytest.fixture(scope="module")
def opened(runs_folder: Path) -> Opened:
    """Return the model of a run."""
    shelf = Shelf(runs_folder, device=torch.device("cpu"))
    return shelf.open(shelf.find_model(""))


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """Return a picture as the net takes it."""
    return fit_square(decode(jpeg(4)), 72)


def drawn(opened: Opened, picture: NDArray[np.uint8], kind: str, asked: Asked) -> NDArray[np.uint8]:
    """Return the pixels of a PNG."""
    found = look(opened, picture, kind, asked)
    assert isinstance(found, bytes)
    return np.asarray(Image.open(io.BytesIO(found)))


def told(opened: Opened, picture: NDArray[np.uint8], kind: str, asked: Asked) -> dict[str, Any]:
    """Return numbers."""
    found = look(opened, picture, kind, asked)
    assert isinstance(found, dict)
    return found


def subject_of(opened: Opened) -> Subject:
    return Subject("", Path(), opened.model)


def test_the_values_of_a_map_are_the_nets(opened: Opened, picture: NDArray[np.uint8]) -> None:
    x = subject_of(opened).inputs(torch.from_numpy(picture)[None])
    with torch.no_grad():
        maps = opened.model.net.activations(x, ["relu1"])["relu1"][0]
    found = told(opened, picture, "values", Asked("conv1", 3))
    np.testing.assert_allclose(found["values"], maps[3].numpy(), rtol=1e-5, atol=1e-5)
    summed = told(opened, picture, "statistics", Asked("conv1"))
    assert summed["shape"] == list(maps.shape)
    assert summed["largest"] == pytest.approx(maps.amax((1, 2)).tolist(), rel=1e-5)
    assert summed["mean"] == pytest.approx(maps.mean((1, 2)).tolist(), rel=1e-4, abs=1e-5)
    assert summed["share_zero"] == pytest.approx(float((maps == 0).float().mean()))
    assert summed["share_above_zero"] == pytest.approx(float((maps > 0).float().mean()))


def test_units_without_maps_have_statistics_too(opened: Opened, picture: NDArray[np.uint8]) -> None:
    found = told(opened, picture, "statistics", Asked("fc8"))
    p = opened.answer([picture])[0]
    assert found["shape"] == [3]
    logits = torch.tensor(found["largest"])
    torch.testing.assert_close(logits.softmax(0), p, rtol=0, atol=1e-5)


def test_one_map_is_drawn_gray_in_proportion(opened: Opened, picture: NDArray[np.uint8]) -> None:
    values = np.array(told(opened, picture, "values", Asked("conv1", 3))["values"])
    pixels = drawn(opened, picture, "activations", Asked("conv1", 3))
    times = pixels.shape[0] // len(values)
    gray = pixels[::times, ::times, 0].astype(float)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    assert abs(gray - 255 * values / values.max()).max() <= 0.51


def test_all_maps_stand_on_one_sheet(opened: Opened, picture: NDArray[np.uint8]) -> None:
    pixels = drawn(opened, picture, "activations", Asked("conv1"))
    side = len(np.array(told(opened, picture, "values", Asked("conv1", 0))["values"]))
    times = 512 // (3 * (side + 1) - 1)  # eight maps in three rows of three
    assert pixels.shape[:2] == (times * (3 * (side + 1) - 1), times * (3 * (side + 1) - 1))
    assert (pixels[-times:, -times:] == 255).all()  # the ninth place is empty


def test_grad_cam_is_brightest_where_it_is_largest(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    x = subject_of(opened).inputs(torch.from_numpy(picture)[None])
    first = int(opened.answer([picture])[0].argmax())
    for target in (-1, 0, 1, 2):
        found = grad_cam(opened.model.net, x, target=first if target < 0 else target)
        pixels = drawn(opened, picture, "grad-cam", Asked("", -1, target)).astype(float)
        assert pixels.shape == (67, 67, 3)
        if not float(found.max()):
            continue
        yellow = pixels[..., 1] - pixels[..., 2]  # the last of the five colours
        row, column = np.unravel_index(int(yellow.argmax()), yellow.shape)
        scale = 67 / found.shape[1]
        best = divmod(int(found[0].argmax()), found.shape[2])
        assert abs(row / scale - 0.5 - best[0]) < 1
        assert abs(column / scale - 0.5 - best[1]) < 1


def test_occlusion_is_drawn_over_the_picture(opened: Opened, picture: NDArray[np.uint8]) -> None:
    pixels = drawn(opened, picture, "occlusion", Asked(target=1))
    assert pixels.shape == (67, 67, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


def test_occlusion_of_a_unit_is_yellow_where_its_map_is_lost(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    values = np.array(told(opened, picture, "values", Asked("conv1", 3))["values"])
    row, column = np.unravel_index(values.argmax(), values.shape)
    pixels = drawn(opened, picture, "occlusion", Asked("conv1", 3)).astype(float)
    yellow = pixels[..., 1] - pixels[..., 2]
    assert yellow[4 * row + 5, 4 * column + 5] == pytest.approx(yellow.max(), abs=25)
    assert yellow.min() < yellow.max() - 50


def test_the_picture_is_shown_as_the_net_sees_it(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    assert np.array_equal(drawn(opened, picture, "picture", Asked()), picture[2:69, 2:69])


def test_deconvnet_is_that_of_the_unit_or_of_the_strongest(
    opened: Opened, picture: NDArray[np.uint8]
) -> None:
    x = subject_of(opened).inputs(torch.from_numpy(picture)[None])
    largest = told(opened, picture, "statistics", Asked("conv3"))["largest"]
    strongest = int(np.argmax(largest))
    for unit in (-1, 2):
        asked = strongest if unit < 0 else unit
        found = project(opened.model.net, x, layer="relu3", unit=asked)
        expected = signed(in_rgb(found.picture, opened.preprocessing))
        assert np.array_equal(drawn(opened, picture, "deconvnet", Asked("conv3", unit)), expected)


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("activations", Asked("cnov1"), "no layer is called 'cnov1'"),
        ("activations", Asked("fc7"), "gives no maps; those that do are conv1"),
        ("activations", Asked("conv1", 8), "unit 8 is not there; the layer's are 0 to 7"),
        ("values", Asked("conv1"), "unit -1 is not there"),
        ("deconvnet", Asked("conv1", 99), "unit 99 is not in relu1, whose units are 0 to 7"),
        ("grad-cam", Asked(target=3), "class number 3 is not among the 3 of the net"),
    ],
)
def test_what_is_not_in_the_net_is_refused(
    opened: Opened, picture: NDArray[np.uint8], kind: str, asked: Asked, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        look(opened, picture, kind, asked)


def test_kernels_stand_on_a_sheet_in_their_colours(opened: Opened) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(kernels(opened))))
    weight = opened.model.net.get_submodule("conv1").weight
    assert isinstance(weight, torch.Tensor)
    first = signed(weight[0])
    columns = -(-8 // 6)  # two columns of the net, three rows each
    times = 512 // (4 * 12 - 1)
    assert pixels.shape == (times * (4 * 12 - 1), times * (columns * 12 - 1), 3)
    assert np.array_equal(pixels[: 11 * times : times, : 11 * times : times], first)


def test_layers_have_the_shapes_of_what_they_give(opened: Opened) -> None:
    found = {each["name"]: each for each in layers_of(opened)}
    assert found["conv1"]["kind"] == "Conv2d"
    assert found["conv1"]["shape"][0] == 8
    assert found["conv2"]["groups"] == 2
    assert (found["conv1"]["kernel"], found["conv1"]["stride"]) == (11, 4)
    assert (found["pool1"]["kernel"], found["pool1"]["stride"]) == (3, 2)
    assert (found["fc8"]["kernel"], found["fc8"]["stride"]) == (None, None)
    assert outline_of(opened) == {"input": [3, 67, 67], "columns": 2, "branches": False}
    assert found["fc8"]["shape"] == [3]
    assert found["fc8"]["parameters"] == 3 * 32 + 3
    total = sum(p.numel() for p in opened.model.net.parameters())
    assert sum(each["parameters"] for each in found.values()) == total
    assert not found["conv1"]["in_figure"]  # its ReLU shows the same, cut off
    assert found["relu1"]["in_figure"]
