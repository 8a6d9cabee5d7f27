from pathlib import Path

import numpy as np
import pytest

from alexnet.text import wire
from alexnet.text.blobs import blob_array, blob_diff, blob_shape, load_mean, make_blob, save_mean
from alexnet.text.message import Message, TextError

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


def blob(dims: list[int], values: int) -> Message:
    made = Message("BlobProto", {"data": np.arange(values, dtype=np.float32)})
    made["shape"] = Message("BlobShape", {"dim": dims})
    return made


def test_values_come_in_the_shape_of_the_blob() -> None:
    np.testing.assert_array_equal(
        blob_array(blob([2, 1, 3], 6)), np.arange(6, dtype=np.float32).reshape(2, 1, 3)
    )


def test_a_blob_without_dimensions_has_one_value() -> None:
    assert blob_array(Message("BlobProto", {"data": [2.5]})).item() == 2.5


def test_old_blobs_have_four_dimensions_that_win_over_a_shape() -> None:
    old = blob([6], 6)
    for name, dim in {"num": 1, "channels": 1, "height": 2, "width": 3}.items():
        old[name] = dim
    assert blob_shape(old) == (1, 1, 2, 3)
    assert blob_array(old)[0, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_double_values_become_float32() -> None:
    double = blob([2], 0)
    double["double_data"] = np.array([0.1, 1e-3])
    double["double_diff"] = np.array([1e300, 2.0])
    assert blob_array(double).tolist() == np.array([0.1, 1e-3], np.float32).tolist()
    with np.errstate(over="ignore"):
        assert blob_diff(double) == pytest.approx([np.inf, 2.0])


def test_gradients_are_kept_beside_the_values() -> None:
    made = make_blob(np.ones((2, 3)), np.arange(6).reshape(2, 3))
    gradients = blob_diff(wire.decode(wire.encode(made), "BlobProto"))
    assert gradients is not None
    assert gradients.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert blob_diff(make_blob(np.ones(2))) is None


def test_any_layout_is_written_in_order() -> None:
    turned = np.arange(6, dtype=np.float64).reshape(2, 3).T
    np.testing.assert_array_equal(blob_array(make_blob(turned)), turned)


@pytest.mark.parametrize(
    ("dims", "values", "match"),
    [
        ([2, 0], 0, "shape 2 x 0; every dimension must be positive"),
        ([2, -3], 6, "shape 2 x -3; every dimension must be positive"),
        ([2**31], 1, "shape 2147483648 has more than 2147483647 values"),
        ([2**32, 2**32], 1, "shape 4294967296 x 4294967296 has more than"),
        ([1] * 33, 1, "33 dimensions; Caffe has at most 32"),
        ([2, 3], 5, "shape 2 x 3 needs 6 values, but its data holds 5; copy or download"),
        ([], 0, r"shape \(\) needs 1 values, but its data holds 0"),
    ],
)
def test_shapes_that_are_none_are_refused(dims: list[int], values: int, match: str) -> None:
    with pytest.raises(TextError, match=match):
        blob_array(blob(dims, values))


def test_an_old_blob_with_a_dimension_left_out_is_refused() -> None:
    with pytest.raises(TextError, match="shape 0 x 0 x 0 x 3; every dimension must be positive"):
        blob_array(Message("BlobProto", {"width": 3, "data": [1.0, 2.0, 3.0]}))


# ---- Means --------------------------------------------------------------------------------------


def test_the_mean_of_the_original_is_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    mean = load_mean(GOLDEN / "mean.binaryproto", shape=(3, 8, 8))
    # compute_image_mean printed 134.911, 132.375 and 124.633 for the three channels.
    assert mean.mean(axis=(1, 2)) == pytest.approx([134.911, 132.375, 124.633], abs=1e-3)
    save_mean(tmp_path / "mean.binaryproto", mean)
    assert (tmp_path / "mean.binaryproto").read_bytes() == (
        GOLDEN / "mean.binaryproto"
    ).read_bytes()


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 3, 4, 5)])
def test_means_of_pycaffe_are_read(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape)
    np.save(tmp_path / "mean.npy", values)
    np.testing.assert_array_equal(
        load_mean(tmp_path / "mean.npy"), values.reshape(3, 4, 5).astype(np.float32)
    )


def test_a_value_a_channel_is_a_mean(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.array([104.0, 117.0, 123.0]))
    assert load_mean(tmp_path / "mean.npy").tolist() == [[[104]], [[117]], [[123]]]


def test_a_mean_without_the_old_dimensions_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(wire.encode(make_blob(np.ones((2, 3, 4)))))
    assert load_mean(path).shape == (2, 3, 4)


def test_a_mean_of_another_size_is_refused() -> None:
    with pytest.raises(
        TextError, match=r"shape 3 x 8 x 8, the data 3 x 9 x 8; make the mean of this data"
    ):
        load_mean(GOLDEN / "mean.binaryproto", shape=(3, 9, 8))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros((2, 3, 4, 4)), "but this has the shape 2 x 3 x 4 x 4; give the mean of one"),
        (np.zeros((3, 0, 4)), "but this has the shape 3 x 0 x 4"),
        (np.array([["a"]]), "holds <U1; a mean holds numbers"),
        (np.array([None]), r"is no .npy file that is read here: .*[Oo]bject"),
    ],
)
def test_arrays_that_are_no_mean_are_refused(
    tmp_path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], match: str
) -> None:
    np.save(tmp_path / "mean.npy", values, allow_pickle=True)
    with pytest.raises(TextError, match=match):
        load_mean(tmp_path / "mean.npy")


def test_a_header_that_promises_too_much_is_refused_before_any_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.zeros((3, 256, 256), np.float32))
    data = (tmp_path / "mean.npy").read_bytes()
    (tmp_path / "mean.npy").write_bytes(data.replace(b"(3, 256, 256)", b"(3,99999,999)"))
    with pytest.raises(TextError, match=r"is no .npy file that is read here"):
        load_mean(tmp_path / "mean.npy")
    (tmp_path / "mean.npy").write_bytes(data[:100])
    with pytest.raises(TextError, match=r"is no .npy file that is read here"):
        load_mean(tmp_path / "mean.npy")
