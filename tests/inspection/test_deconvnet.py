"""Deconvnet against transposed convolution, unpooling with switches, and rectification by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from alexnet.inspection.deconvnet import project
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from tests.conftest import TINY


class Stack(Chain):
    """Two convolutions of two groups with ReLU and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.input_size = 2, 11
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2)
        self.relu1 = nn.ReLU(inplace=True)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 4, 2, groups=2)


def seeded() -> tuple[Stack, torch.Tensor]:
    torch.manual_seed(0)
    return Stack(), torch.randn(1, 3, 11, 11)


def test_one_convolution_goes_back_by_its_transpose() -> None:
    net, x = seeded()
    found = project(net, x, layer="conv1", unit=2)
    y = net.conv1(x).detach()
    largest = y[0, 2].max()
    only = torch.where(y == largest, y, torch.zeros(()))
    wanted = F.conv_transpose2d(only, net.conv1.weight, stride=2)
    torch.testing.assert_close(found.picture, wanted[0])
    assert found.value == pytest.approx(float(largest))
    row, column = found.place
    assert found.window == (2 * row, 2 * column, 2 * row + 3, 2 * column + 3)


def test_a_stack_unpools_by_switches_and_rectifies_on_the_way_back() -> None:
    net, x = seeded()
    maps = net.conv1(x).relu()
    pooled, switches = F.max_pool2d(maps, 2, return_indices=True)
    y = net.conv2(pooled)
    only = torch.zeros_like(y)
    only[0, 1].view(-1)[y[0, 1].argmax()] = y[0, 1].max()
    back = F.conv_transpose2d(only, net.conv2.weight, groups=2)
    back = F.max_unpool2d(back, switches, [2, 2], output_size=[5, 5]).relu()
    wanted = F.conv_transpose2d(back, net.conv1.weight, stride=2)
    found = project(net, x, layer="conv2", unit=1)
    torch.testing.assert_close(found.picture, wanted[0])
    assert bool(found.picture.any())


def test_units_of_fully_connected_layers_go_back_too() -> None:
    net = TINY.build(classes=3)
    net.init_weights(torch.Generator().manual_seed(0))
    found = project(net, torch.randn(1, 3, 67, 67), layer="fc8", unit=1)
    assert found.place == ()
    assert found.window == (0, 0, 67, 67)


def test_what_has_no_deconvnet_is_refused() -> None:
    net, x = seeded()
    with pytest.raises(ValueError, match="unit 4 is not in conv1, whose units are 0 to 3"):
        project(net, x, layer="conv1", unit=4)
    lenet = NETS["lenet-5"].build(classes=10)
    with pytest.raises(ValueError, match="squash1 is a ScaledTanh; it is made for chains"):
        project(lenet, torch.zeros(1, 1, 32, 32), layer="c3", unit=0)
    with torch.device("meta"):
        resnet = NETS["resnet18"].build(classes=2)
    with pytest.raises(ValueError, match="conv2_1 is a Residual"):
        project(resnet, torch.zeros(1, 3, 64, 64), layer="conv3_1", unit=0)
