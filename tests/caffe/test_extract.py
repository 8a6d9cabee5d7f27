import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.caffe.extract import extract_features, open_net
from alexnet.data.databases import DatabaseError, open_database
from alexnet.text import wire
from alexnet.text.graph import TextNet
from alexnet.text.message import TextError
from alexnet.text.prototxt import parse
from alexnet.text.weights import save_weights
from tests.golden.source_cases import FOLDER, SOURCES

CAFFE = os.environ.get("ALEXNET_CAFFE", "")
NET = (
    SOURCES["data_mean_file"]
    + """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 stride: 2
    weight_filler { type: "xavier" } bias_filler { value: 0.5 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" }
"""
)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> TextNet:
    monkeypatch.chdir(FOLDER)
    generator = torch.Generator().manual_seed(3)
    return TextNet(parse(NET, "NetParameter"), "TEST", generator=generator)


def floats(path: Path) -> dict[bytes, tuple[tuple[int, ...], list[float]]]:
    found = {}
    for key, value in open_database(path):
        datum = wire.decode(value, "Datum")
        assert "label" not in datum
        shape = tuple(datum[name] for name in ("channels", "height", "width"))
        found[key] = (shape, list(datum["float_data"]))
    return found


def test_each_picture_is_a_datum_of_floats(net: TextNet, tmp_path: Path) -> None:
    names = ["data", "conv", "ip", "sum"]
    counts = extract_features(
        net, names, [tmp_path / name for name in names], batches=3, backend="lmdb"
    )
    assert counts == [9, 9, 9, 3]
    twin = TextNet(parse(NET, "NetParameter"), "TEST")
    twin.load_state_dict(net.state_dict())
    for batch in range(3):
        with torch.no_grad():
            wanted = twin.run(keep=names).blobs
        for name in ("data", "conv", "ip"):
            found = floats(tmp_path / name)
            for row, expected in enumerate(wanted[name]):
                shape, values = found[f"{3 * batch + row:010d}".encode()]
                assert shape == (*expected.shape, 1, 1)[:3]
                np.testing.assert_array_equal(values, expected.contiguous().reshape(-1))
        shape, values = floats(tmp_path / "sum")[f"{batch:010d}".encode()]
        assert shape == (1, 1, 1)
        assert values == [float(wanted["sum"])]


@pytest.mark.skipif(not CAFFE, reason="ALEXNET_CAFFE names no program")
def test_caffe_itself_extracts_the_same(net: TextNet, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    save_weights(tmp_path / "net.caffemodel", net.to_message())
    names = ["data", "conv", "ip"]
    theirs, ours = ([tmp_path / f"{who}_{name}" for name in names] for who in ("caffe", "ours"))
    words = [f"{tmp_path}/net.caffemodel", f"{tmp_path}/net.prototxt", ",".join(names)]
    words += [",".join(map(str, theirs)), "3", "lmdb"]
    program = str(Path(CAFFE).with_name("extract_features"))
    subprocess.run([program, *words], check=True, capture_output=True)
    again = open_net(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    extract_features(again, names, ours, batches=3, backend="lmdb")
    for one, other in zip(theirs, ours, strict=True):
        wanted, found = floats(one), floats(other)
        assert list(found) == list(wanted)
        for key, (shape, values) in wanted.items():
            assert found[key][0] == shape
            # Sums of up to 147 products in another order, beside values of up to 100.
            np.testing.assert_allclose(found[key][1], values, rtol=1e-5, atol=1e-4)
    assert list(open_database(ours[0])) == list(open_database(theirs[0]))


def test_weights_are_taken_by_the_layers_names(net: TextNet, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    save_weights(tmp_path / "net.caffemodel", net.to_message())
    again = open_net(tmp_path / "net.prototxt", tmp_path / "net.caffemodel")
    for name, blobs in net.blobs().items():
        for one, other in zip(blobs, again.blobs()[name], strict=True):
            assert torch.equal(one, other)


def test_leveldb_is_written_too(net: TextNet, tmp_path: Path) -> None:
    extract_features(net, ["ip"], [tmp_path / "db"], batches=1, backend="leveldb")
    assert len(list(open_database(tmp_path / "db", "LEVELDB"))) == 3


@pytest.mark.parametrize(
    ("blobs", "databases", "batches", "why"),
    [
        (["ip", "conv"], ["a"], 1, r"2 blobs and 1 databases are named; give one for each"),
        (["ip", "conv"], ["a", "a"], 1, r"a database is named twice; give each blob its own"),
        (["pi"], ["a"], 1, r"no blob is called 'pi' \(did you mean 'ip'\?\)"),
        (["ip"], ["a"], 0, r"num_mini_batches is 0; run at least 1"),
    ],
)
def test_contradictions_are_refused_before_anything_is_made(
    net: TextNet, tmp_path: Path, blobs: list[str], databases: list[str], batches: int, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        extract_features(
            net, blobs, [tmp_path / name for name in databases], batches=batches, backend="lmdb"
        )
    assert not list(tmp_path.iterdir())


def test_a_blob_of_five_axes_is_refused(tmp_path: Path) -> None:
    text = """layer { name: "it" type: "DummyData" top: "x"
      dummy_data_param { shape { dim: 1 dim: 1 dim: 1 dim: 1 dim: 2 } } }"""
    net = TextNet(parse(text, "NetParameter"))
    with pytest.raises(ValueError, match=r"blob 'x' has the shape \(1, 1, 1, 1, 2\); 4 axes"):
        extract_features(net, ["x"], [tmp_path / "db"], batches=1, backend="lmdb")


def test_one_database_that_exists_stops_all(net: TextNet, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(DatabaseError, match=r"b exists; a database is made anew"):
        extract_features(
            net, ["ip", "conv"], [tmp_path / "a", tmp_path / "b"], batches=1, backend="lmdb"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_data_that_end_in_an_error_leave_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    net = TextNet(parse(SOURCES["pictures"], "NetParameter"))
    (tmp_path / "data" / "pictures" / "d.png").write_bytes(b"no picture")
    with pytest.raises(TextError, match=r"d.png: this is no known picture"):
        extract_features(net, ["data"], [tmp_path / "db"], batches=2, backend="lmdb")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
