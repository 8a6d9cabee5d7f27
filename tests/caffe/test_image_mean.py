import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alexnet.caffe.image_mean import compute_image_mean, write_image_mean
from alexnet.data.databases import DatabaseError, create_database
from alexnet.text.datum import make_datum
from alexnet.text.message import TextError
from alexnet.text.transform import Picture
from tests.golden.source_cases import FOLDER

CAFFE = os.environ.get("ALEXNET_CAFFE", "")
RANDOM = np.random.default_rng(0)


def database(path: Path, pictures: Sequence[Picture]) -> Path:
    with create_database(path, "LMDB") as writer:
        for number, picture in enumerate(pictures):
            writer.put(f"{number:08d}".encode(), make_datum(picture, number))
    return path


@pytest.mark.parametrize("name", ["raw_lmdb", "encoded_lmdb", "raw_leveldb"])
def test_the_file_has_caffes_bytes(tmp_path: Path, name: str) -> None:
    shutil.copytree(FOLDER / name, tmp_path / name)
    write_image_mean(tmp_path / name, tmp_path / "mean.binaryproto")
    wanted = (FOLDER / "mean.binaryproto").read_bytes()
    assert (tmp_path / "mean.binaryproto").read_bytes() == wanted


def test_the_mean_is_the_mean_of_all_pictures(tmp_path: Path) -> None:
    pictures = [RANDOM.integers(0, 256, (2, 3, 4), dtype=np.uint8) for _ in range(7)]
    mean = compute_image_mean(database(tmp_path / "db", pictures))
    exact = np.mean(pictures, axis=0)
    assert mean.count == 7
    np.testing.assert_allclose(mean.picture, exact, rtol=1e-6)  # one division in float32
    np.testing.assert_allclose(mean.channels, exact.mean(axis=(1, 2)), rtol=1e-6)


def test_pictures_of_floats_have_a_mean_too(tmp_path: Path) -> None:
    pictures = [RANDOM.standard_normal((1, 2, 2)).astype(np.float32) for _ in range(5)]
    mean = compute_image_mean(database(tmp_path / "db", pictures))
    total = np.zeros((1, 2, 2), np.float32)
    for picture in pictures:
        total += picture
    np.testing.assert_array_equal(mean.picture, total / np.float32(5))


def test_the_log_has_the_lines_that_scripts_look_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = [np.full((2, 3, 3), 7, np.uint8), np.full((2, 3, 3), 8, np.uint8)]
    pictures[1][1] = 200
    with caplog.at_level("INFO"):
        write_image_mean(database(tmp_path / "db", pictures), None)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[-3:] == [
        "Number of channels: 2",
        "mean_value channel [0]: 7.5",
        "mean_value channel [1]: 103.5",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


@pytest.mark.skipif(not CAFFE, reason="ALEXNET_CAFFE names no program")
def test_caffe_itself_writes_the_same(tmp_path: Path) -> None:
    pictures = [RANDOM.integers(0, 256, (3, 9, 8), dtype=np.uint8) for _ in range(300)]
    path = database(tmp_path / "db", pictures)
    program = str(Path(CAFFE).with_name("compute_image_mean"))
    subprocess.run([program, path, tmp_path / "caffe"], check=True, capture_output=True)
    write_image_mean(path, tmp_path / "ours")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "caffe").read_bytes()


def test_pictures_of_two_sizes_are_refused_by_the_key(tmp_path: Path) -> None:
    path = database(tmp_path / "db", [np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.uint8)])
    with pytest.raises(TextError, match=r"'00000001' is 1 x 3 x 2 .* the first picture 1 x 2 x 3"):
        compute_image_mean(path)


def test_no_database_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    path = database(tmp_path / "train_lmdb", [])
    with pytest.raises(TextError, match=r"train_lmdb is an empty database; it has no mean"):
        compute_image_mean(path)
    with pytest.raises(DatabaseError, match=r"does not exist \(did you mean 'train_lmdb'\?\)"):
        compute_image_mean(tmp_path / "train_lmbd")
    with pytest.raises(DatabaseError, match=r"is a LMDB database, not LEVELDB"):
        compute_image_mean(path, backend="LEVELDB")
