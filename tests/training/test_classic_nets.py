"""VGG, GoogLeNet and ResNet learn a handful of pictures by the same loop as AlexNet."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.nets import NETS
from alexnet.nets.resnet import RESNET18
from alexnet.nets.vgg import VGG11, VGG11_BN
from alexnet.training.loop import train
from alexnet.training.recipe import Recipe
from alexnet.training.setup import start
from tests.conftest import MakePictures

RECIPE = Recipe(
    batch=12,
    divide_by=64.0,
    subtract="mean-value",
    lighting=0.0,
    validation_share=0.2,
    precision="fp32",
    device="cpu",
    workers=1,
    clip_norm=5.0,
    report_every=1,
)
NARROW = (8, 16, 32, 32, 32)
SMALL = {
    "vgg11": replace(VGG11, widths=NARROW, fc_units=256),
    "vgg11-bn": replace(VGG11_BN, widths=NARROW),
    "resnet18": replace(RESNET18, widths=NARROW[:4]),
    "googlenet": NETS["googlenet"],
}


CASES = {
    "vgg11": {"init": "normalised", "lr": 0.004, "input_size": 32},
    "vgg11-bn": {"init": "source", "lr": 0.05, "input_size": 32},
    "resnet18": {"init": "source", "lr": 0.02, "input_size": 32},
    "googlenet": {"init": "normalised", "lr": 0.006, "input_size": 47},
}


@pytest.mark.parametrize(
    "name",
    [
        "vgg11",
        pytest.param("vgg11-bn", marks=pytest.mark.slow),
        "resnet18",
        "googlenet",
    ],
)
def test_a_few_updates_lower_the_loss(
    pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(NETS, name, SMALL[name])
    recipe = replace(RECIPE, net=name, epochs=8, **CASES[name])  # type: ignore[arg-type]
    recipe = replace(recipe, picture_size=recipe.input_size + 4)
    recipe = replace(recipe, data=str(pictures(per_class=15, size=recipe.picture_size)))
    folder = tmp_path / "run"
    train(start(recipe, folder))
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert len(losses) == 3 * recipe.epochs
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3]), losses
