"""The gray square against one that is moved by hand."""

import pytest
import torch

from alexnet.inspection.occlusion import occlude, occlude_unit, places, spread
from alexnet.nets import NETS


def test_each_place_is_what_a_net_says_of_the_picture_covered_there() -> None:
    net = NETS["lenet"].build(classes=2, input_size=20)
    net.init_weights(torch.Generator().manual_seed(0))
    net.eval()
    x = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    found = occlude(net, x, target=1, side=6, stride=5, gray=0.5)
    assert places(20, side=6, stride=5) == [0, 5, 10, 14]
    for row, top in enumerate((0, 5, 10, 14)):
        for column, left in enumerate((0, 5, 10, 14)):
            covered = x.clone()
            for i in range(top, top + 6):
                for j in range(left, left + 6):
                    covered[0, 0, i, j] = 0.5
            wanted = net(covered).softmax(1)[0, 1]
            torch.testing.assert_close(found[row, column], wanted, rtol=1e-5, atol=1e-6)


def test_a_unit_is_watched_under_the_square_too() -> None:
    net = NETS["lenet"].build(classes=2, input_size=20)
    net.init_weights(torch.Generator().manual_seed(0))
    net.eval()
    x = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    for layer, unit in (("conv2", 7), ("ip1", 3)):
        found = occlude_unit(net, x, of=(layer, unit), side=6, stride=7)
        for row, top in enumerate((0, 7, 14)):
            for column, left in enumerate((0, 7, 14)):
                covered = x.clone()
                covered[0, 0, top : top + 6, left : left + 6] = 0
                wanted = net.activations(covered, [layer])[layer][0, unit].max()
                torch.testing.assert_close(found[row, column], wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="unit 99 is not in conv2"):
        occlude_unit(net, x, of=("conv2", 99), side=6, stride=7)


def test_a_pixel_has_the_mean_of_the_squares_over_it() -> None:
    p = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    found = spread(p, size=(3, 3), side=2, stride=1)
    wanted = torch.tensor([[1.0, 1.5, 2.0], [2.0, 3.0, 4.0], [3.0, 4.5, 6.0]])
    torch.testing.assert_close(found, wanted)


def test_squares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="side is 9 pixels; it must be from 1 to the picture's 8"):
        places(8, side=9, stride=1)
    with pytest.raises(ValueError, match="stride is 0 pixels; it must be at least 1"):
        places(8, side=2, stride=0)
