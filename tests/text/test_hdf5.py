import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alexnet.text import hdf5, wire
from alexnet.text.blobs import blob_array, blob_diff
from alexnet.text.message import TextError

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"
WEIGHTS = GOLDEN / "tiny_h5_iter_2.caffemodel.h5"
STATE = GOLDEN / "tiny_h5_iter_2.solverstate.h5"


# ---- Files of the original ----------------------------------------------------------------------


def test_weights_of_the_original_are_those_of_their_binary_twin() -> None:
    """Both were written after the same two steps from the same seed."""
    data, diff = hdf5.read_weights(WEIGHTS), hdf5.read_weights(WEIGHTS, part="diff")
    net = wire.load(GOLDEN / "tiny_iter_2.caffemodel", "NetParameter")
    assert sorted(data) == sorted(layer["name"] for layer in net["layer"])
    for layer in net["layer"]:
        name = layer["name"]
        assert len(data[name]) == len(diff[name]) == len(layer["blobs"])
        for index, blob in enumerate(layer["blobs"]):
            expected_diff = blob_diff(blob)
            assert expected_diff is not None
            np.testing.assert_array_equal(diff[name][index], expected_diff)
            if (name, index) == ("twin", 0):  # the weights that `ip` holds
                assert data[name][index].shape == (0,)
            else:
                np.testing.assert_array_equal(data[name][index], blob_array(blob))


def test_the_state_of_the_original_is_that_of_its_binary_twin() -> None:
    iteration, current_step, learned_net, history = hdf5.read_state(STATE)
    twin = wire.load(GOLDEN / "tiny_iter_2.solverstate", "SolverState")
    assert (iteration, current_step) == (twin["iter"], twin["current_step"]) == (2, 1)
    assert learned_net == "tiny_h5_iter_2.caffemodel.h5"
    assert len(history) == len(twin["history"])
    for array, blob in zip(history, twin["history"], strict=True):
        np.testing.assert_array_equal(array, blob_array(blob))


def content(path: Path) -> dict[str, Any]:
    """Return each array's shape, type and bytes by name."""
    found: dict[str, Any] = {}

    def visit(name: str, member: Any) -> None:
        is_array = hasattr(member, "dtype")
        found[name] = (member.shape, member.dtype, member[()].tobytes()) if is_array else None

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_what_we_write_holds_what_the_original_wrote(tmp_path: Path) -> None:
    weights = hdf5.read_weights(WEIGHTS)
    hdf5.write_weights(tmp_path / "w.h5", weights, hdf5.read_weights(WEIGHTS, part="diff"))
    assert content(tmp_path / "w.h5") == content(WEIGHTS)

    iteration, current_step, learned_net, history = hdf5.read_state(STATE)
    hdf5.write_state(
        tmp_path / "s.h5",
        iteration=iteration,
        current_step=current_step,
        learned_net=learned_net,
        history=history,
    )
    expected = content(STATE)
    ours = content(tmp_path / "s.h5")
    # h5py hands out a string without its closing zero, which is in both files.
    assert ours == expected
    with h5py.File(tmp_path / "s.h5") as mine, h5py.File(STATE) as theirs:
        lengths = [file["learned_net"].id.get_type().get_size() for file in (mine, theirs)]
    assert lengths == [29, 29]


def test_weights_without_gradients_have_one_group(tmp_path: Path) -> None:
    hdf5.write_weights(tmp_path / "w.h5", {"relu": [], "fc": [np.ones((2, 3)), np.zeros(2)]})
    assert sorted(content(tmp_path / "w.h5")) == [
        "data",
        "data/fc",
        "data/fc/0",
        "data/fc/1",
        "data/relu",
    ]
    hdf5.write_weights(tmp_path / "w.h5", {})
    assert sorted(content(tmp_path / "w.h5")) == ["data"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.h5"]


def test_layers_with_a_slash_are_read_though_not_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/inception_3a/1x1/0"] = np.ones((2, 2), np.float64)
        file["data/conv1/0"] = np.arange(3)
    weights = hdf5.read_weights(tmp_path / "w.h5")
    assert sorted(weights) == ["conv1", "inception_3a/1x1"]
    assert weights["conv1"][0].dtype == np.float32
    with pytest.raises(TextError, match="layer 'inception_3a/1x1' cannot be written to HDF5"):
        hdf5.write_weights(tmp_path / "again.h5", weights)
    assert not (tmp_path / "again.h5").exists()


# ---- Arrays of HDF5Data and HDF5Output ----------------------------------------------------------


def test_arrays_come_back_as_float32(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(5, 2, 3))
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"] = data
        file.create_dataset("label", data=np.arange(5), compression="gzip")
    arrays = hdf5.read_arrays(tmp_path / "train.h5", ["data", "label"])
    np.testing.assert_array_equal(arrays["data"], data.astype(np.float32))
    np.testing.assert_array_equal(arrays["label"], np.arange(5, dtype=np.float32))
    hdf5.write_arrays(tmp_path / "out.h5", arrays)
    again = hdf5.read_arrays(tmp_path / "out.h5", ["label", "data"])
    np.testing.assert_array_equal(again["data"], arrays["data"])


def test_arrays_that_are_missing_or_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.h5"
    hdf5.write_arrays(path, {"data": np.zeros((5, 2)), "label": np.zeros(4), "scalar": 1.0})
    with pytest.raises(TextError, match=r"has no array 'labels' \(did you mean 'label'\?\)"):
        hdf5.read_arrays(path, ["data", "labels"])
    with pytest.raises(TextError, match=r"'label' has the shape \(4,\), 'data' \(5, 2\); all need"):
        hdf5.read_arrays(path, ["data", "label"])
    with pytest.raises(TextError, match=r"'scalar' has the shape \(\), 'scalar' \(\); all need"):
        hdf5.read_arrays(path, ["scalar"])


# ---- What is refused ----------------------------------------------------------------------------


def written(path: Path, **members: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, member in members.items():
            file[name.replace("__", "/")] = member
    return path


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"model_weights": np.zeros(3)}, r"has no group /data, so it holds no weights of Caffe's"),
        ({"data": np.zeros(3)}, r"/data is an array, not a group; Caffe wrote another file"),
        ({"data__fc": np.zeros(3)}, r"/data/fc is an array, not a group"),
        ({"data__fc__0": "text"}, r"/data/fc/0 holds no numbers; Caffe reads floats and integers"),
        ({"data__fc__0__1__0": 1.0}, r"/data/fc/0 holds no numbers"),
        ({"data__fc__1000": np.zeros(3)}, r"/data/fc has a blob 1000; no layer has so many"),
        ({"data__a__b__c__d__e__f__g__h__i__0": 1.0}, r"/data/a/b/c/d/e/f/g/h is too deep for a"),
        ({"data__fc": h5py.ExternalLink("passwords.h5", "/")}, r"/data/fc is a link to elsewhere"),
        ({"data__fc": h5py.SoftLink("/data")}, r"/data/fc is a link to elsewhere; Caffe writes"),
    ],
)
def test_other_files_are_no_weights(tmp_path: Path, members: dict[str, Any], match: str) -> None:
    path = written(tmp_path / "w.h5", **members)
    with pytest.raises(TextError, match=match):
        hdf5.read_weights(path)


def test_arrays_that_promise_more_than_is_there_are_refused_before_any_memory(
    tmp_path: Path,
) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/fc/0", shape=(2**14, 2**14), dtype="f4", chunks=(64, 64))
    with pytest.raises(TextError, match=r"has the shape \(16384, 16384\), but 0 bytes are there"):
        hdf5.read_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("data/fc/0", shape=(2**32, 2**20), dtype="f4", chunks=(64, 64))
    with pytest.raises(TextError, match=r"more than a blob may"):
        hdf5.read_weights(tmp_path / "w.h5")


def test_arrays_in_other_files_are_refused(tmp_path: Path) -> None:
    np.zeros(100, np.float32).tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset(
            "data/fc/0", shape=(100,), dtype="f4", external=[(str(tmp_path / "raw"), 0, 400)]
        )
        layout = h5py.VirtualLayout((100,), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (100,))
        file.create_virtual_dataset("data/fd/0", layout)
    for name in ("fc", "fd"):
        with (
            h5py.File(tmp_path / "w.h5") as file,
            pytest.raises(TextError, match=rf"/data/{name}/0 lies in another file"),
        ):
            hdf5.read_array(tmp_path / "w.h5", file[f"data/{name}"], "0")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"history": None}, r"has no /history, so it is no solver's state of Caffe's"),
        ({"iter": "two"}, r"/iter is no integer"),
        ({"iter": np.zeros((2, 2), np.int32)}, r"/iter is no integer"),
        ({"current_step": 1.5}, r"/current_step is no integer"),
        ({"learned_net": 3}, r"/learned_net is no string"),
        ({"history__1": "x"}, r"/history/1 holds no numbers"),
        ({"history__5": np.zeros(2)}, r"/history has no '1'; copy or download the file again"),
    ],
)
def test_other_files_are_no_state(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    members: dict[str, Any] = {
        "iter": np.array([2]),
        "current_step": np.array([0]),
        "learned_net": np.bytes_(b"a.caffemodel.h5"),
        "history__0": np.zeros(2),
    }
    members |= changes
    if "history" in changes:
        del members["history"], members["history__0"]
    with pytest.raises(TextError, match=match):
        hdf5.read_state(written(tmp_path / "s.h5", **members))


def test_a_state_of_numbers_and_strings_of_other_kinds_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "s.h5",
        iter=np.int64(7),
        current_step=np.array([3], np.uint8),
        learned_net="a.caffemodel.h5",
        history__0=np.ones(2),
    )
    assert hdf5.read_state(path)[:3] == (7, 3, "a.caffemodel.h5")


def test_damage_is_an_error_of_ours(tmp_path: Path) -> None:
    data = WEIGHTS.read_bytes()
    for cut in (1, 8, 100, 1000, 5000, len(data) - 1):
        (tmp_path / "w.h5").write_bytes(data[:cut])
        with pytest.raises(TextError, match=r"w\.h5 is no HDF5 file or damaged: "):
            hdf5.read_weights(tmp_path / "w.h5")


def test_without_the_library_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(TextError, match=r"HDF5 needs h5py; .* 'alexnet\[caffe\]'"):
        hdf5.read_weights(WEIGHTS)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("data").create_group(b"fc\xff")
    with pytest.raises(TextError, match="/data holds a name that is no text; copy it again"):
        hdf5.read_weights(tmp_path / "w.h5")


def test_a_type_in_the_place_of_an_array_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["data/fc/0"] = np.dtype("f4")
    with pytest.raises(TextError, match="/data/fc/0 holds no numbers"):
        hdf5.read_weights(tmp_path / "w.h5")
