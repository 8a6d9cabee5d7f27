"""Files of features, read back by the programs that they are for."""

import csv
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.io import loadmat

from alexnet.data.folder import DataError
from alexnet.inspection import feature_files
from alexnet.inspection.feature_files import (
    ScipyMissing,
    check_names_fit,
    check_target,
    read_features,
    write_features,
)
from alexnet.inspection.features import Table

PATHS = ("cat/a, b.jpg", 'cat/"c".jpg', "dog/\u00e9mu.png")


def table(kept: type[np.floating[Any]] = np.float32, *names: str) -> Table:
    random = np.random.default_rng(0)
    names = names or ("fc7", "inception_3a/1x1")
    layers = {
        name: random.normal(0, 10.0**number, (3, 4 + number)).astype(kept)
        for number, name in enumerate(names)
    }
    about = {"layers": {name: {"layer": name, "says": "after ReLU"} for name in names}}
    return Table(layers, PATHS, (0, 0, 1), ("cat", "dog"), about)


@pytest.mark.parametrize("kept", [np.float32, np.float16])
def test_safetensors_gives_back_every_matrix_label_and_name(
    kept: type[np.floating[Any]], tmp_path: Path
) -> None:
    wanted = table(kept)
    path = tmp_path / "f.safetensors"
    assert write_features(path, wanted) == [path]
    found = load_file(path)
    assert sorted(found) == ["fc7", "inception_3a/1x1", "labels"]
    assert found["labels"].tolist() == [0, 0, 1]
    for name, matrix in wanted.layers.items():
        assert found[name].dtype == kept
        np.testing.assert_array_equal(found[name], matrix)
    ours = read_features(path)
    assert (ours.paths, ours.labels, ours.classes) == (PATHS, (0, 0, 1), ("cat", "dog"))
    assert ours.about == wanted.about
    for name, matrix in wanted.layers.items():
        np.testing.assert_array_equal(ours.layers[name], matrix)


def test_numpy_gets_a_file_for_each_layer_and_the_names_beside_them(tmp_path: Path) -> None:
    wanted = table(np.float16)
    files = write_features(tmp_path / "f.npy", wanted)
    assert [file.name for file in files] == ["f-fc7.npy", "f-inception_3a_1x1.npy", "f.csv"]
    for file, matrix in zip(files, wanted.layers.values(), strict=False):
        found = np.load(file, mmap_mode="r", allow_pickle=False)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, matrix)
    with files[-1].open(encoding="utf-8", newline="") as names:
        rows = list(csv.reader(names))
    assert rows == [["picture", "class"], [PATHS[0], "cat"], [PATHS[1], "cat"], [PATHS[2], "dog"]]
    single = table(np.float32, "fc7")
    assert [f.name for f in write_features(tmp_path / "g.npy", single)] == ["g.npy", "g.csv"]
    np.testing.assert_array_equal(np.load(tmp_path / "g.npy"), single.layers["fc7"])


@pytest.mark.parametrize("kept", [np.float32, np.float16])
def test_each_number_of_a_csv_reads_back_as_the_same_float(
    kept: type[np.floating[Any]], tmp_path: Path
) -> None:
    wanted = table(kept)
    write_features(tmp_path / "f.csv", wanted)
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["picture"], row["class"]) for row in rows] == [
        (PATHS[0], "cat"),
        (PATHS[1], "cat"),
        (PATHS[2], "dog"),
    ]
    for name, matrix in wanted.layers.items():
        columns = [f"{name}.{i}" for i in range(matrix.shape[1])]
        found = [[float(row[column]) for column in columns] for row in rows]
        np.testing.assert_array_equal(np.array(found).astype(kept), matrix)


def test_matlab_gets_matrices_cells_of_names_and_labels_that_count_from_one(
    tmp_path: Path,
) -> None:
    wanted = table()
    write_features(tmp_path / "f.mat", wanted)
    found = loadmat(tmp_path / "f.mat")
    np.testing.assert_array_equal(found["fc7"], wanted.layers["fc7"])
    np.testing.assert_array_equal(found["inception_3a_1x1"], wanted.layers["inception_3a/1x1"])
    assert found["labels"].ravel().tolist() == [1, 1, 2]
    assert [cell.item() for cell in found["pictures"].ravel()] == list(PATHS)
    assert [cell.item() for cell in found["classes"].ravel()] == ["cat", "dog"]
    assert json.loads(found["about"].item()) == wanted.about


def test_a_file_is_replaced_whole_or_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.safetensors"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_files, "_copy", full)
    with pytest.raises(OSError, match="No space left"):
        write_features(path, table())
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["f.safetensors"]


@pytest.mark.parametrize(
    ("name", "layers", "dtype", "size", "message"),
    [
        ("f.txt", ["fc7"], "float32", 1, r"suffix '\.txt' is none of \.safetensors, \.npy, \.csv"),
        ("f", ["fc7"], "float32", 1, "suffix '' is none of"),
        ("f.npy", ["a.b", "a/b"], "float32", 1, "layer 'a/b' would be called 'a_b', as a.b is; "),
        ("f.mat", ["labels"], "float32", 1, "layer 'labels' would be called 'labels', as what be"),
        ("f.mat", ["fc7"], "float16", 1, "MATLAB has no float16; leave out --dtype, or take .npy"),
        (
            "f.mat",
            ["fc7"],
            "float32",
            2**31,
            "have 2,147,483,648 bytes, and a .mat file takes",
        ),
    ],
)
def test_what_a_format_cannot_hold_is_said_before_the_work(
    name: str, layers: list[str], dtype: str, size: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        check_target(tmp_path / name, layers, dtype=dtype, bytes_each=size)


def test_a_place_that_is_not_there_and_a_missing_package_are_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder; give a file name with a suffix"):
        check_target(tmp_path / "folder.npy", [], dtype="float32", bytes_each=0)
    with pytest.raises(FileNotFoundError, match=r"foldr\.npy does not exist \(did you mean 'fol"):
        check_target(tmp_path / "foldr.npy" / "f.npy", [], dtype="float32", bytes_each=0)
    monkeypatch.setattr(feature_files, "find_spec", lambda _: None)
    with pytest.raises(ScipyMissing, match=r"pip install 'alexnet\[data\]', or take \.npy"):
        check_target(tmp_path / "f.mat", ["fc7"], dtype="float32", bytes_each=0)


def test_names_too_long_for_a_header_are_refused_for_safetensors_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feature_files, "LONGEST_HEADER", 2**20 + 30)
    check_names_fit(Path("f.npy"), ["a" * 40])
    check_names_fit(Path("f.safetensors"), ["a" * 20])
    with pytest.raises(ValueError, match="the names of 1 pictures take 48 bytes, more than a"):
        check_names_fit(Path("f.safetensors"), ["a" * 40])


def test_a_file_that_is_none_of_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"features are read back from \.safetensors alone"):
        read_features(tmp_path / "f.npy")
    with pytest.raises(FileNotFoundError, match=r"f\.safetensors does not exist"):
        read_features(tmp_path / "f.safetensors")
    weights = tmp_path / "weights.safetensors"
    save_file({"labels": np.zeros(2, np.int64)}, weights)
    with pytest.raises(DataError, match=r"is no file of features \(KeyError: 'about'\); make one"):
        read_features(weights)
    whole = tmp_path / "whole.safetensors"
    write_features(whole, table())
    data = whole.read_bytes()
    for bad in (data[:-1], data[:40], struct.pack("<Q", 2**40) + data[8:], b""):
        whole.write_bytes(bad)
        with pytest.raises(DataError, match="is no file of features"):
            read_features(whole)
