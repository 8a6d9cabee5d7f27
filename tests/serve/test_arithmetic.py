"""The arithmetic of a pixel beside the net's own values, for every kind of convolution."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.data.augment import Preprocessing
from alexnet.data.image import decode, fit_square
from alexnet.data.statistics import compute
from alexnet.inspection.subject import Subject
from alexnet.model import create
from alexnet.serve.arithmetic import Pixel, explain
from alexnet.serve.models import Opened, Place, Shelf
from tests.serve.live import CLASSES, jpeg


@pytest.fixture(scope="module")
def opened(runs_folder: Path) -> Opened:
    """Return the model of a run."""
    shelf = Shelf(runs_folder, device=torch.device("cpu"))
    return shelf.open(shelf.find_model(""))


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """Return a picture as the net takes it."""
    return fit_square(decode(jpeg(4)), 72)


KINDS = ("Conv2d", "BatchNorm2d", "ReLU")


def other(net: str, *, side: int) -> Opened:
    """Return a net with random weights, as if it were served."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 256, (4, side, side, 3), generator=generator).to(torch.uint8)
    statistics = compute([batch])
    preprocessing = (
        Preprocessing(statistics, side, side, colours="grey")
        if net == "lenet-5"
        else Preprocessing(statistics, side, side)
    )
    model = create(net, CLASSES, preprocessing, seed=0)
    return Opened(Place(net, Path()), model, model.net, torch.float32, (0, 0))


def own_values(opened: Opened, picture: NDArray[np.uint8], layer: str) -> torch.Tensor:
    """Return what a layer gives for a picture, (C, H, W) or (C,)."""
    x = Subject("", Path(), opened.model).inputs(torch.from_numpy(picture)[None])
    with torch.no_grad():
        return opened.model.net.eval().activations(x, [layer])[layer][0]


def pixels(y: torch.Tensor) -> Iterator[tuple[int, int, int]]:
    """Yield corners and middle of the first and last map."""
    if y.dim() == 1:
        yield from ((unit, 0, 0) for unit in (0, len(y) - 1))
        return
    for unit in (0, len(y) - 1):
        for place in (0, y.shape[1] // 2, y.shape[1] - 1):
            yield unit, place, y.shape[2] - 1 - place


def adds_up(found: dict[str, Any]) -> float:
    """Return the sum of what is written out, after checking each product."""
    total = float(found["bias"]) + float(found["rest"])
    for each in found["parts"]:
        products = np.array(each["inputs"]) * np.array(each["weights"])
        assert each["sum"] == pytest.approx(products.sum(), rel=1e-9, abs=1e-12)
        total += each["sum"]
    assert found["sum"] == pytest.approx(total, rel=1e-9, abs=1e-9)
    return total


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv5", "fc6", "fc7", "fc8"])
def test_the_sum_is_the_nets_own_value_before_and_after_relu(
    opened: Opened, picture: NDArray[np.uint8], layer: str
) -> None:
    before = own_values(opened, picture, layer)
    for unit, row, column in pixels(before):
        found = explain(opened, picture, Pixel(layer, unit, row, column))
        place = (unit, row, column)[: before.dim()]
        value = float(before[place])
        assert adds_up(found) == pytest.approx(value, rel=1e-4, abs=1e-4)
        assert found["convolution"] == layer
        assert found["steps"][0]["value"] == pytest.approx(value, rel=1e-5, abs=1e-6)
        if layer != "fc8":
            assert [each["kind"] for each in found["steps"]][1] == "ReLU"
            assert found["steps"][1]["value"] == pytest.approx(max(value, 0), rel=1e-5, abs=1e-6)
        assert len(found["parts"]) == (3 if layer == "conv1" else min(10, found["channels"]))


def test_windows_are_what_lies_below(opened: Opened, picture: NDArray[np.uint8]) -> None:
    subject = Subject("", Path(), opened.model)
    x = subject.inputs(torch.from_numpy(picture)[None])[0]
    found = explain(opened, picture, Pixel("conv1", 2, 3, 5))
    assert (found["top"], found["left"], found["reads"]) == (12, 20, "input")
    assert found["sees"] == [12, 20, 23, 31]
    for each in found["parts"]:
        expected = x[each["channel"], 12:23, 20:31]
        np.testing.assert_allclose(each["inputs"], expected.numpy(), rtol=1e-6)
    below = own_values(opened, picture, "pool1")
    found = explain(opened, picture, Pixel("conv2", 7, 0, 0))
    weight = opened.model.net.get_submodule("conv2").weight
    assert isinstance(weight, torch.Tensor)
    assert (found["top"], found["reads"], found["channels"]) == (-2, "pool1", weight.shape[1])
    first = len(below) - weight.shape[1]  # the last unit reads the last column
    for each in found["parts"]:
        inputs = np.array(each["inputs"])
        assert (inputs[:2] == 0).all()
        assert (inputs[:, :2] == 0).all()
        np.testing.assert_allclose(inputs[2:, 2:], below[each["channel"], :3, :3], rtol=1e-6)
        own = weight[7, each["channel"] - first].detach()
        np.testing.assert_allclose(each["weights"], own, rtol=1e-6)
    counted = [abs(each["sum"]) for each in found["parts"]]
    assert counted == sorted(counted, reverse=True)


@pytest.mark.parametrize(
    ("net", "side", "layer", "made"),
    [
        ("lenet-5", 32, "c3", "c3"),
        ("googlenet-torchvision", 64, "inception_3a.relu3x3", "inception_3a.conv3x3"),
        ("resnet18", 64, "conv1", "conv1"),
    ],
)
def test_nets_of_other_kinds_add_up_too(net: str, side: int, layer: str, made: str) -> None:
    opened = other(net, side=side)
    picture = fit_square(decode(jpeg(4)), side)
    before = own_values(opened, picture, made)
    found = explain(opened, picture, Pixel(layer, 3, 1, 2))
    assert found["convolution"] == made
    assert adds_up(found) == pytest.approx(float(before[3, 1, 2]), rel=1e-4, abs=1e-5)
    last = own_values(opened, picture, found["layer"])
    assert found["steps"][-1]["value"] == pytest.approx(float(last[3, 1, 2]), rel=1e-5, abs=1e-6)
    kinds = [each["kind"] for each in found["steps"]]
    assert kinds == ([*KINDS] if net != "lenet-5" else ["PartialConvolution", "ScaledTanh"])


@pytest.mark.parametrize(
    ("pixel", "message"),
    [
        (Pixel("cnov1", 0), "no layer is called 'cnov1'"),
        (Pixel("pool1", 0), "outputs of pool1 are not made by one convolution; those that are"),
        (Pixel("conv1", 8), "unit 8 is not in relu1, whose units are 0 to 7"),
        (Pixel("conv1", 0, 15, 2), "row 15, column 2 is outside the maps of relu1, which are 15"),
    ],
)
def test_what_no_convolution_made_is_refused(
    opened: Opened, picture: NDArray[np.uint8], pixel: Pixel, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        explain(opened, picture, pixel)


def test_a_block_names_the_convolutions_in_it() -> None:
    opened = other("resnet18", side=64)
    picture = fit_square(decode(jpeg(4)), 64)
    message = "conv2_1 are not made by one convolution; those in it are conv2_1.conv1, conv2_1"
    with pytest.raises(ValueError, match=message):
        explain(opened, picture, Pixel("conv2_1", 0))
