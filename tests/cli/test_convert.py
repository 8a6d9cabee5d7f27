"""`alexnet convert`: from files of weights to a model that predicts."""

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from alexnet.cli import run
from alexnet.export import published
from alexnet.export.torchvision import to_torchvision
from alexnet.export.weights_file import save_state_dict_file
from alexnet.model import open_model
from alexnet.nets import find

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    net = find("lenet").build(classes=10)
    net.init_weights(torch.Generator().manual_seed(0))
    path = tmp_path / "weights.safetensors"
    save_file(dict(net.state_dict()), path)
    return path


def test_a_file_of_weights_becomes_a_model_that_predicts(weights: Path, capsys: Capture) -> None:
    folder = weights.parent
    labels = folder / "labels.txt"
    labels.write_text("\n".join("abcdefghij"))
    model, caffe = folder / "model", folder / "lenet.caffemodel"
    assert run(["convert", str(weights), str(caffe), "--net", "lenet"]) == 0
    assert capsys.readouterr().out == f"{caffe}: for Caffe\n"
    words = ["convert", str(caffe), str(model), "--net", "lenet", "--labels", str(labels)]
    assert run([*words, "--scale", "0.00390625"]) == 0
    assert f"try: alexnet predict {model}" in capsys.readouterr().out
    picture = folder / "digit.png"
    Image.new("L", (28, 28), 200).save(picture)
    assert run(["predict", str(model), str(picture), "--csv"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert rows[1].split(",")[2] in "abcdefghij"
    back = folder / "back.safetensors"
    assert run(["convert", str(model), str(back)]) == 0
    wanted = load_file(weights)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in load_file(back).items())


def test_what_is_there_is_not_overwritten(weights: Path, capsys: Capture) -> None:
    assert run(["convert", str(weights), str(weights), "--net", "lenet"]) == 2
    assert "exists already; give another name, or remove it first" in capsys.readouterr().err


def test_a_damaged_file_is_refused(weights: Path, capsys: Capture) -> None:
    broken = weights.parent / "broken.caffemodel"
    broken.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    out = weights.parent / "model"
    assert run(["convert", str(broken), str(out), "--net", "lenet"]) == 3
    assert "Git LFS" in capsys.readouterr().err
    assert not out.exists()


def test_torchvisions_weights_become_a_model_by_name(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = find("resnet18-torchvision").build(classes=3)
    net.init_weights(torch.Generator().manual_seed(0))
    weights = to_torchvision("resnet18-torchvision", dict(net.state_dict()))
    save_state_dict_file(tmp_path / "new.pth", weights)
    digest = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()
    (tmp_path / "new.pth").rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setitem(published.FILES, "resnet18", f"resnet18-{digest[:8]}.pth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    out = tmp_path / "model"
    words = ["convert", "torchvision:resnet18", str(out), "--mirror", str(tmp_path)]
    assert run(words) == 0
    found = capsys.readouterr()
    assert f"try: alexnet predict {out} PICTURE" in found.out
    assert "its digest is the one that its name carries" in found.err
    opened = open_model(out)
    assert (opened.name, len(opened.classes)) == ("resnet18-torchvision", 3)
    assert torch.equal(opened.net.state_dict()["fc.weight"], net.state_dict()["fc.weight"])
    assert run(["convert", "torchvision:resnet1", str(tmp_path / "other")]) == 2
    assert "did you mean 'resnet18'?" in capsys.readouterr().err
