"""Named bad nets (P14 to P18, P22 to P27), from text, answered with their places and at once.

Nothing of a refused net is given memory: sizes are checked before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alexnet.text.graph import TextNet
from alexnet.text.message import TextError
from alexnet.text.parser import MAX_LAYERS
from alexnet.text.prototxt import parse
from tests import calls
from tests.text.small_nets import DATA, X, conv, inner, layer

MOST_CALLS = 200 * MAX_LAYERS


@contextmanager
def refused(why: str) -> Iterator[None]:
    """Hold a block to a refusal that says why, after few calls."""
    with calls.at_most(MOST_CALLS), pytest.raises(TextError, match=why):
        yield


def build(text: str) -> TextNet:
    return TextNet(parse(text, "NetParameter", source="net.prototxt"))


def given(dims: str) -> str:
    sides = " ".join(f"dim: {side}" for side in dims.split())
    return f'layer {{ name: "in" type: "Input" top: "in" input_param {{ shape {{ {sides} }} }} }}'


# ---- What is connected to what ------------------------------------------------------------------


def test_p14_a_layer_that_stands_twice_is_refused_with_both_places() -> None:
    why = r"net.prototxt:3: layer 'c': a layer of that name stands at net.prototxt:2:9 too"
    with refused(why):
        build(DATA + conv("c", "data") + layer("c", "ReLU", "c", "d"))


def test_p14_a_top_that_stands_twice_is_refused_with_both_places() -> None:
    why = (
        r"net.prototxt:3:\d+: layer 'd': top 'c' is made by layer 'c' too at net.prototxt:2:\d+; "
        "give one of them another name"
    )
    with refused(why):
        build(DATA + conv("c", "data") + layer("d", "ReLU", "data", "c"))


def test_p14_one_layer_may_not_name_a_top_twice() -> None:
    with refused(r"net.prototxt:2:\d+: layer 'cut': names the top 'a' twice; rename one"):
        build(DATA + layer("cut", "Slice", "data", "a a", "slice_param { slice_point: 1 }"))


def test_p15_a_circle_is_refused_with_both_places() -> None:
    why = (
        r"net.prototxt:2:\d+: layer 'sum': bottom 'back' is made only later, by layer 'back' at "
        r"net.prototxt:3:\d+; .*may not form a circle"
    )
    with refused(why):
        build(DATA + layer("sum", "Eltwise", "data back") + layer("back", "ReLU", "sum"))


def test_p15_a_layer_that_reads_itself_is_refused() -> None:
    with refused(r"layer 'c': bottom 'c' is made only later, by layer 'c' at net.prototxt:2:\d+"):
        build(DATA + layer("c", "ReLU", "c"))


def test_p16_a_bottom_that_nothing_makes_names_the_nearest_blob() -> None:
    why = r"net.prototxt:2:\d+: layer 'c': no layer before makes the bottom 'dta'.*mean 'data'"
    with refused(why):
        build(DATA + conv("c", "dta"))


def test_p16_a_bottom_whose_maker_stands_in_the_other_phase_is_refused() -> None:
    aside = layer("aside", "ReLU", "data", "aside", "include { phase: TRAIN }")
    with refused(r"layer 'c': no layer before makes the bottom 'aside'; there is data"):
        build(DATA + aside + conv("c", "aside"))


def test_p17_a_blob_that_is_read_before_it_is_made_is_refused() -> None:
    with refused(r"layer 'first': bottom 'second' is made only later, by layer 'second' at "):
        build(DATA + conv("first", "second") + conv("second", "data"))


def test_p18_work_in_place_on_what_another_layer_reads_is_refused() -> None:
    why = (
        r"net.prototxt:4:\d+: layer 'relu': works in place on 'c', made by layer 'c' at "
        r"net.prototxt:2:\d+ and read by another layer before; give the top another name"
    )
    with refused(why):
        build(DATA + conv("c", "data") + conv("d", "c") + layer("relu", "ReLU", "c", "c"))


# ---- Sizes --------------------------------------------------------------------------------------


def test_p22_a_group_that_does_not_divide_is_refused() -> None:
    text = "convolution_param { num_output: 4 kernel_size: 3 group: 2 }"
    with refused(r"net.prototxt:2: layer 'c': channels 3 is not divisible by group 2"):
        build(DATA + layer("c", "Convolution", "data", text=text))


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ("kernel_size: 0", "kernel_size is 0, 0; give a number from 1 up"),
        ("kernel_size: 3 stride: 0", "stride is 0, 0; give a number from 1 up"),
        ("kernel_size: 3 dilation: 0", "dilation is 0, 0; give a number from 1 up"),
    ],
)
def test_p23_a_kernel_or_stride_of_zero_is_refused(numbers: str, why: str) -> None:
    text = f"convolution_param {{ num_output: 4 {numbers} }}"
    with refused(rf"net.prototxt:2: layer 'c': {why}"):
        build(DATA + layer("c", "Convolution", "data", text=text))


def test_p24_a_pad_of_a_pooling_that_is_not_below_its_kernel_is_refused() -> None:
    with refused(r"net.prototxt:2: layer 'p': pad 3 is not below the kernel of 3"):
        build(DATA + layer("p", "Pooling", "data", "p", "pooling_param { kernel_size: 3 pad: 3 }"))


def test_p24_a_convolution_may_have_a_large_pad_as_in_the_original() -> None:
    text = "convolution_param { num_output: 4 kernel_size: 1 pad: 2 }"
    net = build(DATA + layer("c", "Convolution", "data", text=text))
    assert net.shapes["c"] == (2, 4, 11, 13)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (given("1048576 1048576"), "a blob of 1048576 x 1048576 has 1,099,511,627,776 el"),
        (
            given("2147483648"),
            "a blob of 2147483648 has 2,147,483,648 elements; at most 2,147,483,",
        ),
        (given("4294967296 4294967296"), "a blob would have more than 2,147,483,647 elements"),
        (given("9223372036854775807 3"), "a blob would have more than 2,147,483,647 elements"),
        (given("3 0 4"), r"the shape \(3, 0, 4\) has a side that is not positive"),
        (given("3 -1 4"), r"the shape \(3, -1, 4\) has a side that is not positive"),
        (
            DATA + inner("c", "data", outputs=100_000_000),
            "a blob of 100000000 x 189 has 18,900,000,",
        ),
        (DATA + inner("c", "data", outputs=2**31 - 1), "elements; at most 2,147,483,647"),
        (DATA + conv("c", "data", outputs=2**31 - 1), "elements; at most 2,147,483,647"),
        (DATA + conv("c", "data", kernel=2**31), r"a kernel that spans 2147483648 does not fit"),
        (
            DATA + layer("c", "Tile", "data", "c", "tile_param { tiles: 2147483647 }"),
            "a blob of 2 x 6442450941 x 7 x 9 has 811,748,818,566 elements",
        ),
        (
            DATA
            + layer(
                "c",
                "Embed",
                "data",
                "c",
                "embed_param { num_output: 2147483647 input_dim: 2147483647 }",
            ),
            "a blob would have more than 2,147,483,647 elements",
        ),
        (
            DATA
            + layer(
                "c",
                "Deconvolution",
                "data",
                "c",
                "convolution_param { num_output: 1 kernel_size: 3 stride: 2147483647 }",
            ),
            "a blob would have more than 2,147,483,647 elements",
        ),
        (
            DATA
            + 'layer { name: "c" type: "DummyData" top: "c" '
            + "dummy_data_param { shape { dim: 1099511627776 } } }",
            "a blob of 1099511627776 has 1,099,511,627,776 elements",
        ),
    ],
)
def test_p25_a_blob_that_no_memory_holds_is_refused_before_any_is_taken(
    text: str, why: str
) -> None:
    with refused(rf"net.prototxt:\d.*layer '(in|c)': .*{why}"):
        build(text)


def test_p25_a_million_layers_are_refused() -> None:
    text = "layer { }\n" * 1_000_000
    with refused(f"net.prototxt:10001:1: there are more than {MAX_LAYERS} layers"):
        build(text)


def test_layers_whose_bottoms_do_not_fit_say_both_shapes() -> None:
    with refused(r"net.prototxt:4: layer 'sum': .*\(2, 4, 5, 7\).*\(2, 5, 5, 7\)"):
        text = DATA + conv("a", "data") + conv("b", "data", outputs=5)
        build(text + layer("sum", "Eltwise", "a b"))


# ---- Code and files from elsewhere --------------------------------------------------------------


def test_p26_a_python_layer_is_refused_for_it_is_code() -> None:
    text = 'python_param { module: "m" layer: "L" }'
    why = r"net.prototxt:2:\d+: layer 'p': a Python layer runs the code of m.L, which is no part of"
    with refused(why):
        build(DATA + layer("p", "Python", "data", text=text))


@pytest.mark.parametrize("source", ["{folder}/list.txt", "{folder}/inside/../list.txt"])
def test_p27_a_source_may_lie_anywhere_as_in_the_original(tmp_path: Path, source: str) -> None:
    """Laboratories' files name absolute paths; a path only names what is read, never written."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "list.txt").write_text("")
    path = source.format(folder=tmp_path)
    text = (
        'layer { name: "read" type: "HDF5Data" top: "x" '
        f'hdf5_data_param {{ source: "{path}" batch_size: 1 }} }}'
    )
    with refused(r"net.prototxt:1: layer 'read': .*list.txt.* (no|empty)"):
        build(text)


def test_p27_a_net_never_writes_over_a_file_that_is_no_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "thesis.tex"
    path.write_text("ten years of work")
    text = f'hdf5_output_param {{ file_name: "{path}" }}'
    bare = f'layer {{ name: "w" type: "HDF5Output" bottom: "data" bottom: "data" {text} }}'
    net = build(DATA + bare)
    with pytest.raises(ValueError, match=r"thesis.tex is there and is no HDF5 file; use another"):
        net.run({"data": X})
    assert path.read_text() == "ten years of work"
