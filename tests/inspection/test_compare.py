"""The differences of two nets."""

import re

import pytest

from alexnet.inspection.compare import Difference, compare
from alexnet.nets import NETS
from alexnet.nets.chain import Chain


def found(first: str, second: str) -> dict[str, tuple[str, str]]:
    differences = compare(first, second)
    assert len({d.what for d in differences}) == len(differences)
    return {d.what: (d.first, d.second) for d in differences}


def test_the_text_of_the_paper_and_the_net_that_ran_differ_in_these_things() -> None:
    paper, ran = NETS["alexnet"].source, NETS["alexnet-2012"].source
    assert compare("alexnet", "alexnet-2012") == [
        Difference("source", paper, ran),
        Difference("input_size", "227", "224"),
        Difference("conv1_padding", "0, 0", "end"),
        Difference("after_conv1", "activation, norm, pool", "norm, pool, activation"),
        Difference("after_conv2", "activation, norm, pool", "activation, norm, spatial_norm, pool"),
        Difference("after_conv5", "activation, pool", "pool, activation"),
        Difference("norm.convention", "paper", "caffe"),
        Difference("pool_rounding", "floor", "ceil"),
        Difference(
            "weight_std",
            "0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01",
            "0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01",
        ),
        Difference("relu1", "ReLU 96x55x55", "ReLU 96x27x27"),
        Difference("relu5", "ReLU 256x13x13", "ReLU 256x6x6"),
        Difference("pad1", "-", "zero padding 3x227x227"),
        Difference("cnorm2", "-", "spatial norm 256x27x27"),
        Difference(
            "order of layers",
            "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 "
            "conv3 relu3 conv4 relu4 conv5 relu5 pool5",
            "pad1 conv1 norm1 pool1 relu1 conv2 relu2 norm2 cnorm2 pool2 "
            "conv3 relu3 conv4 relu4 conv5 pool5 relu5",
        ),
        Difference("total activation_bytes", "7,737,760", "8,084,748"),
    ]


@pytest.mark.parametrize("name", NETS)
def test_a_net_does_not_differ_from_itself(name: str) -> None:
    assert compare(name, name) == []


@pytest.mark.parametrize("pair", [("alexnet", "torchvision"), ("caffenet", "keras")])
def test_the_other_way_round_says_the_same_with_the_sides_exchanged(pair: tuple[str, str]) -> None:
    one, other = found(*pair), found(*pair[::-1])
    assert other == {what: (second, first) for what, (first, second) in one.items()}


def test_columns_show_in_the_parameters_of_the_layers_that_they_part() -> None:
    differences = found("alexnet", "alexnet-1col")
    assert differences["columns"] == ("2", "1")
    parameters = ("307,456 parameters", "614,656 parameters")
    assert differences["conv2"] == (
        f"convolution 256x27x27, {parameters[0]}",
        f"convolution 256x27x27, {parameters[1]}",
    )
    assert {"conv4", "conv5"} <= set(differences)
    assert not {"conv1", "conv3", "fc6", "order of layers"} & set(differences)
    assert differences["total parameters"] == ("60,965,224", "62,378,344")
    assert differences["total multiply_adds"] == ("724,406,816", "1,135,256,096")


def test_bvlc_alexnet_and_caffenet_differ_in_the_order_of_two_steps_and_in_their_biases() -> None:
    differences = found("bvlc-alexnet", "caffenet")
    assert set(differences) == {
        *("source", "after_conv1", "after_conv2", "initial_biases", "norm1", "norm2"),
        *("order of layers", "total activation_bytes"),
    }
    assert differences["initial_biases"] == (
        "0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0",
        "0, 1, 0, 1, 1, 1, 1, 0",
    )
    assert differences["order of layers"] == (
        "norm1 pool1 conv2 relu2 norm2 pool2",  # what is before and after is the same in both
        "pool1 norm1 conv2 relu2 pool2 norm2",
    )


def test_notes_and_published_figures_are_no_differences() -> None:
    for name in NETS:
        assert not {"notes", "published"} & set(found("alexnet", name))


def test_an_unknown_net_is_refused_on_either_side() -> None:
    message = re.escape("no net is called 'cafenet' (did you mean 'caffenet'?)")
    for pair in (("cafenet", "alexnet"), ("alexnet", "cafenet")):
        with pytest.raises(ValueError, match=message):
            compare(*pair)


def test_nets_of_two_families_share_some_fields_and_miss_others() -> None:
    differences = found("vgg16", "resnet18")
    assert differences["widths"] == ("64, 128, 256, 512, 512", "64, 128, 256, 512")
    assert differences["fc_units"] == ("4096", "-")
    assert differences["bottleneck"] == ("-", "False")
    assert differences["conv2_1"] == ("convolution 128x112x112, 73,856 parameters", "-")
    assert differences["conv2_1.add"] == ("-", "addition 64x56x56")
    assert not {"order of layers", "input_size"} & set(differences)


def test_a_preset_that_is_no_dataclass_says_its_source_and_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Plain:
        """A net that was read from a file."""

        source, input_size, channels = "a file", 67, 3
        published, published_classes, notes = None, 1000, ()

        def build(self, *, classes: int = 1000, input_size: int | None = None) -> Chain:
            return NETS["alexnet"].build(classes=classes, input_size=input_size or 67)

        def check_input(self, input_size: int) -> int:
            return NETS["alexnet"].check_input(input_size)

    monkeypatch.setitem(NETS, "plain", Plain())
    differences = found("alexnet", "plain")
    assert differences["source"] == (NETS["alexnet"].source, "a file")
    assert differences["input_size"] == ("227", "67")
    assert differences["fc_units"] == ("4096", "-")
