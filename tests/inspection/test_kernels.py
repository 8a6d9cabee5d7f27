"""Colourfulness and specialisation on kernels whose colours are known."""

import pytest
import torch

from alexnet.inspection.kernels import (
    RANDOM_COLOURFULNESS,
    colourfulness,
    first_kernels,
    specialisation,
)
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from tests.conftest import TINY


def test_gray_kernels_have_no_colour_and_opposed_colours_no_gray() -> None:
    gray = torch.randn(1, 1, 3, 3).expand(1, 3, 3, 3)
    opposed = torch.stack([torch.ones(3, 3), -torch.ones(3, 3), torch.zeros(3, 3)])[None]
    red = torch.stack([torch.ones(3, 3), torch.zeros(3, 3), torch.zeros(3, 3)])[None]
    kernels = torch.cat([gray, opposed, red, torch.zeros(1, 3, 3, 3)])
    wanted = torch.tensor([0, 1, 2 / 3, 0])  # red: gray part 1/3 in each colour, 3 / 9 of energy
    torch.testing.assert_close(colourfulness(kernels), wanted, rtol=0, atol=1e-6)


def test_random_kernels_are_as_colourful_as_said() -> None:
    kernels = torch.randn(400, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    assert float(colourfulness(kernels).mean()) == pytest.approx(RANDOM_COLOURFULNESS, abs=0.005)


def test_columns_that_are_apart_are_wholly_in_order() -> None:
    gray = torch.randn(4, 1, 3, 3).expand(4, 3, 3, 3)
    colour = torch.randn(4, 3, 3, 3)
    colour -= colour.mean(1, keepdim=True)
    found = specialisation(torch.cat([gray, colour]), 2)
    assert found.colourfulness == pytest.approx((0, 1), abs=1e-5)
    assert found.difference == pytest.approx(1, abs=1e-5)
    assert found.ordered == 1
    assert specialisation(torch.cat([gray, gray]), 2).ordered == 0.5
    with pytest.raises(ValueError, match="8 kernels do not fall into 3 columns"):
        specialisation(torch.cat([gray, colour]), 3)


def test_columns_drawn_by_lot_pass_for_specialised_once_in_twenty() -> None:
    generator = torch.Generator().manual_seed(3)
    found = [
        specialisation(torch.randn(48, 3, 3, 3, generator=generator), 2).specialised
        for _ in range(400)
    ]
    assert sum(found) == pytest.approx(20, abs=13)  # 3 deviations of a binomial
    three = specialisation(torch.randn(48, 3, 3, 3, generator=generator), 3)
    assert three.by_chance > 0.5 + 2.3 * (33 / (12 * 256)) ** 0.5  # of three pairs, z is 2.39


def test_columns_are_the_groups_of_the_second_convolution() -> None:
    net = TINY.build(classes=2)
    name, kernels, columns = first_kernels(net)
    assert (name, columns) == ("conv1", 2)
    assert torch.equal(kernels, net.get_submodule("conv1").get_parameter("weight"))
    assert first_kernels(NETS["lenet-5"].build(classes=10))[2] == 1


def test_a_net_without_convolutions_is_refused() -> None:
    class Flat(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(2, 2)

    with pytest.raises(ValueError, match="no convolution, and so no kernels to look at"):
        first_kernels(Flat())
