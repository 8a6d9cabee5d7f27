"""Training with another arithmetic of convolutions: the same losses, kept in the recipe."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from alexnet.convolution import choose
from alexnet.convolution.swap import Swapped
from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe, load
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import same_outcome, train_stopping

pytestmark = pytest.mark.usefixtures("tiny_net")

STEPS = 4
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture
def recipe(pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("ALEXNET_CACHE", str(tmp_path / "own"))
    choose.forget()
    monkeypatch.setattr(choose, "TURN_SECONDS", 1e-9)
    return replace(tiny_recipe(pictures(per_class=10)), epochs=3)


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_journal(folder / "journal.jsonl") if "lr" in line]


@pytest.fixture
def native(recipe: Recipe, tmp_path: Path) -> list[float]:
    loop.train(setup.start(replace(recipe, steps=STEPS), tmp_path / "native"))
    return losses(tmp_path / "native")


def test_losses_are_those_of_torchs_convolutions(
    recipe: Recipe, tmp_path: Path, native: list[float]
) -> None:
    for algorithm in ("auto", "im2col", "fft", "winograd", "winograd-2", "direct"):
        given = replace(recipe, convolution=algorithm, steps=STEPS)
        run = setup.start(given, tmp_path / algorithm)
        assert run.swapped == tuple(Swapped(name, algorithm) for name in LAYERS)
        loop.train(run)
        ours = losses(tmp_path / algorithm)
        assert len(ours) == STEPS
        # Roundings of 1e-6, Winograd's of 1e-5, through updates that build on each other.
        assert ours == pytest.approx(native, rel=1e-3), algorithm


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_worker_computes_by_the_algorithm_and_the_model_is_torchs(
    recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    fields: dict[str, Any] = {"precision": precision, "convolution": "im2col", "steps": 1}
    run = setup.start(replace(recipe, **fields), tmp_path / "run")
    layers = [each for each in run.worker.modules() if isinstance(each, nn.Conv2d)]
    assert [vars(each)["arithmetic"].algorithm for each in layers] == ["im2col"] * 5
    loop.train(run)
    assert list(run.model.net.state_dict()) == list(
        setup.start(replace(recipe, steps=1), tmp_path / "plain").model.net.state_dict()
    )


def test_bfloat16_losses_are_those_of_torchs_convolutions(recipe: Recipe, tmp_path: Path) -> None:
    found = []
    for algorithm in ("native", "im2col", "auto"):
        low = replace(recipe, precision="bf16", convolution=algorithm, steps=3)
        loop.train(setup.start(low, tmp_path / algorithm))
        found.append(losses(tmp_path / algorithm))
    for ours in found[1:]:
        assert ours == pytest.approx(found[0], rel=2e-2)  # roundings of 2 ** -8 in every layer


@pytest.mark.parametrize("algorithm", ["im2col", "winograd"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit_with_its_algorithm(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    recipe = replace(recipe, convolution=algorithm)
    loop.train(setup.start(recipe, tmp_path / "whole"))
    train_stopping(setup.start(recipe, tmp_path / "cut"), 4, monkeypatch)
    run = setup.resume(tmp_path / "cut")
    assert {each.algorithm for each in run.swapped} == {algorithm}
    loop.train(run)
    same_outcome(tmp_path / "whole", tmp_path / "cut")


def test_the_recipe_keeps_it_and_recipes_without_it_are_torchs(
    recipe: Recipe, tmp_path: Path
) -> None:
    setup.start(replace(recipe, convolution="winograd-2"), tmp_path / "run")
    path = tmp_path / "run" / "recipe.toml"
    assert load(path).convolution == "winograd-2"
    lines = [line for line in path.read_text().splitlines() if "convolution" not in line]
    path.write_text("\n".join(lines))
    assert "convolution" not in tomllib.loads(path.read_text())
    assert load(path).convolution == "native"


def test_without_the_option_layers_are_torchs_own(recipe: Recipe, tmp_path: Path) -> None:
    run = setup.start(recipe, tmp_path / "run")
    assert run.swapped == ()
    assert type(run.worker.get_submodule("conv1")) is nn.Conv2d


def test_an_unknown_algorithm_is_refused_before_anything_is_written(
    recipe: Recipe, tmp_path: Path
) -> None:
    message = r"no algorithm is called 'im2cal' \(did you mean 'im2col'\?\); choose one of "
    with pytest.raises(ValueError, match=message):
        setup.start(replace(recipe, convolution="im2cal"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_no_cpu_is_refused(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(ValueError, match="convolution is 'auto' on cuda; on other devices than"):
        setup.start(replace(recipe, convolution="auto"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
