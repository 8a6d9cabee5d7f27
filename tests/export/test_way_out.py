"""A model for another program: nothing stands under its name before its answers are ours."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from alexnet.data.folder import DataError
from alexnet.evaluation.evaluate import probabilities
from alexnet.export import way_out
from alexnet.export.compare import generated_pictures
from alexnet.export.runtimes import open_onnx
from alexnet.export.way_out import FORMS, Form, Sample, To, Wish, export
from alexnet.export.weights_file import load_state_dict_file
from alexnet.model import Model
from tests.export.conftest import make_model


@pytest.fixture
def sample() -> Sample:
    return Sample(generated_pictures(6, 72), torch.tensor([0, 1, 2, 0, 1, 2]))


def left(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir())


def test_an_onnx_file_is_named_once_its_answers_are_ours(
    model: Model, sample: Sample, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "net.onnx"
    found = export(model, path, Wish("onnx", digest="abc"), sample)
    assert found.files == (path,)
    assert found.bytes == path.stat().st_size
    assert found.difference.largest < 1e-5
    assert (found.difference.pictures, found.difference.same_first) == (6, 6)
    assert found.cost is None
    assert list(left(path.parent)) == ["net.onnx"]
    assert open_onnx(path).head.model == "abc"


@pytest.mark.parametrize("kind", ["int8", "bf16"])
@pytest.mark.parametrize("inside", [True, False])
def test_rounded_weights_say_what_they_cost(
    model: Model, sample: Sample, tmp_path: Path, kind: str, inside: bool
) -> None:
    path = tmp_path / "net.onnx"
    wish = Wish("onnx", "int8" if kind == "int8" else "bf16", inside)
    found = export(model, path, wish, sample)
    assert found.cost is not None
    assert found.difference.largest < 1e-5  # beside the same rounded weights
    shown = sample.pictures
    ours = probabilities(model.net, shown, model.preprocessing)
    theirs = torch.from_numpy(open_onnx(path).answer(shown.numpy()))
    assert found.cost.difference.largest == pytest.approx(float((ours - theirs).abs().max()))
    assert found.cost.difference.largest > found.difference.largest
    assert sample.labels is not None
    assert found.cost.errors_before == int((ours.argmax(1) != sample.labels).sum())
    assert found.cost.errors_after == int((theirs.argmax(1) != sample.labels).sum())
    whole = export(model, tmp_path / "whole.onnx", Wish("onnx", inside=inside), sample)
    assert found.bytes < whole.bytes or kind == "int8"  # its fc layers are as small as scales


def test_answers_that_differ_are_refused_and_nothing_is_left(
    model: Model, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(model: Model, path: Path, pictures: Tensor) -> Tensor:
        assert path.is_file()
        found = FORMS["torch"].answer(model, path, pictures)
        return found + torch.tensor([2e-4, -2e-4, 0.0])

    monkeypatch.setitem(FORMS, "safetensors", Form(FORMS["safetensors"].write, answer))
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "net.safetensors"
    old.write_text("what was there")
    message = r"answers otherwise than this net, on 6 pictures: .* 2\.0e-04, .* at most 0\.0001 is"
    with pytest.raises(DataError, match=message):
        export(model, old, Wish("safetensors"), sample)
    assert list(left(old.parent)) == [old.name]
    assert old.read_text() == "what was there"


def test_weights_go_by_our_names_into_safetensors(
    model: Model, sample: Sample, tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    assert export(model, path, Wish("safetensors"), sample).difference.largest == 0
    wanted = model.net.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in load_file(path).items())


def test_torch_gets_torchvisions_names_where_it_has_the_net(
    model: Model, sample: Sample, tmp_path: Path
) -> None:
    export(model, tmp_path / "ours.pth", Wish("torch"), sample)
    assert set(load_state_dict_file(tmp_path / "ours.pth")) == set(model.net.state_dict())
    theirs = make_model("resnet18-torchvision")
    export(theirs, tmp_path / "theirs.pth", Wish("torch"), sample)
    names = torch.load(tmp_path / "theirs.pth", weights_only=True)
    assert "layer1.0.conv1.weight" in names


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["same", "int8"])
def test_openvino_has_two_files(model: Model, sample: Sample, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("openvino")
    wish = Wish("openvino", "int8" if kind == "int8" else "same", inside=True)
    found = export(model, tmp_path / "net.xml", wish, sample)
    assert found.files == (tmp_path / "net.xml", tmp_path / "net.bin")
    assert all(file.is_file() for file in found.files)
    assert found.difference.largest < 1e-5


@pytest.mark.parametrize("to", ["safetensors", "torch", "caffe"])
def test_weights_alone_have_no_rounding_and_no_preprocessing(to: To) -> None:
    with pytest.raises(ValueError, match=f"--to {to} has no int8 weights; leave --weights out"):
        way_out.check_wish(Wish(to, "int8"))
    with pytest.raises(ValueError, match=f"--to {to} holds .* no preprocessing; leave --prep"):
        way_out.check_wish(Wish(to, inside=True))


def test_a_disk_that_refuses_leaves_nothing(
    model: Model, sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(model: Model, path: Path, wish: Wish) -> list[Path]:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setitem(FORMS, "torch", Form(full, FORMS["torch"].answer))
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError, match="No space left"):
        export(model, tmp_path / "out" / "net.pth", Wish("torch"), sample)
    assert list(left(tmp_path / "out")) == []


def test_a_net_without_labels_has_no_errors(model: Model, tmp_path: Path) -> None:
    shown = Sample(generated_pictures(2, 72), None)
    found = export(model, tmp_path / "net.onnx", Wish("onnx", "bf16"), shown)
    assert found.cost is not None
    assert found.cost.errors_before is None
    np.testing.assert_array_less(0, found.cost.difference.largest)


def test_a_model_of_another_mean_is_the_same_net(model: Model, tmp_path: Path) -> None:
    value = replace(model.preprocessing, subtract="mean-value")
    other = replace(model, preprocessing=value)
    shown = Sample(generated_pictures(2, 72), None)
    assert export(other, tmp_path / "net.onnx", Wish("onnx"), shown).difference.largest < 1e-5
