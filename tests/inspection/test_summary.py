"""A net in numbers: sizes, receptive fields, sums, and the check against published figures."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from alexnet.inspection.figures import LayerFigures
from alexnet.inspection.summary import Summary, layer_figures, summarise
from alexnet.layers.merge import Add
from alexnet.nets import ABLATED, ALEXNETS, NETS
from tests.blocks import block_net

UNPUBLISHED = {*ABLATED, "four-layer", "four-layer-tanh"}
NOTHING_PUBLISHED = "no published figures for this net, number of classes and input size"


def layers_of(summary: Summary) -> dict[str, LayerFigures]:
    return {layer.name: layer for layer in summary.layers}


# ---- Receptive fields ---------------------------------------------------------------------------

# Kernel and stride of each step of the feature part that reads more than one pixel.
FEATURES = [
    ("conv1", 11, 4),
    ("pool1", 3, 2),
    ("conv2", 5, 1),
    ("pool2", 3, 2),
    ("conv3", 3, 1),
    ("conv4", 3, 1),
    ("conv5", 3, 1),
    ("pool5", 3, 2),
]
SPATIAL_NORM = ("cnorm2", 5, 1)


def seen_by(name: str, steps: list[tuple[str, int, int]], *, side: int = 1) -> int:
    """Walk back from `side` neighbouring outputs of a layer to the pixels that they read."""
    names = [step[0] for step in steps]
    width = side
    for _, kernel, stride in reversed(steps[: names.index(name) + 1]):
        width = (width - 1) * stride + kernel
    return width


@pytest.mark.parametrize("name", ALEXNETS)
def test_receptive_fields_equal_the_walk_back_from_each_layer(name: str) -> None:
    steps = FEATURES.copy()
    if name in ("alexnet-2012", "alexnet-2012-half"):
        steps.insert(3, SPATIAL_NORM)
    layers = layers_of(summarise(name))
    for step, _, _ in steps:
        assert layers[step].receptive_field == seen_by(step, steps), step
    whole = seen_by("pool5", steps, side=6)
    assert {layers[fc].receptive_field for fc in ("flatten", "fc6", "fc7", "fc8")} == {whole}


def test_the_receptive_fields_of_the_papers_net() -> None:
    layers = layers_of(summarise("alexnet"))
    fields = [layers[step].receptive_field for step, _, _ in FEATURES]
    assert fields == [11, 19, 51, 67, 99, 131, 163, 195]
    assert layers["fc6"].receptive_field == 355


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012-half", "caffenet", "keras"])
def test_layers_that_work_on_one_pixel_see_what_the_layer_below_sees(name: str) -> None:
    layers = summarise(name).layers
    for below, layer in pairwise(layers):
        if layer.type in ("ReLU", "response norm", "dropout", "fully connected"):
            assert layer.receptive_field == below.receptive_field, layer.name


@pytest.mark.parametrize(
    ("input_size", "side", "widest"),
    [(63, 1, 1), (127, 3, 1), (224, 6, 1), (256, 7, 2), (352, 10, 3), (416, 12, 2)],
)
def test_an_average_over_pool5_adds_no_pixel_to_what_fc6_sees(
    input_size: int, side: int, widest: int
) -> None:
    layers = layers_of(summarise("torchvision", input_size=input_size))
    assert layers["pool5"].output == (256, side, side)
    assert layers["average5"].receptive_field == seen_by("pool5", FEATURES, side=widest)
    assert layers["fc6"].receptive_field == seen_by("pool5", FEATURES, side=side)


FIELDS = {  # Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks
    ("vgg16", "pool5"): 212,
    ("resnet50", "conv5_3.relu"): 483,
    ("resnet101", "conv5_3.relu"): 1027,
    ("resnet152", "conv5_3.relu"): 1507,
}


@pytest.mark.parametrize(("net", "layer"), FIELDS)
def test_receptive_fields_of_other_families_are_the_published_ones(net: str, layer: str) -> None:
    assert layers_of(summarise(net))[layer].receptive_field == FIELDS[net, layer]


def meta_rows(net: nn.Module, side: int, channels: int = 3) -> dict[str, LayerFigures]:
    x = torch.empty(1, channels, side, side, device="meta")
    return {row.name: row for row in layer_figures(net.to("meta"), x)}


def test_where_branches_meet_a_layer_sees_what_any_of_them_sees() -> None:
    rows = meta_rows(block_net(), 16)
    # 3 wide and every second pixel; 3 x 3 adds 2 * 2 pixels to it, 5 x 5 adds 4 * 2
    fields = {name: row.receptive_field for name, row in rows.items()}
    assert (fields["conv1"], fields["block.conv3x3"], fields["block.conv5x5"]) == (3, 7, 11)
    assert {fields[f"block.{name}"] for name in ("concat", "norm", "add", "relu")} == {11}
    assert fields["fc"] == 11 + 7 * 2  # the mean over 8 x 8


def test_branches_that_look_to_different_sides_see_both() -> None:
    class Sides(nn.Module):
        """Two pixels from one padded above and left, and one padded as much below and right."""

        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.ZeroPad2d((4, 0, 4, 0)), nn.ZeroPad2d((0, 4, 0, 4))
            self.left, self.right = nn.Conv2d(1, 1, 5), nn.Conv2d(1, 1, 5)
            self.add = Add()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.add(self.left(self.before(x)), self.right(self.after(x)))
            return y

    fields = {name: row.receptive_field for name, row in meta_rows(Sides(), 9, 1).items()}
    assert (fields["left"], fields["right"], fields["add"]) == (5, 5, 9)


def test_a_layer_that_runs_twice_has_two_rows_and_its_weights_count_once() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1)
    x = torch.empty(1, 3, 9, 9, device="meta")
    rows = layer_figures(nn.Sequential(layer, layer).to("meta"), x)
    assert [row.parameters for row in rows] == [84, 0]
    assert [row.multiply_adds for row in rows] == [81 * 27 * 3] * 2
    assert [row.receptive_field for row in rows] == [3, 5]


def test_what_happens_between_layers_sees_what_ran_before() -> None:
    class Reshaped(nn.Module):
        """A convolution whose maps are put into a row without a layer."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3, dilation=2), nn.Linear(2 * 25, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(self.conv(x).reshape(len(x), -1))
            return y

    rows = meta_rows(Reshaped(), 9, 1)
    assert [row.receptive_field for row in rows.values()] == [5, 5]
    assert rows["fc"].multiply_adds == 150


# ---- Figures ------------------------------------------------------------------------------------


def test_a_layer_is_described_by_its_type_output_and_bytes() -> None:
    layers = layers_of(summarise("alexnet-2012"))
    types = {name: layers[name].type for name in ("pad1", "conv1", "norm1", "pool1", "relu1")}
    assert types == {
        "pad1": "zero padding",
        "conv1": "convolution",
        "norm1": "response norm",
        "pool1": "max pooling",
        "relu1": "ReLU",
    }
    assert (layers["cnorm2"].type, layers["drop6"].type) == ("spatial norm", "dropout")
    assert (layers["flatten"].type, layers["fc8"].type) == ("flatten", "fully connected")
    assert layers["conv1"].output == (96, 55, 55)
    assert layers["conv1"].parameter_bytes == 4 * (96 * 3 * 11 * 11 + 96)
    assert layers["conv1"].activation_bytes == 4 * 96 * 55 * 55
    assert layers["fc6"].output == (4096,)
    assert layers_of(summarise("torchvision"))["average5"].type == "average pooling"


def test_layers_without_weights_count_no_parameters_neurons_or_multiply_adds() -> None:
    for layer in summarise("alexnet-2012").layers:
        weightless = layer.type not in ("convolution", "fully connected")
        counts = (layer.parameters, layer.neurons, layer.multiply_adds)
        assert (counts == (0, 0, 0)) == weightless, layer.name


def test_the_weights_of_the_papers_net_take_243_9_megabytes() -> None:
    totals = summarise("alexnet").totals
    assert totals["parameter_bytes"] == 243_860_896
    assert totals["activation_bytes"] == sum(
        layer.activation_bytes for layer in summarise("alexnet").layers
    )


def test_other_classes_and_sizes_are_counted_by_the_same_rules() -> None:
    summary = summarise("alexnet", classes=10, input_size=131)
    layers = layers_of(summary)
    assert (summary.classes, summary.input_size) == (10, 131)
    assert layers["conv1"].output == (96, 31, 31)
    assert layers["conv1"].multiply_adds == 31 * 31 * 11 * 11 * 3 * 96
    assert layers["fc6"].parameters == 256 * 3 * 3 * 4096 + 4096
    assert layers["fc8"].parameters == 4096 * 10 + 10
    assert summary.check == NOTHING_PUBLISHED


@pytest.mark.parametrize(("classes", "input_size"), [(999, None), (1000, 240)])
def test_figures_are_compared_only_for_the_published_size(
    classes: int, input_size: int | None
) -> None:
    summary = summarise("alexnet", classes=classes, input_size=input_size)
    assert summary.published is None
    assert summary.check == NOTHING_PUBLISHED


@pytest.mark.parametrize("name", ALEXNETS)
def test_the_check_says_equal_for_every_net_called_alexnet(name: str) -> None:
    check = "equal to the published parameters, neurons and multiply-adds"
    assert summarise(name).check == check
    assert summarise(name, classes=1000, input_size=NETS[name].input_size).check == check


@pytest.mark.parametrize("name", sorted(NETS.keys() - UNPUBLISHED))
def test_the_check_says_equal_for_every_published_net(name: str) -> None:
    assert summarise(name).check.startswith("equal to the published parameters")


@pytest.mark.parametrize("name", sorted(UNPUBLISHED))
def test_nets_whose_figures_nobody_published_are_not_compared(name: str) -> None:
    assert summarise(name).check == NOTHING_PUBLISHED


@pytest.mark.parametrize("off", range(3))
def test_the_check_says_not_equal_when_one_figure_is_off_by_one(off: int) -> None:
    summary = summarise("alexnet")
    figures = [60_965_224, 659_272, 724_406_816]
    counted = tuple(figures)
    figures[off] += 1
    wrong = (figures[0], figures[1], figures[2])
    assert (
        replace(summary, published=wrong).check
        == f"NOT equal to the published figures {wrong}: counted {counted}"
    )
    layers = [replace(summary.layers[0], neurons=290_399), *summary.layers[1:]]
    assert replace(summary, layers=tuple(layers)).check.startswith("NOT equal")


def test_what_nobody_published_is_not_compared() -> None:
    summary = summarise("alexnet")
    parts = replace(summary, published=(60_965_224, None, 724_406_816))
    assert parts.check == "equal to the published parameters and multiply-adds"
    alone = replace(summary, published=(None, 659_272, None))
    assert alone.check == "equal to the published neurons"
    wrong = replace(summary, published=(60_965_224, None, 1))
    assert wrong.check.startswith("NOT equal to the published figures (60965224, None, 1): counted")


def test_layers_have_a_dot_behind_their_block_and_batch_norm_no_neurons() -> None:
    layers = layers_of(summarise("resnet18"))
    norm = layers["conv2_1.bn1"]
    assert (norm.type, norm.parameters, norm.neurons) == ("batch norm", 128, 0)
    assert layers["conv2_1.add"].type == "addition"
    merged = layers_of(summarise("googlenet"))["inception_3a.concat"]
    assert (merged.type, merged.output) == ("concatenation", (256, 28, 28))


def test_auxiliary_classifiers_are_a_note_and_no_layers() -> None:
    summary = summarise("googlenet")
    assert not [layer.name for layer in summary.layers if layer.name.startswith("loss")]
    counted = "6,379,728 more parameters serve training only and are not counted here."
    assert summary.notes[-1] == counted


def test_a_kind_of_layer_without_a_name_here_goes_by_its_class() -> None:
    rows = meta_rows(nn.Sequential(nn.Hardtanh()), 4)
    assert rows["0"].type == "Hardtanh"


def test_counting_leaves_the_net_as_it_was() -> None:
    net = block_net().to("meta").train()
    layer_figures(net, torch.empty(1, 3, 16, 16, device="meta"))
    assert all(layer.training for layer in net.modules())
    assert not any(layer._forward_hooks for layer in net.modules())


def test_the_json_has_the_layers_their_figures_and_the_totals() -> None:
    summary = summarise("alexnet")
    found = json.loads(json.dumps(summary.to_json()))
    assert {key: found[key] for key in ("net", "input_size", "classes", "check", "source")} == {
        "net": "alexnet",
        "input_size": 227,
        "classes": 1000,
        "check": summary.check,
        "source": NETS["alexnet"].source,
    }
    assert found["notes"] == list(NETS["alexnet"].notes)
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in summary.layers]
    assert found["layers"][4] == {
        "name": "conv2",
        "type": "convolution",
        "operation": "convolution",
        "output": [256, 27, 27],
        "parameters": 307_456,
        "neurons": 186_624,
        "multiply_adds": 223_948_800,
        "parameter_bytes": 4 * 307_456,
        "activation_bytes": 4 * 186_624,
        "receptive_field": 51,
    }
    assert found["totals"] == {
        "parameters": 60_965_224,
        "neurons": 659_272,
        "multiply_adds": 724_406_816,
        "parameter_bytes": 243_860_896,
        "activation_bytes": sum(layer["activation_bytes"] for layer in found["layers"]),
    }
    assert set(found) == {
        *("net", "source", "channels", "input_size", "classes"),
        *("layers", "totals", "check", "notes"),
    }


def test_a_net_or_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no net is called 'alexnet2' \(did you mean 'alexnet'"):
        summarise("alexnet2")
    message = "input size 62 leaves no pixel at pool5; the smallest size of this net is 63"
    with pytest.raises(ValueError, match=message):
        summarise("torchvision", input_size=62)
    with pytest.raises(ValueError, match="classes is 0; a net needs at least 1 class"):
        summarise("torchvision", classes=0)
