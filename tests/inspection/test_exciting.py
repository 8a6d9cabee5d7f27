"""Units excited by pictures of a set and by pictures made for them."""

import pytest
import torch
from torch.nn import functional as F

from alexnet.inspection.exciting import Climb, blurred, maximise, strongest
from alexnet.nets import NETS
from alexnet.nets.chain import Chain


def lenet() -> Chain:
    net = NETS["lenet"].build(classes=2, input_size=20)
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def test_the_strongest_pictures_are_those_of_a_plain_search() -> None:
    net, x = lenet(), torch.randn(7, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    values, order = strongest(net, x.split(3), layer="conv1", units=(4, 0), count=3)
    conv1 = net.get_submodule("conv1")
    maps = F.conv2d(x, conv1.get_parameter("weight"), conv1.get_parameter("bias"))
    for row, unit in enumerate((4, 0)):
        found = ((float(m[unit].max()), i) for i, m in enumerate(maps.detach()))
        ranked = sorted(found, reverse=True)[:3]
        assert order[row].tolist() == [i for _, i in ranked]
        assert values[row].tolist() == pytest.approx([v for v, _ in ranked], rel=1e-5)


def test_a_climb_raises_the_unit_and_repeats_itself() -> None:
    for layer, unit in (("ip2", 1), ("conv2", 3)):
        x, path = maximise(
            lenet(),
            (1, 20, 20),
            layer=layer,
            unit=unit,
            climb=Climb(steps=25),
            generator=torch.Generator().manual_seed(0),
        )
        again, _ = maximise(
            lenet(),
            (1, 20, 20),
            layer=layer,
            unit=unit,
            climb=Climb(steps=25),
            generator=torch.Generator().manual_seed(0),
        )
        assert path[-1] > path[0]
        assert len(path) == 26
        assert torch.equal(x, again)


def test_one_step_is_the_gradient_by_finite_differences() -> None:
    net, climb = lenet().double(), Climb(steps=1, blur=0, jitter=0, decay=0.1, length=0.5)
    torch.set_default_dtype(torch.float64)
    try:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)) * climb.start
        found, _ = maximise(net, (1, 20, 20), layer="ip2", unit=0, climb=climb, generator=generator)
        steps = torch.eye(400).view(400, 1, 20, 20) * 1e-6
        with torch.no_grad():
            gradient = ((net(x + steps) - net(x - steps))[:, 0] / 2e-6).view(20, 20)
    finally:
        torch.set_default_dtype(torch.float32)
    wanted = 0.9 * (x[0, 0] + 0.5 * gradient / gradient.square().mean().sqrt())
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_blur_keeps_the_sum_of_a_dot_and_its_symmetry() -> None:
    x = torch.zeros(1, 2, 15, 15)
    x[:, :, 7, 7] = 1
    y = blurred(x, 1.0)
    assert float(y[0, 1].sum()) == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(y, y.transpose(2, 3))
    assert float(y[0, 0, 7, 8] / y[0, 0, 7, 7]) == pytest.approx(2.718281828**-0.5, rel=1e-5)


def test_units_and_pictures_that_are_not_there_are_refused() -> None:
    net = lenet()
    with pytest.raises(ValueError, match="there is no picture to excite conv1"):
        strongest(net, (), layer="conv1")
    with pytest.raises(ValueError, match="unit 20 is not in conv1, whose units are 0 to 19"):
        strongest(net, (torch.zeros(1, 1, 20, 20),), layer="conv1", units=(20,))
    with pytest.raises(ValueError, match="unit 2 is not in ip2, whose units are 0 to 1"):
        maximise(net, (1, 20, 20), layer="ip2", unit=2, generator=torch.Generator())


def test_a_climb_in_grey_levels_makes_the_picture_of_one_in_deviations() -> None:
    net, in_levels = lenet(), lenet()
    in_levels.load_state_dict(net.state_dict())
    with torch.no_grad():
        in_levels.get_parameter("conv1.weight").div_(64)
    found = [
        maximise(
            each,
            (1, 20, 20),
            layer="ip2",
            unit=1,
            climb=Climb(steps=5).scaled(divide_by, 20),
            generator=torch.Generator().manual_seed(3),
        )[0]
        for each, divide_by in ((net, 64.0), (in_levels, 1.0))
    ]
    torch.testing.assert_close(found[1] / 64, found[0])
    assert Climb().scaled(64, 227) == Climb()
    assert Climb().scaled(64, 32).jitter == 2
