from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.text import wire
from alexnet.text.blobs import make_blob
from alexnet.text.message import Message, TextError
from alexnet.text.weights import (
    State,
    check_fit,
    is_hdf5,
    load_net,
    load_state,
    load_weights,
    save_state,
    save_weights,
    shape_fits,
    weights_of,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"
SHAPES = {"conv1": [(2, 1, 3, 3), (2,)], "ip": [(3, 30), (3,)], "twin": [(3, 30), (3,)]}
OLD_IP = np.arange(1, 9, dtype=np.float32).reshape(2, 4)

Array = NDArray[np.float32]


def ones(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.ones(shape, np.float32) for shape in shapes]


# ---- Files --------------------------------------------------------------------------------------


def test_weights_of_the_original_come_by_layer() -> None:
    weights = load_weights(GOLDEN / "tiny_iter_2.caffemodel")
    assert {n: [a.shape for a in arrays] for n, arrays in weights.items() if arrays} == SHAPES
    # As protoc prints the first and the last weight of conv1.
    assert weights["conv1"][0].reshape(-1)[0] == np.float32(0.11547783)
    assert weights["conv1"][0].dtype == np.float32


@pytest.mark.parametrize("name", ["v0.caffemodel", "v1.caffemodel"])
def test_weights_of_every_age_come_by_layer(name: str) -> None:
    weights = load_weights(GOLDEN / name)
    np.testing.assert_array_equal(weights["ip"][0], OLD_IP.reshape(1, 1, 2, 4))
    np.testing.assert_array_equal(weights["ip"][1], [[[[0.5, -0.5]]]])
    fit = check_fit(weights, {"ip": [(2, 4), (2,)]})
    np.testing.assert_array_equal(fit.blobs["ip"][0], OLD_IP)
    np.testing.assert_array_equal(fit.blobs["ip"][1], [0.5, -0.5])
    assert load_net(GOLDEN / name)["layer"][-1]["type"] == "InnerProduct"


def test_the_hdf5_twin_has_the_same_weights_but_for_shared_ones() -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    twin = load_weights(GOLDEN / "tiny_h5_iter_2.caffemodel.h5")
    for name, arrays in load_weights(GOLDEN / "tiny_iter_2.caffemodel").items():
        for index, array in enumerate(arrays):
            if (name, index) != ("twin", 0):
                np.testing.assert_array_equal(twin[name][index], array)
    fit = check_fit(twin, SHAPES, shared={"twin": [0]})
    assert sorted(fit.blobs["twin"]) == [1]
    assert sorted(fit.blobs["ip"]) == [0, 1]


def test_content_not_name_decides_on_the_format(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    named = tmp_path / "tiny.caffemodel"
    named.write_bytes((GOLDEN / "tiny_h5_iter_2.caffemodel.h5").read_bytes())
    assert is_hdf5(named)
    assert "conv1" in load_weights(named)
    assert not is_hdf5(GOLDEN / "tiny_iter_2.caffemodel")


def test_saved_weights_are_the_original_byte_for_byte(tmp_path: Path) -> None:
    net = load_net(GOLDEN / "tiny_iter_2.caffemodel")
    save_weights(tmp_path / "a.caffemodel", net)
    assert (tmp_path / "a.caffemodel").read_bytes() == (
        GOLDEN / "tiny_iter_2.caffemodel"
    ).read_bytes()


def test_saved_hdf5_weights_keep_their_gradients(tmp_path: Path) -> None:
    hdf5 = pytest.importorskip("alexnet.text.hdf5")
    pytest.importorskip("h5py", reason="h5py is not installed")
    net = Message("NetParameter", {"name": "n"})
    net.add("layer", {"name": "fc", "blobs": [make_blob(np.ones((2, 3)), np.full((2, 3), 2.0))]})
    save_weights(tmp_path / "a.caffemodel.h5", net)
    assert load_weights(tmp_path / "a.caffemodel.h5")["fc"][0].tolist() == [[1, 1, 1]] * 2
    diff = hdf5.read_weights(tmp_path / "a.caffemodel.h5", part="diff")
    assert diff["fc"][0].tolist() == [[2, 2, 2]] * 2


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("tiny_iter_2.solverstate", "is a solver's state; the weights are in the .caffemodel"),
        ("net.prototxt", "is a prototxt, the net as text; weights are in a .caffemodel"),
    ],
)
def test_a_file_of_another_kind_is_named(name: str, match: str) -> None:
    with pytest.raises(TextError, match=match):
        load_weights(GOLDEN / name)


def test_a_net_without_blobs_holds_no_weights(tmp_path: Path) -> None:
    net = Message("NetParameter", {"name": "deploy"})
    net.add("layer", {"name": "relu", "type": "ReLU"})
    (tmp_path / "deploy.caffemodel").write_bytes(wire.encode(net))
    with pytest.raises(
        TextError, match=r"holds no weights: none of its layers \(1\) has a blob; give"
    ):
        load_weights(tmp_path / "deploy.caffemodel")


def test_a_blob_that_is_refused_names_its_layer() -> None:
    net = Message("NetParameter")
    blob = make_blob(np.ones(6))
    blob["shape"] = Message("BlobShape", {"dim": [7]})
    net.add("layer", {"name": "fc7", "blobs": [make_blob(np.ones(2)), blob]})
    with pytest.raises(TextError, match=r"layer 'fc7', blob 1: a blob of shape 7 needs 7 values"):
        weights_of(net)


# ---- Whether weights fit ------------------------------------------------------------------------


def test_weights_that_fit_are_taken_and_the_rest_is_listed() -> None:
    given = {"conv1": ones((2, 3), (2,)), "old": ones((1,)), "relu": []}
    fit = check_fit(given, {"conv1": [(2, 3), (2,)], "new": [(4,)], "relu": []})
    assert list(fit.blobs) == ["conv1"]
    assert (fit.missing, fit.extra, fit.warnings) == (("new",), ("old",), ())


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ((1, 1, 2, 4), (2, 4), True),
        ((1, 1, 1, 5), (5,), True),
        ((1, 1, 1, 1), (), True),
        ((1, 6, 2, 4), (6, 2, 4), True),
        ((6, 1, 2, 4), (6, 2, 4), False),
        ((1, 1, 4, 2), (2, 4), False),
        ((2, 4, 1, 1), (2, 4), False),  # ones behind are another net
        ((1, 2, 4), (2, 4), False),
        ((2, 4), (1, 1, 2, 4), False),
        ((1, 1, 1, 2, 4), (2, 4), False),
        ((1, 1, 1, 2, 4), (1, 1, 1, 2, 4), True),
    ],
)
def test_old_shapes_fit_as_in_the_original(
    given: tuple[int, ...], wanted: tuple[int, ...], fits: bool
) -> None:
    assert shape_fits(given, wanted) == fits


def test_all_layers_that_do_not_fit_are_in_one_table() -> None:
    given = {"conv1": ones((2, 3), (2,)), "fc": ones((5, 7)), "ip": ones((2,), (2,)), "ok": ones()}
    wanted: dict[str, list[tuple[int, ...]]] = {
        "conv1": [(2, 4), (2,)],
        "fc": [(5, 7), (5,)],
        "ip": [(2,)],
        "ok": [()],
    }
    with pytest.raises(TextError) as refused:
        check_fit(given, wanted, source="a.caffemodel")
    assert str(refused.value).splitlines() == [
        "a.caffemodel do not fit the net in 4 layers:",
        "  layer  the file has  the net wants",
        "  conv1  2 x 3, 2      2 x 4, 2",
        "  fc     5 x 7         5 x 7, 5",
        "  ip     2, 2          2",
        "  ok     none          ()",
        "to learn a layer anew instead, rename it in the net",
    ]


def test_weights_of_another_net_are_refused() -> None:
    with pytest.raises(
        TextError,
        match=r"the weights are another net's: .* conv1, fc \(did you mean 'conv_1'\?\); the file "
        r"has conv_1, classifier",
    ):
        check_fit({"conv_1": ones((1,)), "classifier": ones((1,))}, {"conv1": [(1,)], "fc": [(2,)]})


def test_values_that_are_no_numbers_are_listed() -> None:
    fc = ones((2, 3), (2,))
    fc[0][0, 1], fc[0][1, 2], fc[1][0] = np.nan, np.inf, -np.inf
    fit = check_fit({"fc": fc}, {"fc": [(2, 3), (2,)]})
    assert fit.warnings == (
        "layer 'fc', blob 0: 2 of 6 values are NaN or infinite",
        "layer 'fc', blob 1: 1 of 2 values are NaN or infinite",
    )


def test_only_blobs_that_another_layer_owns_may_be_left_out() -> None:
    absent = np.empty(0, np.float32)
    wanted = {"a": [(2,), (3,)], "b": [(2,), (3,)]}
    given = {"a": ones((2,), (3,)), "b": [absent, *ones((3,))]}
    assert sorted(check_fit(given, wanted, shared={"b": [0]}).blobs["b"]) == [1]
    assert check_fit(given | {"b": []}, wanted, shared={"b": [0, 1]}).blobs["b"] == {}
    with pytest.raises(TextError, match=r"b\s+shared, 3\s+2, 3"):
        check_fit(given, wanted)
    with pytest.raises(TextError, match=r"b\s+none\s+2, 3"):
        check_fit(given | {"b": []}, wanted, shared={"b": [0]})


# ---- The solver's state -------------------------------------------------------------------------


def test_the_state_of_the_original_is_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    state = load_state(GOLDEN / "tiny_iter_2.solverstate")
    assert (state.iteration, state.current_step) == (2, 1)
    assert state.learned_net == "tiny_iter_2.caffemodel"
    assert [a.shape for a in state.history] == [(2, 1, 3, 3), (2,), (3, 30), (3,), (3,)]
    save_state(tmp_path / "s.solverstate", state)
    assert (tmp_path / "s.solverstate").read_bytes() == (
        GOLDEN / "tiny_iter_2.solverstate"
    ).read_bytes()


def test_both_formats_of_a_state_hold_the_same(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="h5py is not installed")
    binary = load_state(GOLDEN / "tiny_iter_2.solverstate")
    hdf5 = load_state(GOLDEN / "tiny_h5_iter_2.solverstate.h5")
    save_state(tmp_path / "s.solverstate.h5", binary)
    again = load_state(tmp_path / "s.solverstate.h5")
    assert again.learned_net == binary.learned_net
    for other in (hdf5, again):
        assert (other.iteration, other.current_step) == (2, 1)
        for one, two in zip(binary.history, other.history, strict=True):
            np.testing.assert_array_equal(one, two)


def test_the_weights_of_a_state_lie_where_it_says_or_beside_it(tmp_path: Path) -> None:
    state_path = tmp_path / "a_iter_5.solverstate"
    state = State(5, 0, str(tmp_path / "elsewhere" / "a_iter_5.caffemodel"), [])
    with pytest.raises(TextError, match=r"neither there nor beside it; copy a_iter_5.caffemodel"):
        state.weights_path(state_path)
    beside = tmp_path / "a_iter_5.caffemodel"
    beside.touch()
    assert state.weights_path(state_path) == beside
    named = tmp_path / "elsewhere" / "a_iter_5.caffemodel"
    named.parent.mkdir()
    named.touch()
    assert state.weights_path(state_path) == named


def test_a_state_of_no_weights_or_of_another_iteration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"names no weights; give them with --weights"):
        State(5, 0, "", []).weights_path(tmp_path / "s.solverstate")
    with pytest.raises(
        TextError, match=r"is of iteration 5, but names the weights a_iter_10.caffemodel.h5; two"
    ):
        State(5, 0, "a_iter_10.caffemodel.h5", []).weights_path(tmp_path / "s.solverstate")


def test_files_that_are_no_state_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.solverstate"
    path.write_bytes(wire.encode(Message("SolverState", {"learned_net": "a"})))
    with pytest.raises(TextError, match=r"has no iteration; give a .solverstate"):
        load_state(path)
    path.write_bytes(wire.encode(Message("SolverState", {"iter": -5})))
    with pytest.raises(TextError, match="is of iteration -5; copy or make it again"):
        load_state(path)
