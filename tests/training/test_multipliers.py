"""lr_mult and decay_mult of a text in `alexnet train`, against updates by hand in float64."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.cli import run
from alexnet.nets import NETS
from alexnet.text.picture import PictureNet, preset_of
from alexnet.text.prototxt import parse
from alexnet.training import loop, setup
from alexnet.training.recipe import Recipe
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work
from tests.conftest import MakePictures, tiny_recipe

Arrays = dict[str, NDArray[np.float64]]
RATES = (0.1, 0.1, 0.03, 0.2)
BIASES = (2.0, 0.0)
"""The recipe's factors for biases, as in the program of 2012."""
NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 21 dim: 21 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" CONV1
  convolution_param { num_output: 4 kernel_size: 5 stride: 4 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "fc2" type: "InnerProduct" bottom: "conv1" top: "fc2" FC2
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""


def text(conv1: str = "", fc2: str = "") -> str:
    return NET.replace("CONV1", conv1).replace("FC2", fc2)


def net_of(source: str) -> PictureNet:
    preset = preset_of(parse(source, "NetParameter", source="net.prototxt"), source="net.prototxt")
    net = preset.build(classes=3)
    net.init_weights(torch.Generator().manual_seed(3))
    return net


def set_gradients(net: torch.nn.Module, step: int) -> Arrays:
    gradients = {}
    for name, parameter in net.named_parameters():
        parameter.grad = torch.cos(parameter.detach() * (step + 1)) + 0.1 * step
        gradients[name] = parameter.grad.numpy().copy()
    return gradients


def arrays(tensors: dict[str, torch.Tensor], sign: float = 1.0) -> Arrays:
    return {name: sign * tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def check(source: str, expected: dict[str, tuple[float, float]]) -> None:
    """K real steps, then step K + 1 by hand from what they left, for K = 0 to 3.

    v <- .9 v - decay * lr * w - lr * g;  w <- w + v, with the expected factors on lr and decay
    """
    net = net_of(source).double()
    sgd = MomentumSGD(net, weight_decay=0.05, bias_factors=BIASES)
    for step, rate in enumerate(RATES):
        w = arrays(dict(net.named_parameters()))
        v = arrays(sgd.velocities(), sign=-1.0)
        g = set_gradients(net, step)
        sgd.step(rate)
        for name, parameter in net.named_parameters():
            lr, decay = rate * expected[name][0], 0.05 * expected[name][1]
            v_next = 0.9 * v[name] - decay * lr * w[name] - lr * g[name]
            # float64 on both sides, in another order
            np.testing.assert_allclose(
                parameter.detach(), w[name] + v_next, rtol=1e-13, atol=1e-14, err_msg=name
            )
            np.testing.assert_allclose(-sgd.velocities()[name], v_next, rtol=1e-13, atol=1e-14)


def test_factors_of_a_text_stand_in_the_place_of_those_for_biases() -> None:
    check(
        text(
            "param { lr_mult: 0.5 decay_mult: 3 } param { lr_mult: 4 decay_mult: 0.25 }",
            "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 1 decay_mult: 1 }",
        ),
        {
            "conv1.weight": (0.5, 3.0),
            "conv1.bias": (4.0, 0.25),  # not doubled again
            "fc2.weight": (1.0, 1.0),
            "fc2.bias": (1.0, 1.0),  # a factor of 1 that is given is a factor of the text
        },
    )


def test_what_a_text_leaves_out_is_the_recipes() -> None:
    check(
        text("param { lr_mult: 3 } param { decay_mult: 2 }", "param { name: 'shared' }"),
        {
            "conv1.weight": (3.0, 1.0),
            "conv1.bias": (BIASES[0], 2.0),
            "fc2.weight": (1.0, 1.0),
            "fc2.bias": BIASES,
        },
    )


def test_a_text_without_factors_learns_as_nets_of_ours_do() -> None:
    weights, biases = (1.0, 1.0), BIASES
    check(
        text(),
        {
            "conv1.weight": weights,
            "conv1.bias": biases,
            "fc2.weight": weights,
            "fc2.bias": biases,
        },
    )


def test_factors_of_v1_texts_count_too() -> None:
    old = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9 '
        'layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" blobs_lr: 2 '
        "blobs_lr: 5 weight_decay: 3 weight_decay: 0 inner_product_param { num_output: 3 } }"
    )
    check(old, {"fc.weight": (2.0, 3.0), "fc.bias": (5.0, 0.0)})


def test_factors_of_the_recipe_by_layer_multiply_those_of_the_text() -> None:
    net = net_of(text("param { lr_mult: 0.5 }", "param { lr_mult: 1 } param { lr_mult: 3 }"))
    before = arrays(dict(net.named_parameters()))
    sgd = MomentumSGD(
        net, weight_decay=0.0, layer_factors={"conv1": 4.0, "fc2.bias": 0.25, "fc2.weight": 0.0}
    )
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    sgd.step(0.125)
    moved = {n: before[n] - p.detach().numpy() for n, p in net.named_parameters()}
    wanted = {"conv1.weight": 2.0, "conv1.bias": 4.0, "fc2.weight": 0.0, "fc2.bias": 0.75}
    for name, factor in wanted.items():
        # a difference of float32 weights below 1
        np.testing.assert_allclose(moved[name], 0.125 * factor, atol=1e-6, err_msg=name)


def test_a_shared_blob_has_the_factors_that_any_of_its_layers_gives() -> None:
    source = text("", "param { name: 'w' decay_mult: 2 }").replace(
        'bottom: "conv1" top: "fc2"', 'bottom: "conv1" top: "mid"', 1
    )
    source += (
        'layer { name: "fc3" type: "InnerProduct" bottom: "mid" top: "fc3" '
        "param { name: 'b' } inner_product_param { num_output: 3 bias_term: false } }\n"
        'layer { name: "fc4" type: "InnerProduct" bottom: "fc3" top: "fc4" '
        "param { name: 'b' lr_mult: 3 } inner_product_param { num_output: 3 bias_term: false } }\n"
    )
    check(
        source,
        {
            "conv1.weight": (1.0, 1.0),
            "conv1.bias": BIASES,
            "fc2.weight": (1.0, 2.0),
            "fc2.bias": BIASES,
            "fc3.weight": (3.0, 1.0),
        },
    )


@pytest.mark.parametrize("name", ["alexnet-1col", "lenet", "resnet18"])
def test_nets_by_name_have_no_factors_of_their_own(name: str) -> None:
    with torch.device("meta"):
        assert NETS[name].build().multipliers() == {}


def test_what_is_frozen_stays_in_bfloat16_too() -> None:
    net = net_of(text("param { lr_mult: 0 decay_mult: 9 } param { lr_mult: 0 }"))
    worker = at_work(net, torch.bfloat16)
    assert [p.requires_grad for p in worker.parameters()] == [False, False, True, True]
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    sgd = MomentumSGD(net, worker=worker, weight_decay=0.5)
    worker(torch.ones(2, 3, 21, 21, dtype=torch.bfloat16)).float().square().sum().backward()
    sgd.step(0.1)
    moved = [n for n, p in net.named_parameters() if not torch.equal(p, before[n])]
    assert moved == ["fc2.weight", "fc2.bias"]


@pytest.fixture
def recipe(pictures: MakePictures, tmp_path: Path) -> Recipe:
    """Return a recipe for tiny.prototxt, with factors for biases and a decay that is seen."""
    tiny = tiny_recipe(pictures(per_class=10, size=24))
    path = tmp_path / "tiny.prototxt"
    tiny = replace(tiny, bias_lr=BIASES[0], bias_decay=BIASES[1], weight_decay=0.1)
    return replace(tiny, net=str(path), init="source", epochs=1, picture_size=24)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_updates_by_the_factors_of_its_text(
    recipe: Recipe, tmp_path: Path, precision: Literal["fp32", "bf16"]
) -> None:
    source = text("param { lr_mult: 8 decay_mult: 0 } param { lr_mult: 0 }", "param { lr_mult: 2 }")
    Path(recipe.net).write_text(source)
    started = setup.start(replace(recipe, precision=precision), tmp_path / "run")
    w = arrays(dict(started.model.net.named_parameters()))
    for parameter in started.worker.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    started.optimizer.step(0.25)
    expected = {"conv1.weight": (8.0, 0.0), "conv1.bias": (0.0, 0.0), "fc2.weight": (2.0, 1.0)}
    expected["fc2.bias"] = BIASES
    for name, parameter in started.model.net.named_parameters():
        lr, decay = 0.25 * expected[name][0], 0.1 * expected[name][1]
        # one update in float32 of weights below 10
        np.testing.assert_allclose(
            parameter.detach(), w[name] - decay * lr * w[name] - lr * 0.5, atol=2e-6
        )


def test_a_net_with_several_numbers_for_a_class_is_not_trained(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = NET[: NET.index('layer { name: "fc2"')].replace("CONV1", "").replace(": 4", ": 3", 1)
    Path(recipe.net).write_text(
        source + 'layer { name: "up" type: "Deconvolution" bottom: "conv1" top: "up" '
        "convolution_param { num_output: 3 kernel_size: 2 } }"
    )
    message = (
        "the net makes 3 x 6 x 6 numbers of a picture, and there are 3 classes; training and "
        "answers take one number for each"
    )
    with pytest.raises(ValueError, match=message):
        loop.train(setup.start(recipe, tmp_path / "run"))
    assert run(["summary", recipe.net]) == 0
    assert "Deconvolution" in capsys.readouterr().out
