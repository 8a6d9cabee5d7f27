"""The net against its definitions in numpy; its sizes, activations and initial weights."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from alexnet.nets import ALEXNETS
from alexnet.nets.alexnet import LAYERS, AlexNet, Variant
from tests.oracles import alexnet as oracle

SMALLEST = {
    "alexnet": 67,
    "alexnet-2012": 36,
    "alexnet-2012-half": 36,
    "alexnet-1col": 67,
    "alexnet-owt": 36,
    "torchvision": 63,
    "bvlc-alexnet": 39,
    "caffenet": 39,
    "keras": 64,
}


def small(name: str) -> Variant:
    """Return a preset with few kernels; order, padding, norms and dropout stay."""
    return replace(ALEXNETS[name], kernels=(8, 16, 12, 12, 8), fc_units=10)


def build(variant: Variant, *, classes: int = 3, input_size: int = 107) -> AlexNet:
    """Return a net in float64, in evaluation, whose activations are about as large as pixels."""
    torch.manual_seed(0)
    net = variant.build(classes=classes, input_size=input_size).double().eval()
    for layer in net.children():
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.normal_(layer.weight, std=1.5 * layer.weight[0].numel() ** -0.5)
            nn.init.normal_(layer.bias, std=10)
    return net


def pixels(size: int = 107, *, count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 100 * torch.randn(count, 3, size, size, generator=generator, dtype=torch.float64)


def weights_of(net: AlexNet) -> oracle.Weights:
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    return {name: (arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in LAYERS}


def layers_of(net: AlexNet) -> list[str]:
    return [name for name, _ in net.named_children()]


# ---- Every activation, against the definitions --------------------------------------------------

BVLC, CAFFENET = ("relu", "norm", "pool"), ("relu", "pool", "norm")
DEFINITIONS: dict[str, Callable[[oracle.Array, oracle.Weights], oracle.Seen]] = {
    "alexnet": oracle.paper,
    "alexnet-2012": oracle.program_of_2012,
    "bvlc-alexnet": lambda x, weights: oracle.caffe(x, weights, after_conv=BVLC),
    "caffenet": lambda x, weights: oracle.caffe(x, weights, after_conv=CAFFENET),
    "torchvision": oracle.torchvision,
    "keras": oracle.keras,
}


@pytest.mark.parametrize("input_size", [107, 110])  # 110: an even pool, and padding at the end
@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_activation_equals_the_definition_in_numpy(name: str, input_size: int) -> None:
    net = build(small(name), input_size=input_size)
    x = pixels(input_size)
    expected = DEFINITIONS[name](x.numpy(), weights_of(net))
    seen = net.activations(x, layers_of(net))
    assert set(seen) - set(expected) <= {"drop6", "drop7"}
    assert set(expected) <= set(seen)
    for layer, value in expected.items():
        # float64 sums of at most 200 terms in another order
        np.testing.assert_allclose(
            seen[layer].detach().numpy(), value, rtol=1e-10, atol=1e-9, err_msg=layer
        )


@pytest.mark.parametrize("name", DEFINITIONS)
def test_channels_last_gives_the_same_logits(name: str) -> None:
    net, x = build(small(name)), pixels()
    logits = net(x).detach()
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other = net(x.to(memory_format=torch.channels_last)).detach()
    torch.testing.assert_close(other, logits, rtol=1e-10, atol=1e-9)


def test_the_second_column_reads_the_first_at_conv3_and_the_fully_connected_layers_only() -> None:
    net, x = build(small("alexnet")), pixels()
    names = layers_of(net)
    before = net.activations(x, names)
    with torch.no_grad():
        net.get_submodule("conv1").get_parameter("bias")[:4] += 50  # the first column's kernels
    after = net.activations(x, names)
    second = {name: before[name].chunk(2, 1)[1].equal(after[name].chunk(2, 1)[1]) for name in names}
    assert [name for name in names if second[name]] == names[: names.index("conv3")]


@pytest.mark.parametrize("name", ALEXNETS)
def test_the_gradient_equals_a_difference_quotient(name: str) -> None:
    net, x = build(small(name)), pixels(count=1)
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(net(x).sum(), x)
    h = 1e-7  # small enough to cross no kink of ReLU or pool
    with torch.no_grad():
        quotient = (net(x + h * step).sum() - net(x - h * step).sum()) / (2 * h)
    assert float((dx * step).sum()) == pytest.approx(float(quotient), rel=1e-5)


# ---- Sizes --------------------------------------------------------------------------------------


def pool5_side(variant: Variant, size: int) -> int:
    """Run one channel through torch's own convolutions and pools; 0 where torch refuses."""
    x = torch.zeros(1, 1, size, size)
    ceil = variant.pool_rounding == "ceil"
    try:
        if variant.conv1_padding == "end":
            end = next(n for n in range(11) if size + n >= 11 and (size + n - 11) % 4 == 0)
            x = functional.pad(x, (0, end, 0, end))
        else:
            before, after = variant.conv1_padding
            x = functional.pad(x, (before, after, before, after))
        x = functional.conv2d(x, torch.zeros(1, 1, 11, 11), stride=4)
        x = functional.max_pool2d(x, 3, 2, ceil_mode=ceil)
        x = functional.conv2d(x, torch.zeros(1, 1, 5, 5), padding=2)
        x = functional.max_pool2d(x, 3, 2, ceil_mode=ceil)
        x = functional.conv2d(x, torch.zeros(1, 1, 3, 3), padding=1)
        return functional.max_pool2d(x, 3, 2, ceil_mode=ceil).shape[-1]
    except RuntimeError:
        return 0


@pytest.mark.parametrize("name", ALEXNETS)
def test_the_side_of_pool5_is_the_one_torch_computes_at_every_size(name: str) -> None:
    variant = ALEXNETS[name]
    sides = {size: pool5_side(variant, size) for size in range(11, 260)}
    assert {size: variant.pool5_size(size) for size in sides} == sides
    assert [variant.pool5_size(size) for size in range(11)] == [0] * 11


@pytest.mark.parametrize(("name", "size"), SMALLEST.items())
def test_the_smallest_input_is_the_first_size_that_runs(name: str, size: int) -> None:
    variant = small(name)
    sizes = (size for size in range(11, 260) if pool5_side(variant, size))
    assert next(sizes) == variant.smallest_input() == size
    net = build(variant, input_size=size)
    assert net(pixels(size)).isfinite().all()
    message = f"input size {size - 1} leaves no pixel at pool5; the smallest size of this net"
    with pytest.raises(ValueError, match=f"{message} is {size}$"):
        variant.build(input_size=size - 1)


@pytest.mark.parametrize("size", [0, -5])
def test_sizes_that_are_none_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"input size {size} leaves no pixel at pool5"):
        ALEXNETS["alexnet-2012"].build(input_size=size)


@pytest.mark.parametrize("classes", [0, -1])
def test_a_net_without_classes_is_refused(classes: int) -> None:
    message = f"classes is {classes}; a net needs at least 1 class"
    with pytest.raises(ValueError, match=message):
        ALEXNETS["alexnet"].build(classes=classes)


@pytest.mark.parametrize("name", ALEXNETS)
@pytest.mark.parametrize(("classes", "input_size"), [(1, 96), (2, 224), (21_843, 131)])
def test_any_number_of_classes_and_any_size_fit(name: str, classes: int, input_size: int) -> None:
    with torch.device("meta"):
        net = ALEXNETS[name].build(classes=classes, input_size=input_size)
        seen = net.activations(torch.empty(2, 3, input_size, input_size), ("flatten", "fc8"))
    side = net.variant.average_pool or pool5_side(net.variant, input_size)
    assert seen["flatten"].shape == (2, 256 * side * side)
    assert seen["fc8"].shape == (2, classes)
    assert net.get_submodule("fc8").get_parameter("weight").shape == (classes, 4096)


# ---- Named activations --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALEXNETS)
def test_named_activations_equal_the_running_forward(name: str) -> None:
    net, x = build(small(name)), pixels()
    running: dict[str, Tensor] = {}
    y = x
    for layer, module in net.named_children():
        y = module(y)
        running[layer] = y.detach().clone()  # before the next layer changes it in place
    for layer, value in net.activations(x, layers_of(net)).items():
        assert value.equal(running[layer]), layer
        assert net(x, upto=layer).equal(running[layer]), layer
    assert net(x).equal(running["fc8"])


def test_an_activation_before_relu_keeps_its_negative_values() -> None:
    net, x = build(small("alexnet")), pixels()
    conv1 = net(x, upto="conv1")
    assert (conv1 < 0).any()
    assert net(x, upto="relu1").equal(conv1.relu())


def test_the_picture_itself_is_not_changed() -> None:
    net, x = build(small("alexnet")), pixels()
    before = x.clone()
    net(x)
    assert x.equal(before)


def test_no_layer_past_the_last_named_one_is_computed() -> None:
    net = build(small("alexnet"))
    net.conv4 = nn.Identity()  # would hand 12 maps to a conv5 of 6 and fail there
    net.fc6 = nn.Linear(1, 1)
    assert list(net.activations(pixels(), ("conv3", "pool1"))) == ["pool1", "conv3"]


@pytest.mark.parametrize(
    ("name", "near"), [("conv6", "conv5"), ("Conv1", "conv1"), ("flaten", "flatten")]
)
def test_an_unknown_layer_is_refused_and_the_nearest_named(name: str, near: str) -> None:
    net = build(small("alexnet"))
    listed = re.escape(", ".join(layers_of(net)))
    message = rf"no layer is called '{name}' \(did you mean '{near}'\?\); the layers are {listed}$"
    with pytest.raises(ValueError, match=message):
        net(pixels(), upto=name)


# ---- Dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALEXNETS)
def test_dropout_is_made_up_for_at_test_or_in_training_as_the_source_does(name: str) -> None:
    at_test = name in ("alexnet", "alexnet-2012", "alexnet-2012-half", "alexnet-1col")
    at_test = at_test or name == "alexnet-owt"
    after = name != "torchvision"
    net, x = build(replace(small(name), fc_units=64)), pixels()
    inputs = ("relu6", "relu7") if after else ("flatten", "relu6")
    for above, drop in zip(inputs, ("drop6", "drop7"), strict=True):
        net.eval()
        seen = net.activations(x, (above, drop))
        assert seen[drop].equal(seen[above] * (0.5 if at_test else 1.0))
        net.train()
        seen = net.activations(x, (above, drop))
        kept = seen[drop] != 0
        share = kept[seen[above] != 0].double().mean()
        assert 0.2 < share < 0.8
        assert seen[drop][kept].equal(seen[above][kept] * (1.0 if at_test else 2.0))


def test_dropout_stands_before_the_layers_in_torchvision_and_after_them_elsewhere() -> None:
    for name, variant in ALEXNETS.items():
        with torch.device("meta"):
            order = [layer for layer in layers_of(variant.build()) if layer[-1] in "67"]
        if name == "torchvision":
            assert order == ["drop6", "fc6", "relu6", "drop7", "fc7", "relu7"]
        else:
            assert order == ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7"]


def test_tanh_takes_the_place_of_relu() -> None:
    net = build(replace(small("alexnet"), activation="tanh"))
    seen = net.activations(pixels(), ("conv1", "tanh1", "fc7", "tanh7"))
    assert seen["tanh1"].equal(seen["conv1"].tanh())
    assert seen["tanh7"].equal(seen["fc7"].tanh())
    assert not [name for name in layers_of(net) if name.startswith("relu")]


# ---- Initial weights ----------------------------------------------------------------------------

CAFFE_STD = [0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01]
PROGRAM_STD = [0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01]
PAPER_BIASES = [0, 1, 0, 1, 1, 1, 1, 0]
GAUSSIAN = {
    "alexnet": ([0.01] * 8, PAPER_BIASES),
    "alexnet-2012": (PROGRAM_STD, PAPER_BIASES),
    "alexnet-2012-half": (PROGRAM_STD, PAPER_BIASES),
    "alexnet-1col": ([0.01] * 8, PAPER_BIASES),
    "alexnet-owt": (PROGRAM_STD, [0, 1, 0, 1, 1, 1, 1, -7]),
    "bvlc-alexnet": (CAFFE_STD, [0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0]),
    "caffenet": (CAFFE_STD, PAPER_BIASES),
}


def initial(name: str, *, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """Return weights and biases, conv1 to fc8, of a net with the preset's convolutions."""
    variant = replace(ALEXNETS[name], fc_units=128)
    net = variant.build(classes=50, input_size=variant.smallest_input())
    net.init_weights(torch.Generator().manual_seed(seed))
    layers = [net.get_submodule(layer) for layer in LAYERS]
    parts = ("weight", "bias")
    weights, biases = ([x.get_parameter(part).detach() for x in layers] for part in parts)
    return weights, biases


@pytest.mark.parametrize(("name", "constants"), GAUSSIAN.items())
def test_gaussian_weights_have_the_preset_deviations_and_biases(
    name: str, constants: tuple[list[float], list[float]]
) -> None:
    weights, biases = initial(name)
    for layer, w, b, std, bias in zip(LAYERS, weights, biases, *constants, strict=True):
        # Five standard errors of a deviation and of a mean of that many normal draws.
        tolerance = 5 * std / math.sqrt(2 * w.numel())
        assert float(w.std()) == pytest.approx(std, abs=tolerance), layer
        assert float(w.mean()) == pytest.approx(0, abs=1.5 * tolerance), layer
        assert float(w.abs().max()) > 3 * std, layer  # normal, not uniform
        assert b.equal(torch.full_like(b, bias)), layer


def test_torchvision_starts_uniform_within_the_root_of_the_fan_in() -> None:
    for layer, w, b in zip(LAYERS, *initial("torchvision"), strict=True):
        bound = 1 / math.sqrt(w[0].numel())
        for values in (w, b):
            assert float(values.abs().max()) <= bound, layer
            assert float(values.abs().max()) > bound * (1 - 10 / values.numel()), layer
        error = bound / math.sqrt(3) * 5 / math.sqrt(w.numel())
        assert float(w.std()) == pytest.approx(bound / math.sqrt(3), abs=error), layer


def test_keras_starts_uniform_within_the_glorot_bound_with_biases_of_zero() -> None:
    for layer, w, b in zip(LAYERS, *initial("keras"), strict=True):
        positions = w[0, 0].numel()
        bound = math.sqrt(6 / (positions * (w.shape[0] + w.shape[1])))
        assert bound * (1 - 10 / w.numel()) < float(w.abs().max()) <= bound * (1 + 1e-6), layer
        error = bound / math.sqrt(3) * 5 / math.sqrt(w.numel())
        assert float(w.std()) == pytest.approx(bound / math.sqrt(3), abs=error), layer
        assert b.equal(torch.zeros_like(b)), layer


@pytest.mark.parametrize("name", ["alexnet", "torchvision", "keras"])
def test_initial_weights_depend_on_the_generator_alone(name: str) -> None:
    torch.manual_seed(5)
    first = initial(name, seed=1)
    torch.manual_seed(6)
    again, other = initial(name, seed=1), initial(name, seed=2)
    for one, two in zip(first, again, strict=True):
        assert all(a.equal(b) for a, b in zip(one, two, strict=True))
    assert not any(a.equal(b) for a, b in zip(first[0], other[0], strict=True))
    net = build(small(name))
    state = torch.get_rng_state()
    net.init_weights(torch.Generator().manual_seed(1))
    assert torch.get_rng_state().equal(state)
