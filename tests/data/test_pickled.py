"""Pickles as data: the published form is read; what could run code is refused and not run."""

import hashlib
import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.data import pickled
from alexnet.data.folder import DataError
from alexnet.data.pickled import read_pickled
from tests.data.pickling import CIFAR10, batch, dump

META = {"num_cases_per_batch": 10000, "label_names": list(CIFAR10), "num_vis": 3072}
PUBLISHED_META = "5ff9c542aee3614f3951f8cda6e48888"  # MD5 of CIFAR-10's batches.meta


def write(folder: Path, content: bytes) -> Path:
    path = folder / "batch"
    path.write_bytes(content)
    return path


def refused(folder: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pickled(write(folder, content))


@pytest.fixture
def pictures() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (300, 3072), np.uint8)


def test_the_published_batches_meta_is_read(tmp_path: Path) -> None:
    content = dump(META)
    assert hashlib.md5(content).hexdigest() == PUBLISHED_META
    assert read_pickled(write(tmp_path, content)) == META


def test_a_batch_is_what_pickle_itself_reads(tmp_path: Path, pictures: NDArray[np.uint8]) -> None:
    labels = [number % 10 for number in range(300)]
    content = batch(pictures, labels)
    expected = pickle.loads(content, encoding="latin-1")
    found = read_pickled(write(tmp_path, content))
    np.testing.assert_array_equal(found.pop("data"), expected.pop("data"), strict=True)
    assert found == expected
    assert found["labels"] == labels


def test_short_arrays_and_names_of_numpy_2_are_read(tmp_path: Path) -> None:
    row = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    content = dump({"data": row, "x": 70000, "y": -1}).replace(b"numpy.core.", b"numpy._core.")
    found = read_pickled(write(tmp_path, content))
    np.testing.assert_array_equal(found["data"], row, strict=True)
    assert (found["x"], found["y"]) == (70000, -1)


def test_values_kept_and_taken_again_are_the_same(tmp_path: Path) -> None:
    content = b"\x80\x02}q\x00(U\x01aq\x01X\x01\x00\x00\x00bq\x02U\x01ch\x02U\x01dNU\x01e\x88u."
    expected = {"a": "b", "c": "b", "d": None, "e": True}
    assert pickle.loads(content, encoding="latin-1") == expected
    assert read_pickled(write(tmp_path, content)) == expected
    one = b"\x80\x02}U\x01a]K\x01aK\x02as."
    assert read_pickled(write(tmp_path, one)) == {"a": [1, 2]}


class Command:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(
    tmp_path: Path, protocol: int
) -> None:
    trace = tmp_path / "trace"
    content = pickle.dumps({"data": Command(f"touch {trace}")}, protocol)
    refused(tmp_path, content, "is refused: .*pickles are read as data and never run")
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # so that the test knows that it would have


def test_any_name_but_numpys_is_refused_by_name(tmp_path: Path) -> None:
    refused(tmp_path, b"\x80\x02cposix\nsystem\n.", "byte 2: GLOBAL .* asks for 'posix.system'")
    refused(tmp_path, b"\x80\x02cnumpy\nload\n.", "asks for 'numpy.load'")
    refused(tmp_path, b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "dtype is not called")
    refused(tmp_path, b"\x80\x02cnumpy\nndarray\n)R.", "ndarray is not called for an array of b")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x03}.", "PROTO is refused: protocol 3 is not 2"),
        (b"(dp1\n.", "DICT is refused: a batch of CIFAR has no such instruction"),
        (b"\x80\x02(i__main__\nx\n.", "INST is refused"),
        (b"\x80\x02P1\n.", "PERSID is refused"),
        (b"\x80\x02\x82\x01.", "EXT1 is refused"),
        (b"\x80\x02}K\x01K\x02s.", "a key is not text"),
        (b"\x80\x02}(K\x01u.", "a key has no value"),
        (b"\x80\x02K\x01K\x01s.", "there is no value to take"),
        (b"\x80\x02K\x01K\x01K\x01s.", "int stands where it cannot"),
        (b"\x80\x02h\x07.", "nothing was kept as number 7"),
        (b"\x80\x02e.", "there is no value to take"),
        (b"\x80\x02K\x05.", "holds no dictionary"),
        (b"\x80\x02}", "is damaged after byte 2"),
        (b"\x80\x02}\xff.", "is damaged after byte 2"),
        (b"\x80\x02}U\xffabc.", "is damaged after byte 2"),
        (b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85Rs.", "out c"),
        (b"", "has 0 bytes; a pickled batch has 1 to 1,000,000,000"),
    ],
)
def test_what_is_no_batch_is_refused_with_the_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    refused(tmp_path, content, message)


def test_an_array_of_another_layout_is_refused(tmp_path: Path, pictures: NDArray[np.uint8]) -> None:
    good = dump({"data": pictures})
    shape = b"(K\x01M,\x01M\x00\x0c\x86"
    assert shape in good
    less = good.replace(shape, shape.replace(b",", b"+"))
    refused(tmp_path, less, r"shape is \(299, 3072\), but it has 921600 bytes")
    refused(tmp_path, good.replace(b"b\x89T", b"b\x88T"), "not one of bytes in C order")
    refused(tmp_path, good.replace(shape, b"(K\x01K\x01K\x02\x86"), r"shape is \(1, 2\)")
    refused(tmp_path, good.replace(shape, b"(K\x01U\x01a\x85"), "no shape or no bytes")


def test_a_file_that_is_too_large_or_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "MOST_BYTES", 100)
    refused(tmp_path, dump(META), "has 158 bytes; a pickled batch has 1 to 100")
    with pytest.raises(DataError, match="none cannot be read: No such file"):
        read_pickled(tmp_path / "none")


def test_every_cut_is_refused_and_no_damage_raises_anything_else(tmp_path: Path) -> None:
    content = batch(np.full((2, 3072), 7, np.uint8), [1, 2])
    for end in [*range(1, 400), *range(400, len(content), 97), len(content) - 1]:
        refused(tmp_path, content[:end], "damaged")
    chosen = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        place = chosen.choice([chosen.randrange(260), chosen.randrange(len(content))])
        damaged[place] ^= 1 << chosen.randrange(8)
        try:
            value = read_pickled(write(tmp_path, bytes(damaged)))
        except DataError:
            continue
        assert all(isinstance(key, str) for key in value)
