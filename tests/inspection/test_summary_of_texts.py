"""Nets that are given as text, in numbers: the kinds of Caffe, their products, what they see."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from alexnet.inspection.compare import compare
from alexnet.inspection.figures import LayerFigures
from alexnet.inspection.summary import summarise, text_figures
from alexnet.text.picture import PictureNet, preset_of
from alexnet.text.prototxt import parse
from tests.text.small_nets import layer


def data(side: int, channels: int = 1) -> str:
    dims = f"dim: 1 dim: {channels} dim: {side} dim: {side}"
    return (
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}'
    )


def windows(name: str, kind: str, bottom: str, numbers: str, *, outputs: int = 2) -> str:
    text = f"convolution_param {{ num_output: {outputs} {numbers} }}"
    return layer(name, kind, bottom, text=text)


def pool(name: str, bottom: str, numbers: str, top: str = "") -> str:
    return layer(name, "Pooling", bottom, top, f"pooling_param {{ {numbers} }}")


def inner(name: str, bottom: str, *, outputs: int, more: str = "") -> str:
    text = f"inner_product_param {{ num_output: {outputs} {more} }}"
    return layer(name, "InnerProduct", bottom, text=text)


def net_of(text: str) -> PictureNet:
    """Build the text with its memory; its weights are ones, its biases zeros."""
    preset = preset_of(parse(text, "NetParameter", source="net.prototxt"), source="net.prototxt")
    net = preset.build(classes=preset.published_classes).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    return net.eval()


def rows_of(text: str) -> dict[str, LayerFigures]:
    preset = preset_of(parse(text, "NetParameter", source="net.prototxt"), source="net.prototxt")
    with torch.device("meta"):
        net = preset.build(classes=preset.published_classes)
        x = torch.empty(1, preset.channels, preset.input_size, preset.input_size)
    return {row.name: row for row in text_figures(net, x)}


def widest_gradient(net: PictureNet, blob: str, *, inner: range) -> int:
    """Return the most columns of a picture that one of a blob's inner columns depends on."""
    size = net.input_size
    x = torch.rand(1, 1, size, size, dtype=torch.double, requires_grad=True)
    y = net(x, upto=blob)
    widths = []
    for column in inner:
        (dx,) = torch.autograd.grad(y[..., column].sum(), x, retain_graph=True)
        columns = dx.abs().sum((0, 1, 2)).nonzero().flatten()
        widths.append(int(columns.max() - columns.min()) + 1)
    return max(widths)


FCN = (
    data(61)
    + windows("conv1", "Convolution", "data", "kernel_size: 3 pad: 9")
    + pool("pool1", "conv1", "pool: AVE kernel_size: 2 stride: 2")
    + windows("conv2", "Convolution", "pool1", "kernel_size: 3 pad: 1")
    + pool("pool2", "conv2", "pool: AVE kernel_size: 2 stride: 2")
    + windows("conv3", "Convolution", "pool2", "kernel_size: 3")
    + windows("score", "Convolution", "conv3", "kernel_size: 1", outputs=3)
    + windows("up2", "Deconvolution", "score", "kernel_size: 4 stride: 2 bias_term: false")
    + windows("score1", "Convolution", "pool1", "kernel_size: 1", outputs=2)
    + layer("crop1", "Crop", "score1 up2", text="crop_param { axis: 2 offset: 1 }")
    + layer("fuse", "Eltwise", "up2 crop1")
    + windows("smooth", "Convolution", "fuse", "kernel_size: 3 pad: 1")
    + windows("up4", "Deconvolution", "smooth", "kernel_size: 4 stride: 2 group: 2")
    + layer("out", "Crop", "up4 data", text="crop_param { axis: 2 offset: 9 }")
)
"""A small net of the kind of Long, Shelhamer and Darrell 2015, with averages for all its pools."""


def test_layers_are_called_by_their_kinds_in_the_text() -> None:
    rows = rows_of(FCN)
    assert {name: row.type for name, row in rows.items()} == {
        "conv1": "Convolution",
        "pool1": "Pooling",
        "conv2": "Convolution",
        "pool2": "Pooling",
        "conv3": "Convolution",
        "score": "Convolution",
        "up2": "Deconvolution",
        "score1": "Convolution",
        "crop1": "Crop",
        "fuse": "Eltwise",
        "smooth": "Convolution",
        "up4": "Deconvolution",
        "out": "Crop",
    }
    assert rows["up4"].operation == "transposed convolution"


def test_a_segmenting_net_counts_its_products_by_hand() -> None:
    rows = rows_of(FCN)
    sides = {name: row.output[-1] for name, row in rows.items()}
    assert sides == {
        "conv1": 77,
        "pool1": 39,
        "conv2": 39,
        "pool2": 20,
        "conv3": 18,
        "score": 18,
        "up2": 38,
        "score1": 39,
        "crop1": 38,
        "fuse": 38,
        "smooth": 38,
        "up4": 78,
        "out": 61,
    }
    assert {name: row.multiply_adds for name, row in rows.items() if row.multiply_adds} == {
        "conv1": 77 * 77 * 9 * 1 * 2,
        "conv2": 39 * 39 * 9 * 2 * 2,
        "conv3": 18 * 18 * 9 * 2 * 2,
        "score": 18 * 18 * 1 * 2 * 3,
        "up2": 18 * 18 * 16 * 3 * 2,  # each input meets each tap
        "score1": 39 * 39 * 1 * 2 * 2,
        "smooth": 38 * 38 * 9 * 2 * 2,
        "up4": 38 * 38 * 16 * 2 * 1,  # two groups
    }
    assert rows["up2"].neurons == 2 * 38 * 38
    assert (rows["up2"].parameters, rows["up4"].parameters) == (16 * 3 * 2, 16 * 2 + 2)


def test_a_segmenting_net_sees_the_pixels_that_its_gradient_reaches() -> None:
    net, rows = net_of(FCN), rows_of(FCN)
    # Columns whose pixels are all inside of the picture, and more than one period of them.
    columns = {"up2": range(15, 19), "fuse": range(15, 19), "smooth": range(15, 19)}
    columns |= {"conv3": range(8, 10), "up4": range(34, 42), "out": range(26, 34)}
    for blob, inside in columns.items():
        assert rows[blob].receptive_field == widest_gradient(net, blob, inner=inside), blob


POOLS = {
    "max": "pool: MAX kernel_size: 3 stride: 2 pad: 2",  # more pad than torch's own layer takes
    "gaps": "pool: AVE kernel_size: 2 stride: 3",
    "wide": "pool: AVE kernel_h: 2 kernel_w: 5 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 4",
    "stochastic": "pool: STOCHASTIC kernel_size: 3 stride: 2",
    "plain": "pool: AVE kernel_size: 3 stride: 1 pad: 1",
}
SEEN = {"max": 3, "gaps": 2, "wide": 5, "stochastic": 3, "plain": 3}
STRIDES = {"max": 2, "gaps": 3, "wide": 3, "stochastic": 2, "plain": 1}


@pytest.mark.parametrize("kind", POOLS)
def test_every_pool_of_a_chain_adds_its_window_and_its_stride(kind: str) -> None:
    text = (
        data(41)
        + windows("conv1", "Convolution", "data", "kernel_size: 3 stride: 2")
        + pool("pool", "conv1", POOLS[kind])
        + windows("conv2", "Convolution", "pool", "kernel_size: 3")
        + inner("fc", "conv2", outputs=4)
    )
    rows = rows_of(text)
    assert rows["pool"].receptive_field == 3 + (SEEN[kind] - 1) * 2
    after = rows["pool"].receptive_field + 2 * 2 * STRIDES[kind]
    assert rows["conv2"].receptive_field == after
    steps = rows["conv2"].output[-1] - 1
    assert rows["fc"].receptive_field == after + steps * 2 * STRIDES[kind]


@pytest.mark.parametrize("kind", ["pool: MAX", "pool: AVE", "pool: STOCHASTIC"])
def test_a_global_pool_sees_the_whole_and_so_does_all_that_follows(kind: str) -> None:
    text = (
        data(21)
        + windows("conv1", "Convolution", "data", "kernel_size: 5 stride: 2")
        + pool("pool", "conv1", f"{kind} global_pooling: true")
        + layer("flat", "Flatten", "pool")
        + inner("fc", "flat", outputs=16)
        + layer(
            "maps", "Reshape", "fc", text="reshape_param { shape { dim: 0 dim: 1 dim: 4 dim: 4 } }"
        )
        + windows("conv2", "Convolution", "maps", "kernel_size: 3", outputs=4)
        + pool("pool2", "conv2", "pool: AVE kernel_size: 2")
    )
    rows = rows_of(text)
    assert rows["conv1"].receptive_field == 5
    whole = {"pool", "flat", "fc", "maps", "conv2", "pool2"}
    assert {rows[name].receptive_field for name in whole} == {21}


def test_a_pool_with_a_mask_sees_its_windows() -> None:
    text = (
        data(17)
        + pool("pool", "data", "kernel_size: 3 stride: 2", "pool mask")
        + layer("both", "Concat", "pool mask")
        + inner("fc", "both", outputs=4)
    )
    rows = rows_of(text)
    assert (rows["pool"].output, rows["both"].output) == ((1, 8, 8), (2, 8, 8))
    assert (rows["pool"].receptive_field, rows["both"].receptive_field) == (3, 3)


def test_layers_with_other_axes_count_their_products_and_see_all_rows() -> None:
    text = (
        data(12)
        + layer(
            "line", "Reshape", "data", text="reshape_param { shape { dim: 0 dim: 12 dim: 12 } }"
        )
        + windows("conv1d", "Convolution", "line", "kernel_size: 3", outputs=6)
        + windows("up1d", "Deconvolution", "conv1d", "kernel_size: 2 stride: 2 group: 3", outputs=9)
        + layer(
            "box",
            "Reshape",
            "up1d",
            text="reshape_param { shape { dim: 0 dim: 1 dim: 9 dim: 4 dim: 5 } }",
        )
        + windows("conv3d", "Convolution", "box", "kernel_size: 2", outputs=3)
        + inner("fc", "conv3d", outputs=4, more="transpose: true")
    )
    rows = rows_of(text)
    assert rows["conv1d"].multiply_adds == 10 * 3 * 12 * 6
    assert rows["up1d"].multiply_adds == 10 * 2 * 6 * 3
    assert rows["conv3d"].multiply_adds == (8 * 3 * 4) * 8 * 3
    assert rows["fc"].multiply_adds == 3 * 8 * 3 * 4 * 4
    assert rows["fc"].parameters == 3 * 8 * 3 * 4 * 4 + 4
    # A row of the picture stays a row; where rows are cut anew, each place may see all of them.
    fields = {name: row.receptive_field for name, row in rows.items()}
    assert fields == {"line": 1, "conv1d": 3, "up1d": 3, "box": 12, "conv3d": 12, "fc": 12}


def test_a_layer_of_several_bottoms_is_one_row() -> None:
    text = (
        data(11)
        + layer("split", "Split", "data", "one two")
        + pool("small", "two", "pool: AVE kernel_size: 3 stride: 1 pad: 1")
        + layer(
            "conv",
            "Convolution",
            "one small",
            "left right",
            "convolution_param { num_output: 2 kernel_size: 3 }",
        )
        + layer("join", "Concat", "left right")
        + inner("fc", "join", outputs=3)
    )
    rows = rows_of(text)
    assert list(rows) == ["split", "small", "conv", "join", "fc"]
    assert rows["conv"].multiply_adds == 2 * 9 * 9 * 9 * 2
    assert (rows["conv"].parameters, rows["conv"].neurons) == (20, 2 * 2 * 81)
    assert (rows["conv"].receptive_field, rows["join"].receptive_field) == (3, 5)


def test_a_learned_blob_is_a_row_of_the_table() -> None:
    text = (
        data(5) + 'layer { name: "map" type: "Parameter" top: "map" '
        "parameter_param { shape { dim: 1 dim: 1 dim: 5 dim: 5 } } }\n"
        + layer("sum", "Eltwise", "data map")
        + inner("fc", "sum", outputs=3)
    )
    rows = rows_of(text)
    assert (rows["map"].type, rows["map"].parameters, rows["map"].multiply_adds) == (
        "Parameter",
        25,
        0,
    )


def test_auxiliary_classifiers_of_a_text_are_a_note_and_no_rows(tmp_path: Path) -> None:
    text = (
        data(9)
        + 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }'
        + windows("conv", "Convolution", "data", "kernel_size: 3")
        + inner("aux", "conv", outputs=3)
        + layer("aux loss", "SoftmaxWithLoss", "aux label", text="loss_weight: 0.3")
        + inner("fc", "conv", outputs=3)
        + layer("loss", "SoftmaxWithLoss", "fc label")
    )
    path = tmp_path / "two.prototxt"
    path.write_text(text)
    found = summarise(str(path))
    assert [row.name for row in found.layers] == ["conv", "fc"]
    beside = 3 * 2 * 49 + 3
    assert found.notes == (
        f"{beside} more parameters serve training only and are not counted here.",
    )
    assert json.loads(json.dumps(found.to_json()))["layers"] == [
        json.loads(json.dumps(asdict(row))) for row in found.layers
    ]


def test_a_text_is_compared_with_a_net_of_ours_by_what_its_layers_compute(tmp_path: Path) -> None:
    path = tmp_path / "lenet.prototxt"
    path.write_text(
        data(28)
        + windows("conv1", "Convolution", "data", "kernel_size: 5", outputs=20)
        + pool("pool1", "conv1", "pool: AVE kernel_size: 2 stride: 2")
        + inner("ip2", "pool1", outputs=10)
    )
    found = {each.what: (each.first, each.second) for each in compare(str(path), "lenet")}
    assert "conv1" not in found
    assert found["pool1"] == ("average pooling 20x12x12", "max pooling 20x12x12")


def test_counting_leaves_a_text_in_the_phase_that_it_was_in() -> None:
    preset = preset_of(parse(FCN, "NetParameter", source="net.prototxt"), source="net.prototxt")
    with torch.device("meta"):
        net = preset.build(classes=2).train()
        text_figures(net, torch.empty(1, 1, 61, 61))
    assert all(module.training for module in net.modules())
