from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.text.hdf5 import write_arrays
from alexnet.text.hdf5_source import Hdf5Source
from alexnet.text.message import TextError
from tests.text.one_source import build, layer, take

Rows = NDArray[np.float32]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of 3, 4 and 2 rows, numbered from 0; a row of data is its number twice."""
    for name, rows in (("a", range(3)), ("b", range(3, 7)), ("c", range(7, 9))):
        numbers = np.array(rows, np.float32)
        data = np.stack([numbers, numbers], axis=1)
        write_arrays(tmp_path / f"{name}.h5", {"data": data, "label": numbers})
    (tmp_path / "list.txt").write_text("a.h5 b.h5\nc.h5\n")
    (tmp_path / "one.txt").write_text("b.h5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text(fields: str, source: str = "list.txt", tops: int = 2, more: str = "") -> str:
    return layer("HDF5Data", f'hdf5_data_param {{ source: "{source}" {fields} }} {more}', tops)


def rows(made: str, batches: int, seed: int | None = None) -> list[float]:
    source = build(made)
    assert isinstance(source, Hdf5Source)
    if seed is not None:
        source.seed(seed)
    found: list[float] = []
    for _ in range(batches):
        data, label = take(source)
        np.testing.assert_array_equal(data, np.stack([label, label], axis=1))
        found += label.tolist()
    return found


@pytest.mark.parametrize("batch", [1, 2, 5, 9, 20])
def test_rows_come_in_order_over_files_and_ends(folder: Path, batch: int) -> None:
    batches = -(-30 // batch)
    wanted = [float(n % 9) for n in range(batch * batches)]
    assert rows(text(f"batch_size: {batch}"), batches) == wanted


def test_one_file_begins_again(folder: Path) -> None:
    assert rows(text("batch_size: 6", "one.txt"), 2) == [3, 4, 5, 6] * 3


def test_shuffled_epochs_keep_files_together_and_have_every_row_once(folder: Path) -> None:
    found = rows(text("batch_size: 9 shuffle: true"), 40, seed=1)
    epochs = [tuple(found[n : n + 9]) for n in range(0, len(found), 9)]
    files = [{0, 1, 2}, {3, 4, 5, 6}, {7, 8}]
    orders = set()
    for epoch in epochs:
        assert sorted(epoch) == list(range(9))
        left, order = list(epoch), []
        while left:
            number = next(n for n, file in enumerate(files) if left[0] in file)
            assert set(left[: len(files[number])]) == files[number]
            left = left[len(files[number]) :]
            order.append(number)
        orders.add(tuple(order))
    assert len(orders) == 6
    assert len(set(epochs)) > 30
    assert rows(text("batch_size: 9 shuffle: true"), 40, seed=1) == found


def test_any_number_of_tops_is_read_by_name(folder: Path) -> None:
    source = build(text("batch_size: 2", tops=1))
    assert source.shapes == ((2, 2),)
    np.testing.assert_array_equal(take(source)[0], [[0, 0], [1, 1]])
    with pytest.raises(TextError, match=r"layer 'it': a.h5 has no array 'third'"):
        build(text("batch_size: 2", tops=3))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (text(""), r"hdf5_data_param has no positive batch_size"),
        (
            text("batch_size: 1", more="transform_param { scale: 2 }"),
            r"HDF5Data transforms nothing",
        ),
        (text("batch_size: 1", "lits.txt"), r"the list 'lits.txt' is no file .*'list.txt'"),
        (layer("HDF5Data", "hdf5_data_param { batch_size: 1 }"), r"the list '.' is no file"),
    ],
)
def test_contradictions_are_refused(folder: Path, made: str, why: str) -> None:
    with pytest.raises(TextError, match=r"layer 'it': .*" + why):
        build(made)


def test_lists_and_files_that_cannot_be_read_are_refused(folder: Path) -> None:
    (folder / "empty.txt").write_text(" \n")
    (folder / "bytes.txt").write_bytes(b"\xff\xfe")
    (folder / "gone.txt").write_text("aa.h5")
    (folder / "none.txt").write_text("none.h5")
    write_arrays(folder / "none.h5", {"data": np.empty((0, 2)), "label": np.empty(0)})
    for name, why in (
        ("empty.txt", "the list empty.txt is empty; name HDF5 files"),
        ("bytes.txt", "the list bytes.txt cannot be read: 'utf-8'"),
        ("gone.txt", r"aa.h5, in gone.txt, does not exist \(did you mean 'a.h5'"),
        ("none.txt", "none.h5 has no rows"),
    ):
        with pytest.raises(TextError, match=why):
            build(text("batch_size: 1", name))


def test_a_file_with_rows_of_another_shape_ends_the_run(folder: Path) -> None:
    write_arrays(folder / "b.h5", {"data": np.zeros((4, 3)), "label": np.zeros(4)})
    source = build(text("batch_size: 4"))
    with pytest.raises(TextError, match=r"layer 'it': 'data' in b.h5 has rows of shape \(3,\)"):
        source()
