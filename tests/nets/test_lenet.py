"""LeNet against its definitions in numpy; its figures, codes, loss and initial weights."""

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.inspection.summary import summarise
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.nets import NETS, find
from alexnet.nets.chain import Chain
from alexnet.nets.lenet import DIGITS, TABLE_I, codes
from alexnet.training.step import gradients
from tests.oracles import lenet as oracle


def build(name: str, *, classes: int = 10, input_size: int | None = None) -> Chain:
    """Return a net in float64, in evaluation, whose squashes are not flat."""
    net = find(name).build(classes=classes, input_size=input_size).double().eval()
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def pixels(size: int, *, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, size, size, generator=generator, dtype=torch.float64)


def values_of(net: nn.Module) -> oracle.Values:
    return {name: value.numpy() for name, value in net.state_dict().items()}


# ---- Against the definitions --------------------------------------------------------------------


def test_every_layer_of_lenet_5_equals_the_definition_in_numpy() -> None:
    net, x = build("lenet-5"), pixels(32)
    expected = oracle.lenet_5(x.numpy(), values_of(net))
    seen = net.activations(x, list(expected))
    for name, value in expected.items():
        # float64 sums of at most 400 terms in another order
        np.testing.assert_allclose(seen[name].detach().numpy(), value, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(net(x).detach().numpy(), expected["output"], rtol=1e-10)


@pytest.mark.parametrize("size", [13, 28, 31])
def test_every_layer_of_lenet_equals_caffes_file_in_numpy(size: int) -> None:
    net, x = build("lenet", input_size=size), pixels(size)
    expected = oracle.lenet(x.numpy(), values_of(net))
    seen = net.activations(x, list(expected))
    for name, value in expected.items():
        np.testing.assert_allclose(seen[name].detach().numpy(), value, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(net(x).detach().numpy(), expected["ip2"], rtol=1e-10, atol=1e-10)


def test_training_minimises_equation_9() -> None:
    net, x = build("lenet-5"), pixels(32, count=4)
    labels = torch.tensor([3, 0, 9, 3])
    distances = oracle.lenet_5(x.numpy(), values_of(net))["output"] * -1
    penalty = NETS["lenet-5"].build().get_submodule("output").penalty
    assert isinstance(penalty, float)
    loss = gradients(net.train(), x, labels, parts=2)
    expected = oracle.equation_9(distances, labels.numpy(), penalty)
    assert float(loss) == pytest.approx(expected, rel=1e-6)  # summed in float32
    gradient = net.get_parameter("c3.weight").grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0


def test_a_net_at_work_in_bfloat16_measures_distances_in_float32() -> None:
    net = build("lenet-5").float()
    x = pixels(32).float()
    rounded = net(x.bfloat16().float())
    for layer in net.children():
        if next(layer.parameters(), None) is not None:
            layer.bfloat16()
    found = net(x.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, rounded, rtol=0.05, atol=0.05)  # 8 bits in each layer


# ---- Figures ------------------------------------------------------------------------------------


def test_lenet_5_has_the_papers_parameters_layer_by_layer() -> None:
    rows = {row.name: row for row in summarise("lenet-5").layers}
    counts = [rows[name].parameters for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output")]
    assert counts == [156, 12, 1_516, 32, 48_120, 10_164, 0]
    assert sum(counts) == 60_000
    assert rows["c5"].output == (120, 1, 1)
    assert summarise("lenet-5").check == "equal to the published parameters"


def test_lenet_5_has_the_papers_340_908_connections() -> None:
    rows = {row.name: row for row in summarise("lenet-5").layers}
    connections = {
        name: row.multiply_adds + row.neurons  # and a bias each
        for name, row in rows.items()
        if name in ("c1", "c3", "c5", "f6")
    }
    for name in ("s2", "s4"):  # four inputs and a bias each
        connections[name] = 5 * rows[name].neurons
    assert connections == {
        "c1": 122_304,
        "s2": 5_880,
        "c3": 151_600,
        "s4": 2_000,
        "c5": 48_120,
        "f6": 10_164,
    }
    assert sum(connections.values()) + rows["output"].multiply_adds == 340_908


def test_lenet_has_caffes_figures() -> None:
    summary = summarise("lenet")
    totals = summary.totals["parameters"], summary.totals["multiply_adds"]
    assert totals == (431_080, 2_293_000)
    assert summary.check == "equal to the published parameters and multiply-adds"
    assert (summary.channels, summary.input_size, summary.classes) == (1, 28, 10)


# ---- Codes and connections ----------------------------------------------------------------------


def test_table_1_is_the_papers() -> None:
    rows = oracle.TABLE_I.split()
    for kernel, inputs in enumerate(TABLE_I):
        assert [c for c in range(6) if rows[c][kernel] == "X"] == list(inputs)
    assert sum(map(len, TABLE_I)) == 60


def test_the_codes_of_ten_classes_are_the_pictures_of_the_digits() -> None:
    found = codes(10)
    assert found.shape == (10, 84)
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    one = found[1].reshape(12, 7)
    drawn = [line.split()[1] for line in DIGITS.split("\n") if line]
    assert ["".join("#" if dot > 0 else "." for dot in row) for row in one.tolist()] == drawn
    apart = (found[:, None] != found).sum(2) + 84 * torch.eye(10)
    assert int(apart.min()) == 10  # 6 and 8; the paper wants them similar, but not the same


def test_other_numbers_of_classes_have_random_codes_always_the_same() -> None:
    found = codes(200)
    assert torch.equal(found, codes(200))
    assert set(found.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(found.mean())) < 5 / math.sqrt(found.numel())
    apart = (found[:, None] != found).sum(2) + 84 * torch.eye(200)
    assert int(apart.min()) > 84 / 2 - 6 * math.sqrt(84) / 2  # 19,900 pairs of fair coins
    with torch.device("meta"):
        assert NETS["lenet-5"].build(classes=7).get_buffer("output.codes").is_meta


def test_codes_are_no_parameters_and_are_stored_with_the_weights() -> None:
    net = build("lenet-5", classes=3)
    assert torch.equal(net.state_dict()["output.codes"], codes(3).double())
    assert "output.codes" not in dict(net.named_parameters())


# ---- Initial weights ----------------------------------------------------------------------------


def test_lenet_5_draws_uniform_weights_within_2_4_over_the_inputs_of_a_unit() -> None:
    net = find("lenet-5").build()
    net.init_weights(torch.Generator().manual_seed(3))
    bounds = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for name, inputs in bounds.items():
        bound = 2.4 / inputs
        weight = net.get_parameter(f"{name}.weight").detach()
        assert float(weight.abs().max()) <= bound
        assert float(net.get_parameter(f"{name}.bias").detach().abs().max()) <= bound
        if weight.numel() > 100:  # five standard errors of a uniform deviation
            deviation = float(weight.std()) / (bound / 3**0.5)
            assert deviation == pytest.approx(1, abs=5 * 0.45 / weight.numel() ** 0.5)
    c3 = net.get_submodule("c3")
    assert isinstance(c3, PartialConvolution)
    first = 0
    for kernel, inputs_of_map in enumerate(c3.table):
        bound = 2.4 / (25 * len(inputs_of_map))
        own = c3.weight[first : first + len(inputs_of_map)].detach()
        first += len(inputs_of_map)
        assert 0.9 * bound < float(own.abs().max()) <= bound
        assert float(c3.bias[kernel].detach().abs()) <= bound


def test_lenet_draws_xavier_weights_and_no_biases() -> None:
    net = find("lenet").build()
    net.init_weights(torch.Generator().manual_seed(3))
    for name, inputs in {"conv1": 25, "conv2": 500, "ip1": 800, "ip2": 500}.items():
        bound, weight = (3 / inputs) ** 0.5, net.get_parameter(f"{name}.weight").detach()
        assert 0.95 * bound < float(weight.abs().max()) <= bound
        assert not net.get_parameter(f"{name}.bias").any()


# ---- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "lenet-5",
            28,
            "input size is 28; the maps of C5 are one pixel wide only if it is 32: use",
        ),
        (
            "lenet",
            12,
            "input size 12 leaves no pixel at conv2; the smallest size of this net is 13",
        ),
    ],
)
def test_an_input_of_another_size_is_refused(name: str, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        find(name).build(input_size=size)
    with pytest.raises(ValueError, match=re.escape(message)):
        find(name).check_input(size)


@pytest.mark.parametrize("name", ["lenet-5", "lenet"])
def test_a_net_without_classes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="classes is 0; a net needs at least 1 class"):
        find(name).build(classes=0)


def test_the_sides_are_those_of_the_maps() -> None:
    assert find("lenet-5").check_input(32) == 1
    for size in (13, 14, 15, 16, 28, 29, 33):
        net = build("lenet", input_size=size)
        pooled = net.activations(pixels(size), ["pool2"])["pool2"]
        assert find("lenet").check_input(size) == pooled.shape[-1]


def test_the_rubbish_class_is_no_answer_in_evaluation() -> None:
    net, x = build("lenet-5"), pixels(32)
    evaluated, training = net(x), net.train()(x)
    assert evaluated.shape == (3, 10)
    assert torch.equal(training[:, :10], evaluated)
    assert torch.equal(training[:, 10], torch.full((3,), -1.0, dtype=torch.float64))
    assert float(F.cross_entropy(training, torch.tensor([0, 1, 2])).detach()) > 0
