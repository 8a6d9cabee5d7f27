"""Times of layers, and that layers run alone give the gradients of the whole net."""

import io
from pathlib import Path

import pytest
import torch

from alexnet.caffe import timing
from alexnet.caffe.log import log_to
from alexnet.caffe.placement import CPU
from alexnet.text import prototxt
from alexnet.text.graph import TextNet
from tests.caffe.conftest import Make

TWO_READERS = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer {
  name: "first" type: "InnerProduct" bottom: "data" top: "x"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } }
}
layer { name: "relu" type: "ReLU" bottom: "x" top: "x" }
layer { name: "left" type: "Power" bottom: "x" top: "left" power_param { scale: 2 } }
layer { name: "right" type: "TanH" bottom: "x" top: "right" }
layer { name: "sum" type: "Eltwise" bottom: "left" bottom: "right" top: "sum" loss_weight: 3 }
"""


def test_layers_alone_give_the_gradients_of_the_whole() -> None:
    net = TextNet(prototxt.parse(TWO_READERS, "NetParameter"), "TRAIN")
    inputs = {"data": torch.randn(2, 3, generator=torch.Generator().manual_seed(1))}
    times = [timing.LayerTime(record["name"]) for record in net.records]
    calls, gradients = timing._forward(net, inputs, times, CPU)
    timing._backward(net, calls, gradients, times)
    value = net.run(inputs, keep=["x"])
    (whole,) = torch.autograd.grad(value.loss, [value.blobs["x"]])
    relu = next(call for call in calls if times[call.number].name == "relu")
    torch.testing.assert_close(gradients[id(relu.tops[0])], whole)
    named = {each.name: each for each in times}
    assert named["data"].backward_seconds == 0
    assert all(named[name].backward_seconds > 0 for name in ("first", "relu", "left", "sum"))


def test_the_log_has_caffes_lines_for_each_layer_and_the_passes(make: Make) -> None:
    net = make("sgd").net
    log = io.StringIO()
    with log_to(log):
        times = timing.time_net(net, 2)
    lines = [line.split("] ", 1)[-1] for line in log.getvalue().splitlines()]
    for each in times:
        for way in ("forward", "backward"):
            found = [line for line in lines if line.startswith(f"{each.name:>10}\t{way}: ")]
            assert len(found) == 1, (each.name, way)
            assert found[0].endswith(" ms.")
    for start in ("Average Forward pass: ", "Average Backward pass: ", "Total Time: "):
        assert sum(line.startswith(start) for line in lines) == 1
    assert sum(line.startswith("Iteration: ") for line in lines) == 2
    assert lines.index("*** Benchmark begins ***") < lines.index("*** Benchmark ends ***")
    assert lines[-1].startswith("As training runs it, layers in a row as one, float32: ")


def test_a_net_with_inputs_is_timed_on_zeros(tmp_path: Path) -> None:
    net = TextNet(prototxt.parse(TWO_READERS, "NetParameter"), "TEST")
    assert next(each.name for each in timing.time_net(net, 1)) == "data"


def test_a_net_without_a_loss_goes_back_from_its_outputs() -> None:
    text = TWO_READERS.replace(" loss_weight: 3", "")
    net = TextNet(prototxt.parse(text, "NetParameter"), "TEST")
    times = {each.name: each for each in timing.time_net(net, 1)}
    assert all(times[name].backward_seconds > 0 for name in ("first", "relu", "left", "sum"))
    inputs = {"data": torch.zeros(2, 3)}
    found = [p.grad for p in net.parameters()]  # of the last pass of the whole
    net.zero_grad()
    net.run(inputs).blobs["sum"].sum().backward()
    for gradient, parameter in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_no_iteration_at_all_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="iterations is 0; time at least 1"):
        timing.time_net(make("sgd").net, 0)
