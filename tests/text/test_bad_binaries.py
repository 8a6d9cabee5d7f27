"""Bad binary files, case by case: each is answered in few calls and in a file's own memory."""

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.text import wire
from alexnet.text.blobs import blob_array, load_mean, make_blob, save_mean
from alexnet.text.datum import decode_datum, make_datum, make_encoded_datum
from alexnet.text.message import Message, TextError
from alexnet.text.weights import (
    Weights,
    check_fit,
    load_state,
    load_weights,
    save_state,
    weights_of,
)
from tests import calls

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"
MODEL = (GOLDEN / "tiny_iter_2.caffemodel").read_bytes()
SHAPES = {"conv1": [(2, 1, 3, 3), (2,)], "ip": [(3, 30), (3,)], "twin": [(3, 30), (3,)]}


MOST_CALLS = 20 * wire.MAX_VALUES  # sixteen a field, of as many fields as are read at most


@pytest.fixture(autouse=True)
def in_few_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """Bound the work by the calls it makes."""
    if "fuzz" in request.node.name:
        yield
        return
    with calls.at_most(MOST_CALLS):
        yield


@pytest.fixture
def load(tmp_path: Path) -> Callable[[bytes], Weights]:
    def load(data: bytes) -> Weights:
        (tmp_path / "x.caffemodel").write_bytes(data)
        return load_weights(tmp_path / "x.caffemodel")

    return load


Load = Callable[[bytes], Weights]


def refused(load: Load, data: bytes, match: str) -> None:
    with pytest.raises(TextError, match=rf"x\.caffemodel.*{match}"):
        load(data)


def layer(**fields: Any) -> bytes:
    """Return a net of one layer."""
    net = Message("NetParameter", {"name": "net"})
    net.add("layer", {"name": "fc", "type": "InnerProduct", **fields})
    return wire.encode(net)


# ---- The bytes ----------------------------------------------------------------------------------


def test_a_file_cut_at_64_places_is_refused_or_lacks_whole_layers(load: Load) -> None:
    whole, refusals = load(MODEL), 0
    for cut in np.linspace(1, len(MODEL) - 1, 64).astype(int):
        try:
            weights = load(MODEL[:cut])
        except TextError:
            refusals += 1
            continue
        for name, arrays in weights.items():  # the cut lies between two layers
            for one, other in zip(arrays, whole[name], strict=True):
                np.testing.assert_array_equal(one, other)
    assert refusals >= 60


def test_an_empty_file_is_refused(load: Load) -> None:
    refused(load, b"", " is empty; copy or download it again")


def test_a_number_of_11_bytes_is_refused(load: Load) -> None:
    refused(load, b"\x28" + b"\xff" * 10 + b"\x01", "byte 11.*a number has more than 10 bytes")
    refused(load, b"\xff" * 11, "byte 10: a number has more than 10 bytes")


def test_a_number_cut_by_the_end_is_refused(load: Load) -> None:
    refused(load, MODEL + b"\x28\xff", "in force_backward: the file is cut in a number")
    refused(load, MODEL + b"\xff", "the file is cut in a number")


def test_a_length_past_the_end_is_refused(load: Load) -> None:
    refused(load, b"\x0a\x05ab", "byte 1 in name: 5 bytes are announced, but 2 are left; copy or")
    huge = b"\xa2\x06" + b"\xff" * 9 + b"\x01"
    refused(load, huge, r"in layer: 18446744073709551615 bytes are announced, but 0 are left")


def test_a_length_past_its_message_is_refused(load: Load) -> None:
    data = b"\xa2\x06\x04\x0a\x05ab" + b"x" * 10
    refused(load, data, r"in layer\[0\].name: 5 bytes are announced, but 2 are left")


def test_wire_types_that_do_not_exist_are_refused(load: Load) -> None:
    refused(load, b"\x0e", r"6 is no wire type \(field 1\)")
    refused(load, b"\x0f", r"7 is no wire type \(field 1\)")


def test_field_numbers_that_do_not_exist_are_refused(load: Load) -> None:
    refused(load, b"\x00\x01", "byte 0: 0 is no field's number")
    refused(load, b"\x80\x80\x80\x80\x10\x01", "byte 0: 536870912 is no field's number")


def test_groups_are_refused(load: Load) -> None:
    refused(load, b"\x1b\x1c", "field 3 is a group, which Caffe does not have")
    refused(load, b"\x0c", "field 1 is a group")


def test_nesting_of_100000_is_refused_or_not_followed(load: Load) -> None:
    refused(load, b"\x1b" * 100_000, "field 3 is a group, which Caffe does not have")
    data = b""
    for _ in range(100_000 // 25):  # a length grows with what it holds: 4,000 deep are 16 kB
        data = b"\xa2\x06" + varint(len(data)) + data
    refused(load, data, r"holds no weights: none of its layers \(1\) has a blob")


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_values_cut_in_the_middle_are_refused(load: Load) -> None:
    blob = b"\x2a\x05\0\0\0\0\0"
    data = b"\x3a" + varint(len(blob)) + blob
    refused(load, b"\xa2\x06" + varint(len(data)) + data, "data: 5 bytes are no float values")
    refused(load, b"\xa2\x06\x03\x2d\0\0", r"in layer\[0\].loss_weight: the file is cut in a num")
    refused(load, b"\xa2\x06\x05\xad\x06\0\0\0", "the file is cut in a field that is not known")
    refused(load, b"\xa2\x06\x06\xa2\x06\x03\x0d\0\0", "scale: the file is cut in a float")


def many_dims() -> bytes:
    dims = b"\x0a" + varint(10**6) + b"\x01" * 10**6
    shape = b"\x3a" + varint(len(dims)) + dims
    blob = b"\x3a" + varint(len(shape)) + shape
    return b"\xa2\x06" + varint(len(blob)) + blob


def many_loss_weights() -> bytes:
    weights = b"\x2a" + varint(4 * 10**6) + bytes(4 * 10**6)
    return b"\xa2\x06" + varint(len(weights)) + weights


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: b"\xa2\x06\0" * (wire.MAX_VALUES + 1), id="layers"),
        pytest.param(lambda: b"\xc8\x3e\x01" * (wire.MAX_VALUES + 1), id="unknown"),
        pytest.param(many_dims, id="dims"),
        pytest.param(many_loss_weights, id="loss weights"),
    ],
)
def test_more_fields_than_any_net_has_are_refused(load: Load, data: Callable[[], bytes]) -> None:
    refused(load, data(), "this is no file of Caffe's: more than 100000 fields")


# ---- The blobs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "match"),
    [
        ([2, 3], "a blob of shape 2 x 3 needs 6 values, but its data holds 4; copy or download"),
        ([4, 0], "a blob has the shape 4 x 0; every dimension must be positive"),
        ([-2, -2], "a blob has the shape -2 x -2; every dimension must be positive"),
        ([2**21, 2**21, 2**22], "a blob of shape 2097152 x .* has more than 2147483647 values"),
        ([4] + [1] * 32, "a blob has 33 dimensions; Caffe has at most 32"),
    ],
)
def test_shapes_that_are_none_are_refused(load: Load, dims: list[int], match: str) -> None:
    blob = make_blob(np.ones(4))
    blob["shape"] = Message("BlobShape", {"dim": dims})
    with pytest.raises(TextError, match=rf"layer 'fc', blob 0: .*x\.caffemodel: {match}"):
        load(layer(blobs=[blob]))


def test_blobs_of_double_precision_are_taken(load: Load) -> None:
    blob = Message("BlobProto", {"double_data": np.array([0.1, 0.2])})
    blob["shape"] = Message("BlobShape", {"dim": [2]})
    assert load(layer(blobs=[blob]))["fc"][0].tolist() == np.array([0.1, 0.2], np.float32).tolist()


def test_half_precision_of_a_fork_is_refused(load: Load) -> None:
    blob = bytes.fromhex("3a 03 0a 01 02 50 02 62 04 00 3c 00 40")
    data = b"\x0a\x02fc\x3a" + varint(len(blob)) + blob
    refused(
        load,
        b"\xa2\x06" + varint(len(data)) + data,
        r"a blob holds raw data \(half precision\), as NVIDIA's fork of Caffe writes it; save",
    )


def test_a_net_beyond_two_gigabytes_is_not_written() -> None:
    net = Message("NetParameter")
    blob = Message("BlobProto", {"data": np.broadcast_to(np.float32(0), 2**29)})
    net.add("layer", {"name": "fc", "blobs": [blob]})
    with pytest.raises(TextError, match="Caffe reads at most 2147483647; write HDF5"):
        wire.encode(net)


def test_old_blobs_of_both_ages_are_taken(load: Load) -> None:
    for name in ("v0", "v1"):
        weights = load((GOLDEN / f"{name}.caffemodel").read_bytes())
        assert check_fit(weights, {"ip": [(2, 4), (2,)]}).blobs["ip"][0][1].tolist() == [5, 6, 7, 8]


# ---- The net that they are for ------------------------------------------------------------------


def test_missing_extra_and_renamed_layers_are_listed() -> None:
    given = weights_of(wire.decode(MODEL, "NetParameter"))
    renamed = {"conv1": SHAPES["conv1"], "ip2": SHAPES["ip"]}
    fit = check_fit(given, renamed)
    assert (fit.missing, fit.extra) == (("ip2",), ("ip", "twin"))


def test_fewer_and_more_blobs_are_refused() -> None:
    given = weights_of(wire.decode(MODEL, "NetParameter"))
    for wanted in ([(3, 30)], [(3, 30), (3,), (1,)]):
        with pytest.raises(TextError, match=r"do not fit the net in 1 layer:\n.*\n  ip +3 x 30, 3"):
            check_fit(given, {**SHAPES, "ip": wanted})


def test_the_weights_of_another_net_are_shown_layer_by_layer() -> None:
    given = weights_of(wire.decode(MODEL, "NetParameter"))
    other = {"conv1": [(96, 3, 11, 11), (96,)], "ip": [(1000, 4096), (1000,)]}
    with pytest.raises(TextError, match=r"conv1  2 x 1 x 3 x 3, 2  96 x 3 x 11 x 11, 96\n  ip  "):
        check_fit(given, other)


def test_weights_that_are_no_numbers_are_listed(load: Load) -> None:
    weights = load(layer(blobs=[make_blob(np.array([1, np.nan]))]))
    assert check_fit(weights, {"fc": [(2,)]}).warnings == (
        "layer 'fc', blob 0: 1 of 2 values are NaN or infinite",
    )


# ---- Other files in the place -------------------------------------------------------------------


def test_an_hdf5_file_under_the_name_of_a_caffemodel_is_taken(load: Load) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    weights = load((GOLDEN / "tiny_h5_iter_2.caffemodel.h5").read_bytes())
    assert weights["conv1"][0].shape == (2, 1, 3, 3)


def test_a_pointer_of_git_lfs_is_named(load: Load) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    refused(load, pointer, r"a Git LFS pointer, a note of 126 bytes .* 'git lfs pull'")


def test_a_mean_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    save_mean(tmp_path / "mean.binaryproto", np.zeros((3, 256, 256)))
    with pytest.raises(TextError, match="shape 3 x 256 x 256, the data 3 x 32 x 32; make the"):
        load_mean(tmp_path / "mean.binaryproto", shape=(3, 32, 32))


def test_a_datum_of_a_jpeg_is_decoded_and_a_damaged_one_refused() -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((9, 7, 3), 90, np.uint8), colorspace="RGB")
    assert decode_datum(make_encoded_datum(jpeg, 4))[0].shape == (3, 9, 7)
    with pytest.raises(TextError, match="a datum's picture: the JPEG is damaged"):
        decode_datum(make_encoded_datum(jpeg[:40], 4))


def test_a_datum_of_floats_is_taken() -> None:
    pixels = np.random.default_rng(0).normal(size=(4096, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(decode_datum(make_datum(pixels, 1))[0], pixels)


def test_a_state_of_another_iteration_is_refused(tmp_path: Path) -> None:
    state = load_state(GOLDEN / "tiny_iter_2.solverstate")
    moved = type(state)(9, state.current_step, state.learned_net, state.history)
    save_state(tmp_path / "tiny_iter_9.solverstate", moved)
    again = load_state(tmp_path / "tiny_iter_9.solverstate")
    with pytest.raises(TextError, match="is of iteration 9, but names the weights tiny_iter_2"):
        again.weights_path(tmp_path / "tiny_iter_9.solverstate")


# ---- Fuzz ---------------------------------------------------------------------------------------

READERS: dict[str, Callable[[bytes], object]] = {
    "tiny_iter_2.caffemodel": lambda data: weights_of(wire.decode(data, "NetParameter")),
    "v0.caffemodel": lambda data: wire.decode(data, "NetParameter"),
    "v1.caffemodel": lambda data: wire.decode(data, "NetParameter"),
    "tiny_iter_2.solverstate": lambda data: [
        blob_array(blob) for blob in wire.decode(data, "SolverState")["history"]
    ],
    "mean.binaryproto": lambda data: blob_array(wire.decode(data, "BlobProto")),
    "datum.bin": decode_datum,
}

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "repeat"]),
        st.integers(0, 10**6),
        st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]),
    ),
    min_size=1,
    max_size=6,
)


def mutated(original: bytes, changes: list[tuple[str, int, int]], cut: int) -> bytes:
    data = bytearray(original)
    for what, place, value in changes:
        at = place % max(len(data), 1)
        if what == "set" and data:
            data[at] = value
        elif what == "insert":
            data[at:at] = bytes([value])
        elif what == "delete":
            del data[at : at + value]
        else:
            data[at:at] = data[at : at + value]
    return bytes(data[: len(data) - cut % 50])


@pytest.mark.parametrize("name", READERS)
def test_fuzz_raises_text_errors_only_and_stays_small(name: str) -> None:
    original = (GOLDEN / name).read_bytes()

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(CHANGES, st.just(0) | st.integers(0, 49))
    def attack(changes: list[tuple[str, int, int]], cut: int) -> None:
        data = mutated(original, changes, cut)
        tracemalloc.start()
        try:
            READERS[name](data)
        except TextError:
            pass
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 64 * len(data) + 2**18

    attack()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["NetParameter", "SolverState", "Datum"]))
def test_fuzz_of_any_bytes_raises_text_errors_only(data: bytes, kind: str) -> None:
    try:
        message = wire.decode(data, kind)
    except TextError:
        return
    assert wire.decode(wire.encode(message), kind) == message
