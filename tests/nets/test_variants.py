"""The presets against the counts of the paper, of the program of 2012 and of the Caffe files."""

from dataclasses import fields

import pytest
import torch

from alexnet.inspection.summary import summarise
from alexnet.nets import ALEXNETS
from alexnet.nets.alexnet import LAYERS, Variant

FC = [37_752_832, 16_781_312, 4_097_000]
FC_MULTIPLY_ADDS = [37_748_736, 16_777_216, 4_096_000]
COLUMNS_PARAMETERS = [34_944, 307_456, 885_120, 663_936, 442_624, *FC]
COLUMNS_MULTIPLY_ADDS = [
    105_415_200,
    223_948_800,
    149_520_384,
    112_140_288,
    74_760_192,
    *FC_MULTIPLY_ADDS,
]
NEURONS = [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
TOTALS = {  # parameters, neurons, multiply-adds
    "alexnet": (60_965_224, 659_272, 724_406_816),
    "alexnet-2012": (60_965_224, 659_272, 724_406_816),
    "alexnet-2012-half": (59_798_312, 355_864, 391_514_384),
    "alexnet-1col": (62_378_344, 659_272, 1_135_256_096),
    "alexnet-owt": (61_100_840, 494_184, 714_188_480),
    "torchvision": (61_100_840, 494_184, 714_188_480),
    "bvlc-alexnet": (60_965_224, 659_272, 724_406_816),
    "caffenet": (60_965_224, 659_272, 724_406_816),
    "keras": (62_378_344, 659_272, 1_135_256_096),
}
KERNELS = {
    "alexnet-2012-half": (48, 128, 192, 192, 256),
    "alexnet-owt": (64, 192, 384, 256, 256),
    "torchvision": (64, 192, 384, 256, 256),
}
TWO_COLUMNS = ("alexnet", "alexnet-2012", "bvlc-alexnet", "caffenet")


def by_hand(kernels: tuple[int, ...], groups: tuple[int, ...]) -> dict[str, list[int]]:
    """Count from 55, 27 and 13 positions a side and the widths of the kernels."""
    positions = [55**2, 27**2, 13**2, 13**2, 13**2]
    inputs = [3, *kernels[:4]]
    columns = zip(kernels, inputs, (11, 5, 3, 3, 3), groups, strict=True)
    weights = [k * (c // group) * size**2 for k, c, size, group in columns]
    fc_weights = [kernels[4] * 6 * 6 * 4096, 4096 * 4096, 4096 * 1000]
    outputs = [*kernels, 4096, 4096, 1000]
    return {
        "parameters": [w + b for w, b in zip([*weights, *fc_weights], outputs, strict=True)],
        "neurons": [k * p for k, p in zip(outputs, [*positions, 1, 1, 1], strict=True)],
        "multiply_adds": [w * p for w, p in zip(weights, positions, strict=True)] + fc_weights,
    }


def counted(name: str, what: str) -> list[int]:
    layers = {layer.name: layer for layer in summarise(name).layers}
    values = {
        "parameters": [layers[layer].parameters for layer in LAYERS],
        "neurons": [layers[layer].neurons for layer in LAYERS],
        "multiply_adds": [layers[layer].multiply_adds for layer in LAYERS],
    }
    return values[what]


@pytest.mark.parametrize("name", TWO_COLUMNS)
def test_the_two_column_nets_have_the_papers_counts_in_every_layer(name: str) -> None:
    assert counted(name, "parameters") == COLUMNS_PARAMETERS
    assert counted(name, "neurons") == NEURONS
    assert counted(name, "multiply_adds") == COLUMNS_MULTIPLY_ADDS


@pytest.mark.parametrize("what", ["parameters", "neurons", "multiply_adds"])
@pytest.mark.parametrize("name", ALEXNETS)
def test_every_layer_has_the_counts_that_its_widths_give(name: str, what: str) -> None:
    groups = (1, 2, 1, 2, 2) if name in TWO_COLUMNS else (1,) * 5
    kernels = KERNELS.get(name, (96, 256, 384, 384, 256))
    assert counted(name, what) == by_hand(kernels, groups)[what]


@pytest.mark.parametrize(("name", "totals"), TOTALS.items())
def test_the_totals_are_the_published_ones(name: str, totals: tuple[int, int, int]) -> None:
    found = summarise(name).totals
    assert (found["parameters"], found["neurons"], found["multiply_adds"]) == totals
    assert ALEXNETS[name].published == totals
    with torch.device("meta"):
        net = ALEXNETS[name].build()
    assert sum(p.numel() for p in net.parameters()) == totals[0]


def test_the_neurons_of_the_paper_without_its_slip_in_conv1_are_the_abstracts_650_000() -> None:
    papers = [253_440, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert sum(papers) == 622_312
    assert papers[0] == 55 * 48 * 96  # 55 x 55 x 96 was meant
    assert sum(papers) - papers[0] + 55 * 55 * 96 == 659_272
    assert "622,312" in ALEXNETS["alexnet"].notes[0]


ORDERS = {
    "alexnet": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
    "alexnet-2012": "pad1 conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2",
    "alexnet-2012-half": "pad1 conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2",
    "alexnet-1col": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
    "alexnet-owt": "pad1 conv1 norm1 pool1 relu1 conv2 relu2 norm2 pool2",
    "torchvision": "pad1 conv1 relu1 pool1 conv2 relu2 pool2",
    "bvlc-alexnet": "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2",
    "caffenet": "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2",
    "keras": "pad1 conv1 norm1 relu1 pool1 conv2 norm2 relu2 pool2",
}
POOL_BEFORE_RELU = ("alexnet-2012", "alexnet-2012-half", "alexnet-owt")


@pytest.mark.parametrize(("name", "order"), ORDERS.items())
def test_the_layers_run_in_the_order_of_the_source(name: str, order: str) -> None:
    names = [layer.name for layer in summarise(name).layers]
    fifth = ["pool5", "relu5"] if name in POOL_BEFORE_RELU else ["relu5", "pool5"]
    average = ["average5"] if name == "torchvision" else []
    middle = ["conv3", "relu3", "conv4", "relu4", "conv5", *fifth, *average, "flatten"]
    end = ["fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"]
    if name == "torchvision":
        end = ["drop6", "fc6", "relu6", "drop7", "fc7", "relu7", "fc8"]
    assert names == [*order.split(), *middle, *end]


@pytest.mark.parametrize("name", ALEXNETS)
def test_the_maps_have_55_27_13_and_6_pixels_a_side(name: str) -> None:
    outputs = {layer.name: layer.output for layer in summarise(name).layers}
    sides = [outputs[layer][1:] for layer in ("conv1", "pool1", "pool2", "pool5")]
    assert sides == [(55, 55), (27, 27), (13, 13), (6, 6)]


NORMS = {  # convention, k, within a column
    "alexnet": ("paper", 2.0, True),
    "alexnet-2012": ("caffe", 2.0, True),
    "alexnet-2012-half": ("caffe", 2.0, True),
    "alexnet-1col": ("paper", 2.0, True),
    "alexnet-owt": ("caffe", 2.0, True),
    "bvlc-alexnet": ("caffe", 1.0, False),
    "caffenet": ("caffe", 1.0, False),
    "keras": ("tf", 2.0, False),
}


@pytest.mark.parametrize(("name", "constants"), NORMS.items())
def test_the_norms_have_the_constants_of_the_source(
    name: str, constants: tuple[str, float, bool]
) -> None:
    norm = ALEXNETS[name].norm
    assert (norm.convention, norm.bias, norm.within_column) == constants
    assert (norm.window, norm.alpha, norm.beta) == (5, 1e-4, 0.75)


def test_every_field_says_what_it_means_and_every_preset_names_its_source() -> None:
    assert all(variant.source for variant in ALEXNETS.values())
    assert len({variant.source for variant in ALEXNETS.values()}) == len(ALEXNETS)
    assert {field.name for field in fields(Variant)} >= {"published", "notes", "kernels"}
