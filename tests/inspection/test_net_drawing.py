"""The boxes of figure 2, from the nets themselves."""

from io import BytesIO

import pytest
import torch

from alexnet.inspection.net_drawing import boxes, draw_net
from alexnet.nets import NETS


def test_alexnet_has_the_sizes_and_columns_of_the_paper() -> None:
    with torch.device("meta"):
        net, x = NETS["alexnet"].build(), torch.empty(1, 3, 227, 227)
    found, columns = boxes(net, x)
    assert columns == 2
    assert [box.shape for box in found] == [
        *((3, 227, 227), (96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13)),
        *((256, 13, 13), (4096,), (4096,), (1000,)),
    ]
    assert [box.name for box in found if box.crossing and box.name[:4] == "conv"] == [
        "conv1",
        "conv3",
    ]
    assert (found[1].kernel, found[1].below) == ("11 x 11, stride 4", "max pool to 27")


def test_blocks_of_one_shape_are_drawn_once() -> None:
    with torch.device("meta"):
        net, x = NETS["resnet34"].build(classes=2), torch.empty(1, 3, 224, 224)
    found, columns = boxes(net, x)
    assert columns == 1
    assert [box.repeated for box in found] == [1, 1, 3, 4, 6, 3, 1]
    assert found[4].name == "conv4_1 to conv4_6"


def test_no_two_texts_of_a_drawing_lie_on_each_other() -> None:
    pytest.importorskip("matplotlib")

    for name in ("alexnet", "googlenet", "lenet-5"):
        with torch.device("meta"):
            known = NETS[name]
            net = known.build(classes=10)
            x = torch.empty(1, known.channels, net.input_size, net.input_size)
        figure = draw_net(net, x, name)
        figure.savefig(BytesIO())  # which lays the texts out
        spans = [t.get_window_extent() for axes in figure.axes for t in axes.texts if t.get_text()]
        assert len(spans) > 5
        assert not [a for n, a in enumerate(spans) for b in spans[:n] if a.overlaps(b)], name
