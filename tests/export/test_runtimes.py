"""Exported files answer without torch; which file is taken, and which are refused."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from alexnet.data.digits import PackageMissing
from alexnet.data.folder import DataError
from alexnet.evaluation.evaluate import probabilities
from alexnet.export import runtimes
from alexnet.export.compare import generated_pictures
from alexnet.export.onnx_model import model_proto
from alexnet.export.runtimes import (
    check_packages,
    check_same_model,
    exported_path,
    find_file,
    open_file,
    open_onnx,
    open_openvino,
    predict_by,
)
from alexnet.model import Model
from alexnet.predict import predict
from tests.conftest import MakePictures


@pytest.fixture
def file(saved: Path, model: Model) -> Path:
    """Export the model by hand."""
    path = saved / "model.onnx"
    digest = json.loads((saved / "model" / "manifest.json").read_bytes())["digest"]
    path.write_bytes(model_proto(model, digest=digest).SerializeToString())
    return path


@pytest.mark.parametrize("quick", [True, False])
def test_the_answers_are_those_of_the_net(model: Model, file: Path, quick: bool) -> None:
    shown = generated_pictures(3, 72)
    wanted = probabilities(model.net, shown, model.preprocessing).numpy()
    found = open_file(file, "onnx", quick=quick).answer(shown.numpy())
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_labels_are_those_of_predict(model: Model, file: Path, pictures: MakePictures) -> None:
    paths = [*map(str, sorted(pictures(per_class=12).rglob("*.jpg"))), str(file)]
    ours = list(predict(model, paths, top=2))
    theirs = list(predict_by(open_onnx(file), paths, top=2))
    assert [each.source for each in theirs] == paths
    assert theirs[-1].error == ours[-1].error != ""
    for a, b in zip(ours, theirs, strict=True):
        assert [name for name, _ in a.labels] == [name for name, _ in b.labels]
        wanted = pytest.approx([p for _, p in a.labels], abs=1e-5)
        assert [p for _, p in b.labels] == wanted


def test_the_command_answers_without_torch(file: Path, pictures: MakePictures) -> None:
    picture = next(pictures().rglob("*.jpg"))
    program = (
        "import sys; from alexnet.cli import run; "
        f"code = run(['predict', {str(file)!r}, {str(picture)!r}]); "
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert picture.name in done.stdout


def test_an_export_lies_beside_its_model() -> None:
    folder = Path("runs/1/model")
    assert exported_path(folder, "onnx") == Path("runs/1/model.onnx")
    assert exported_path(folder, "openvino", "int8") == Path("runs/1/model-int8.xml")
    assert exported_path(Path("mine"), "torch") == Path("mine.pth")


def test_the_file_of_a_run_is_found_and_a_missing_one_says_how_to_make_it(
    saved: Path, file: Path
) -> None:
    assert find_file(saved, "onnx") == find_file(file, "onnx") == file
    assert find_file(saved / "model", "onnx") == file
    with pytest.raises(
        DataError, match=r"no model-int8.onnx; make it with: alexnet export .* int8"
    ):
        find_file(saved, "onnx", "int8")
    with pytest.raises(DataError, match=r"runn does not exist \(did you mean 'run'\?\)"):
        find_file(saved.with_name("runn"), "onnx")
    with pytest.raises(DataError, match=r"mode.onnx does not exist \(did you mean 'model.onnx'"):
        open_file(file.with_name("mode.onnx"), "onnx")


def test_a_file_of_other_weights_is_refused(saved: Path, file: Path) -> None:
    runner = open_onnx(file)
    check_same_model(saved, runner, file)
    check_same_model(file, runner, file)
    manifest = saved / "model" / "manifest.json"
    manifest.write_text(json.dumps({"digest": "other"}))
    with pytest.raises(DataError, match=r"was made of other weights than .* has now; export it ag"):
        check_same_model(saved, runner, file)
    manifest.write_text("{")
    with pytest.raises(DataError, match="is damaged: it is not JSON"):
        check_same_model(saved, runner, file)


def test_what_a_runtime_refuses_is_said_in_a_line(file: Path) -> None:
    proto = onnx.load(file)
    proto.graph.node[0].op_type = "NoSuchOperator"
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match=r"is refused by ONNX Runtime: .*NoSuchOperator"):
        open_onnx(file)


def test_a_file_of_somebody_else_is_refused(file: Path) -> None:
    proto = onnx.load(file)
    del proto.metadata_props[:]
    helper.set_model_props(proto, {"names": "cat dog"})
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match="has no metadata called 'alexnet', which name the classes"):
        open_onnx(file)


def test_a_package_that_is_missing_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    def none(name: str) -> Any:
        return None

    monkeypatch.setattr(runtimes, "find_spec", none)
    with pytest.raises(PackageMissing, match=r"not installed; pip install 'alexnet\[onnx\]'"):
        open_onnx(file)
    with pytest.raises(PackageMissing, match=r"not installed; pip install 'alexnet\[openvino\]'"):
        open_openvino(file)
    with pytest.raises(PackageMissing, match="onnx and onnxruntime are not installed"):
        check_packages(("onnx", "onnxruntime"))


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
def test_openvino_answers_as_the_net_and_refuses_what_is_damaged(model: Model, saved: Path) -> None:
    pytest.importorskip("openvino")
    from alexnet.export.way_out import FORMS, Wish

    files = FORMS["openvino"].write(model, saved / "model.xml", Wish("openvino", digest="abc"))
    runner = open_file(files[0], "openvino")
    assert runner.head.model == "abc"
    assert runner.head.classes == model.classes
    shown = generated_pictures(3, 72)
    wanted = probabilities(model.net, shown, model.preprocessing).numpy()
    np.testing.assert_allclose(runner.answer(shown.numpy()), wanted, rtol=0, atol=1e-5)
    files[0].write_text("<net>")
    with pytest.raises(DataError, match="is refused by OpenVINO: "):
        open_openvino(files[0])


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
def test_an_openvino_file_of_somebody_else_is_refused(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    openvino: Any = import_module("openvino")
    net = openvino.Core().read_model(model_proto(model).SerializeToString())
    path = tmp_path / "net.xml"
    openvino.serialize(net, path, path.with_suffix(".bin"))
    with pytest.raises(DataError, match="has no metadata called 'alexnet'"):
        open_openvino(path)
