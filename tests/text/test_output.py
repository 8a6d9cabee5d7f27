"""HDF5Output writes what the original does, and Python layers are refused."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from alexnet.text import output
from alexnet.text.output import KINDS
from tests.text.single_layer import draw, make, refused


def text(path: Path) -> str:
    """Return a layer that writes to a file."""
    return f'type: "HDF5Output" hdf5_output_param {{ file_name: "{path}" }}'


def test_each_run_appends_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "blobs.h5"
    layer = make(KINDS, text(path), [(2, 3, 4), (2,)], tops=0)
    assert not path.exists()
    data, labels = draw(5, 3, 4), torch.arange(5.0)
    assert layer(data[:2], labels[:2]) == ()
    with h5py.File(path, "r") as file:
        assert sorted(file) == ["data", "label"]
        assert file["data"].shape == (2, 3, 4, 1)
    layer(data[2:], labels[2:])
    with h5py.File(path, "r") as file:
        assert file["data"].dtype == np.float32
        np.testing.assert_array_equal(
            file["data"][:, :, :, 0], data.detach().numpy().astype(np.float32)
        )
        assert file["label"][:].reshape(-1).tolist() == [0, 1, 2, 3, 4]


def test_a_new_net_writes_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "blobs.h5"
    for _ in range(2):
        make(KINDS, text(path), [(2, 3), (2,)], tops=0)(draw(2, 3), torch.zeros(2))
    with h5py.File(path, "r") as file:
        assert file["label"].shape == (2, 1, 1, 1)


def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    layer = make(KINDS, text(path), [(2, 3), (2,)], tops=0)
    with pytest.raises(ValueError, match="is there and is no HDF5 file; use another file_name"):
        layer(draw(2, 3), torch.zeros(2))
    assert path.read_text() == "precious"


def test_rows_must_keep_their_shape_and_number(tmp_path: Path) -> None:
    layer = make(KINDS, text(tmp_path / "blobs.h5"), [(2, 3), (2,)], tops=0)
    with pytest.raises(ValueError, match="HDF5Output has 2 rows of data and 3 of labels"):
        layer(draw(2, 3), torch.zeros(3))
    layer(draw(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match=r"data has rows of \(3, 1, 1\), and now come rows of"):
        layer(draw(2, 4), torch.zeros(2))


def test_hdf5_output_refuses_what_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, shapes = text(tmp_path / "blobs.h5"), [(2, 3), (2,)]
    refused(KINDS, 'type: "HDF5Output"', shapes, why="file_name is missing", tops=0)
    gone = tmp_path / "gone" / "blobs.h5"
    refused(KINDS, text(gone), shapes, why=f"there is no folder {gone.parent}", tops=0)
    why = "blobs of one to four axes are kept"
    refused(KINDS, whole, [(2, 3, 4, 5, 6), (2,)], why=why, tops=0)
    why = "bottoms are (2, 3) and (3,); both must begin with the number of items"
    refused(KINDS, whole, [(2, 3), (3,)], why=why, tops=0)
    monkeypatch.setattr(output, "find_spec", lambda _: None)
    refused(KINDS, whole, shapes, why="HDF5Output needs the package h5py", tops=0)


def test_python_layers_are_refused() -> None:
    given = 'type: "Python" python_param { module: "losses" layer: "Focal" }'
    why = "a Python layer runs the code of losses.Focal, which is no part of the net"
    refused(KINDS, given, [(2, 3)], why=why)
    refused(KINDS, 'type: "Python"', [(2, 3)], why="runs the code of a module")
