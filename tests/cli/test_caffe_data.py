from pathlib import Path

import numpy as np
import pytest

from alexnet.caffe.imageset_options import Options
from alexnet.cli.caffe_data import compute_image_mean, convert_imageset, extract_features
from alexnet.data.databases import open_database
from alexnet.text import wire
from alexnet.text.message import Message
from tests.golden.source_cases import FOLDER, SOURCES


def test_pictures_become_a_database_and_a_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database, mean = tmp_path / "db", tmp_path / "mean.binaryproto"
    assert convert_imageset(f"{FOLDER}/pictures/", FOLDER / "equal.txt", database) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{database}: 5 pictures written\n"
    assert "] A total of 5 images.\n" in printed.err
    wanted = dict(open_database(FOLDER / "raw_lmdb"))
    assert dict(open_database(database)) == wanted

    assert compute_image_mean(database, mean) == 0
    printed = capsys.readouterr()
    assert mean.read_bytes() == (FOLDER / "mean.binaryproto").read_bytes()
    assert "] Number of channels: 3\n" in printed.err
    assert "] mean_value channel [2]: " in printed.err


def test_what_is_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("a.png 1\nmissing.png 2\n")
    options = Options(gray=True, backend="leveldb")
    database = tmp_path / "db"
    assert convert_imageset(f"{FOLDER}/pictures/", listed, database, options=options) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{database}: 1 pictures written\n"
    assert "missing.png cannot be read: No such file or directory" in printed.err
    assert printed.err.endswith("1 pictures were left out, as said above\n")


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(FOLDER)
    (tmp_path / "net.prototxt").write_text(SOURCES["data_one_mean"])
    blob = {"data": np.ones(1, np.float32), "shape": Message("BlobShape", {"dim": [1]})}
    layer = {"name": "other", "type": "Scale", "blobs": [Message("BlobProto", blob)]}
    weights = Message("NetParameter", {"layer": [Message("LayerParameter", layer)]})
    (tmp_path / "net.caffemodel").write_bytes(wire.encode(weights))
    return tmp_path


@pytest.mark.parametrize("place", [(), ("CPU",)])
def test_blobs_are_written_to_databases(net: Path, place: tuple[str, ...]) -> None:
    names = f"{net}/data_db,{net}/label_db"
    model, text = net / "net.caffemodel", net / "net.prototxt"
    assert extract_features(model, text, "data,label", names, 2, "lmdb", *place) == 0
    with np.load(FOLDER / "sources.npz") as golden:
        for top in ("data", "label"):
            found = [
                wire.decode(value, "Datum")["float_data"]
                for _, value in open_database(net / f"{top}_db")
            ]
            np.testing.assert_array_equal(found, golden[f"data_one_mean/{top}"].reshape(6, -1))


@pytest.mark.parametrize("place", [("TPU",), ("GPU", "0", "1")])
def test_an_unknown_place_is_refused(net: Path, place: tuple[str, ...]) -> None:
    model, text = net / "net.caffemodel", net / "net.prototxt"
    with pytest.raises(ValueError, match=r"is no place; CPU, GPU, or GPU and a number"):
        extract_features(model, text, "data", str(net / "db"), 1, "lmdb", *place)


def test_the_kind_of_database_is_needed(net: Path) -> None:
    model, text = net / "net.caffemodel", net / "net.prototxt"
    with pytest.raises(ValueError, match=r"db_type is missing behind num_mini_batches; lmdb or"):
        extract_features(model, text, "data", str(net / "db"), 1)
    with pytest.raises(ValueError, match=r"backend 'lmbd' is not known"):
        extract_features(model, text, "data", str(net / "db"), 1, "lmbd")
