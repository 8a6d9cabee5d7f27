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


@pytest.mark.parametrize(
    ("name", "init", "lr", "input_size", "epochs"),
    [
        ("vgg11", "normalised", 0.004, 32, 8),
        pytest.param("vgg11-bn", "source", 0.05, 32, 8, marks=pytest.mark.slow),
        ("resnet18", "source", 0.02, 32, 8),
        ("googlenet", "normalised", 0.006, 47, 8),
    ],
)
def test_a_few_updates_lower_the_loss(
    pictures: MakePictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    init: str,
    lr: float,
    input_size: int,
    epochs: int,
) -> None:
    monkeypatch.setitem(NETS, name, SMALL[name])
    recipe = replace(
        RECIPE,
        data=str(pictures(per_class=15, size=input_size + 4)),
        net=name,
        init=init,  # type: ignore[arg-type]
        lr=lr,
        epochs=epochs,
        picture_size=input_size + 4,
        input_size=input_size,
    )
    folder = tmp_path / "run"
    train(start(recipe, folder))
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "train"]
    assert len(losses) == 3 * epochs
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3]), losses
