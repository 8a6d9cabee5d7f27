"""The calls of a net's layers beside its own activations and figures."""

import torch

from alexnet.inspection.summary import layer_figures
from alexnet.nets import NETS
from alexnet.serve.calls import calls_of, span


def test_calls_hold_what_each_layer_reads_and_gives() -> None:
    net = NETS["lenet"].build(classes=3, input_size=20)
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    found = calls_of(net, x)
    for name in ("conv1", "ip1", "relu1", "ip2"):
        own = net.eval().activations(x, [name])[name]
        torch.testing.assert_close(found[name].y, own, rtol=1e-5, atol=1e-6)
    assert found["conv1"].reads == "input"
    assert found["pool1"].reads == "conv1"
    assert torch.equal(found["conv1"].x, x)
    for each in found.values():
        if each.reads not in ("", "input"):
            assert each.reads in found


def test_what_outputs_see_is_what_the_figures_say() -> None:
    for name, side in (("googlenet", 64), ("alexnet", 67)):
        with torch.device("meta"):
            net = NETS[name].build(classes=3, input_size=side)
            found = calls_of(net, torch.empty(1, 3, side, side))
            figures = layer_figures(net, torch.empty(1, 3, side, side))
        widths = {each.name: each.receptive_field for each in figures}
        assert {each: found[each].reach.width for each in found} == widths


def test_a_span_ends_with_the_picture() -> None:
    with torch.device("meta"):
        net = NETS["alexnet"].build(classes=3, input_size=67)
        found = calls_of(net, torch.empty(1, 3, 67, 67))
    assert span(found["conv1"].reach, 2, 67) == (8, 19)
    assert span(found["conv2"].reach, 0, 67) == (0, 35)  # 51 pixels wide, from pixel -16 on
