"""What an .onnx says of itself; damaged files, files of others, and those that want more files."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from alexnet.data.folder import DataError
from alexnet.export.onnx_file import MEAN, METADATA, OnnxHead, head_of, read_head, read_metadata

HEAD = OnnxHead(
    net="alexnet",
    classes=("cat", "d\u00f6g"),
    preprocessing={
        "picture_size": 8,
        "crop_size": 6,
        "subtract": "mean-value",
        "divide_by": 2.0,
        "colours": "rgb",
        "mean_value": [1.0, 2.0, 3.0],
    },
    inside=False,
    weights="same",
    version="1.0",
    model="abc",
    mean_image="AAAA",
)


def graph(nodes: list[Any], constants: tuple[Any, ...] = ()) -> Any:
    sides = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_graph(nodes, "g", [sides], [made], constants)


def model(*nodes: Any, constants: tuple[Any, ...] = ()) -> Any:
    nodes = nodes or (helper.make_node("Relu", ["x"], ["y"]),)
    proto = helper.make_model(graph(list(nodes), constants))
    helper.set_model_props(proto, HEAD.metadata())
    return proto


def write(folder: Path, proto: Any) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def outside(place: str) -> Any:
    """Return a constant whose numbers are in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return tensor


def test_a_file_says_what_was_written_into_it(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    assert read_head(write(tmp_path, model(constants=(weights,)))) == HEAD


def test_metadata_of_others_are_read_as_the_package_onnx_reads_them(tmp_path: Path) -> None:
    proto = model()
    helper.set_model_props(proto, {"author": "somebody", "empty": ""})
    path = write(tmp_path, proto)
    wanted = {each.key: each.value for each in onnx.load(path).metadata_props}
    assert read_metadata(path) == wanted
    with pytest.raises(DataError, match="has no metadata called 'alexnet', which name the classes"):
        read_head(path)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/passwd", "beside.bin"])
def test_weights_in_other_files_are_refused_with_their_place(tmp_path: Path, place: str) -> None:
    message = f"keeps weights in another file .*{place}.*, which is not read"
    with pytest.raises(DataError, match=message):
        read_head(write(tmp_path, model(constants=(outside(place),))))
    hidden = helper.make_node("Constant", [], ["c"], value=outside(place))
    branch = helper.make_graph([hidden], "b", [], [])
    nested = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    for node in (hidden, nested):
        with pytest.raises(DataError, match="keeps weights in another file"):
            read_head(write(tmp_path, model(node)))


def test_sparse_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    proto = model()
    proto.graph.sparse_initializer.add().values.CopyFrom(outside("../x"))
    with pytest.raises(DataError, match="keeps weights in another file"):
        read_head(write(tmp_path, proto))


def test_operators_that_are_not_onnx_own_are_refused(tmp_path: Path) -> None:
    own = helper.make_node("Launch", ["x"], ["y"], domain="com.example")
    with pytest.raises(DataError, match=r"needs the operator 'Launch' of 'com\.example', which is"):
        read_head(write(tmp_path, model(own)))
    inner = helper.make_function(
        "f", "F", ["a"], ["b"], [helper.make_node("Launch", ["a"], ["b"], domain="evil")], []
    )
    proto = model()
    proto.functions.append(inner)
    with pytest.raises(DataError, match="needs the operator 'Launch' of 'evil'"):
        read_head(write(tmp_path, proto))


def test_graphs_in_graphs_end_somewhere(tmp_path: Path) -> None:
    deep = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for _ in range(10):
        deep = helper.make_graph(
            [helper.make_node("If", ["x"], ["y"], then_branch=deep)], "g", [], []
        )
    proto = helper.make_model(deep)
    with pytest.raises(DataError, match="more than 8 graphs lie in one another"):
        read_head(write(tmp_path, proto))


def test_an_empty_file_and_one_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.touch()
    with pytest.raises(DataError, match="is empty; export it again"):
        read_head(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DataError, match="is no ONNX file, or a damaged one"):
        read_head(path)
    path.write_bytes(b"\x08\x08")
    with pytest.raises(DataError, match="it has 0 graphs instead of one"):
        read_head(path)


def test_a_file_that_was_cut_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    proto = model()
    del proto.metadata_props[1:]  # the mean picture, without which the rest is a whole file
    whole = write(tmp_path, proto).read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_head(path)


@settings(deadline=None, max_examples=300)
@given(st.binary(min_size=1, max_size=80))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    with pytest.raises(DataError):
        read_head(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": None}, "not iterable"),
        ({"preprocessing": {}}, "picture_size"),
        ({"preprocessing": {**HEAD.preprocessing, "crop_size": 9}}, "sizes"),
        ({"preprocessing": {**HEAD.preprocessing, "picture_size": 10**9}}, "sizes"),
        ({"preprocessing": {**HEAD.preprocessing, "divide_by": 0}}, "divide_by"),
        ({"preprocessing": {**HEAD.preprocessing, "mean_value": [1]}}, "mean_value"),
    ],
)
def test_metadata_that_are_damaged_are_refused(change: dict[str, Any], message: str) -> None:
    content = {**json.loads(HEAD.metadata()[METADATA]), **change}
    with pytest.raises(DataError, match=f"metadata 'alexnet' are damaged .*{message}"):
        head_of({METADATA: json.dumps(content)}, Path("net.onnx"))


def test_a_mean_picture_stands_under_a_key_of_its_own() -> None:
    assert HEAD.metadata()[MEAN] == "AAAA"
    assert "AAAA" not in HEAD.metadata()[METADATA]
