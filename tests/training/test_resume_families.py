"""Nets of other families learn, and go on bit for bit: batch norm, auxiliary classifiers, grey."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alexnet.data.image import decode_file, fit_square
from alexnet.model import open_model
from alexnet.nets import NETS
from alexnet.nets.resnet import RESNET18
from alexnet.predict import predict
from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.step import gradients
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import same_outcome, train_stopping

SMALL = replace(RESNET18, widths=(8, 8, 8, 8), blocks=(1, 1, 1, 1), published=None)
FAMILIES: dict[str, dict[str, Any]] = {
    "batch norm": {"net": "small", "precision": "fp32"},
    "batch norm in bfloat16": {"net": "small", "precision": "bf16"},
    "grey": {"net": "lenet-5", "precision": "fp32"},
    "grey in bfloat16": {"net": "lenet", "precision": "bf16"},
}


@pytest.fixture
def recipe(pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setitem(NETS, "small", SMALL)
    base = tiny_recipe(pictures(per_class=10))
    return replace(base, init="source", epochs=3, picture_size=32, input_size=32, divide_by=200.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_stopped_twice_it_ends_as_if_never_stopped(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    recipe = replace(recipe, **FAMILIES[family])
    loop.train(setup.start(recipe, tmp_path / "whole"))
    train_stopping(setup.start(recipe, tmp_path / "cut"), 2, monkeypatch)
    train_stopping(setup.resume(tmp_path / "cut"), 7, monkeypatch)
    loop.train(setup.resume(tmp_path / "cut"))
    same_outcome(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_of_a_run_has_the_statistics_that_training_gathered(
    recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    fields: dict[str, Any] = {"precision": precision, "keep_model": "last"}
    run = setup.start(replace(recipe, net="small", **fields), tmp_path / "run")
    loop.train(run)
    found = open_model(tmp_path / "run").net.state_dict()
    assert int(found["bn1.num_batches_tracked"]) == 9
    assert found["bn1.running_mean"].dtype == torch.float32
    assert float(found["bn1.running_mean"].abs().max()) > 0
    for name, buffer in run.model.net.named_buffers():
        assert torch.equal(found[name], buffer), name


@pytest.mark.parametrize(("name", "rate"), [("lenet-5", 0.003), ("lenet", 0.01)])
def test_lenet_learns_shapes_and_answers_pictures_smaller_than_36_pixels(
    recipe: Recipe, pictures: MakePictures, tmp_path: Path, name: str, rate: float
) -> None:
    data = pictures("more", classes=("disc", "stripes"), per_class=40, size=32)
    recipe = replace(recipe, net=name, data=str(data), epochs=12, lr=rate, schedule="constant")
    recipe = replace(recipe, flip=False, lighting=0.0, momentum=0.0, keep_model="last")
    run = setup.start(recipe, tmp_path / "run")
    loop.train(run)
    losses = [
        line["loss"]
        for line in read_journal(tmp_path / "run" / "journal.jsonl")
        if line["kind"] == "train"
    ]
    assert np.mean(losses[-8:]) < 0.6 * np.mean(losses[:8])
    model = open_model(tmp_path / "run")
    files = [str(path) for path in sorted(data.rglob("*.jpg"))[::8]]
    for file, answer in zip(files, predict(model, files), strict=True):
        picture = fit_square(decode_file(Path(file), at_least=32), 32).astype(np.float64)
        mean = model.preprocessing.statistics.mean_image.double().numpy()
        grey = ((picture - mean) / 200) @ np.array([0.299, 0.587, 0.114])
        with torch.no_grad():
            logits = model.net(torch.from_numpy(grey)[None, None].float())
        expected = logits.double().softmax(1)[0]
        given = dict(answer.labels)
        for index, label in enumerate(model.classes):
            assert given[label] == pytest.approx(float(expected[index]), abs=1e-4)


def test_googlenets_classifiers_are_all_in_the_loss() -> None:
    net = NETS["googlenet"].build(classes=3, input_size=64)
    net.init_weights(torch.Generator().manual_seed(0))
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 50
    torch.manual_seed(0)
    loss = gradients(net.train(), x, torch.tensor([0, 2]))
    torch.manual_seed(0)  # the same masks of dropout
    heads = net.heads(x)
    own = [-each.log_softmax(1)[[0, 1], [0, 2]].mean() for each in (heads.logits, *heads.auxiliary)]
    assert len(own) == 3
    expected = own[0] + 0.3 * own[1] + 0.3 * own[2]
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-5)
    assert all(p.grad is not None for p in net.parameters())
