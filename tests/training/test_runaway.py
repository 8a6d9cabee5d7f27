"""A loss that is no number: the update, the pictures and the layer are named; nothing is saved."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from alexnet.data.folder import list_folder
from alexnet.data.loader import Batch, Loader
from alexnet.nets.chain import Chain
from alexnet.parallel.team import Team
from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from alexnet.training.runaway import Losses, RunawayStop, first_not_finite, is_finite
from tests.conftest import MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")


class Small(Chain):
    """Two layers with something between that can be made to fail."""

    input_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.middle = nn.ReLU()
        self.last = nn.Linear(3, 2)


def test_the_first_number_that_is_lost_is_found() -> None:
    x = torch.ones(2, 4)
    assert first_not_finite(Small(), x) == "the loss, of answers that are finite"
    assert first_not_finite(Small(), x / 0) == "the pictures as the net sees them"
    spoiled = Small()
    nn.init.constant_(spoiled.last.bias, math.inf)
    assert first_not_finite(spoiled, x) == "last.bias, which the update before has made so"
    large = Small()
    nn.init.constant_(large.first.weight, 3e38)  # finite, but not its products with ones
    assert first_not_finite(large, x) == "what first puts out"
    deep = Small()
    nn.init.constant_(deep.first.weight, 1e30)
    nn.init.constant_(deep.last.weight, 1e30)
    assert first_not_finite(deep, x) == "what last puts out"
    assert not any(layer._forward_hooks for layer in deep.modules())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_number_is_enough(value: float) -> None:
    x = torch.full((3, 5), 3e38)  # their sum passes the range of float32, and they are finite
    assert is_finite(x)
    x[1, 2] = value
    assert not is_finite(x)


def test_the_update_its_pictures_and_the_layer_are_named_and_no_weight_is_touched(
    pictures: MakePictures, tmp_path: Path
) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), init="source", epochs=1)
    run = setup.start(recipe, tmp_path / "run")
    # so large that fc8's sums pass the range of float32
    nn.init.constant_(run.model.net.get_parameter("fc8.weight"), 3e38)
    before = {name: each.clone() for name, each in run.model.net.named_parameters()}
    first = next(run.train.epoch(0, seed=recipe.seed)).indices.tolist()
    names = ", ".join(run.split.train.paths[index] for index in first)
    with pytest.raises(RunawayStop) as caught:
        loop.train(run)
    assert str(caught.value).removeprefix("the loss is nan at update 1: ") == (
        "the weights have run away; the first that is not finite is what fc8 puts out; "
        f"the batch is 8 pictures: {names}; lower --lr, add --warmup-epochs 1 or --clip-norm 10"
    )
    for name, each in run.model.net.named_parameters():
        assert each.equal(before[name])
    assert not (run.folder / "checkpoints").exists()
    kinds = [line["kind"] for line in read_journal(run.folder / "journal.jsonl")]
    assert kinds == ["statistics"]


def test_of_many_pictures_eight_are_named(pictures: MakePictures, tmp_path: Path) -> None:
    recipe = replace(tiny_recipe(pictures(per_class=10)), init="source", batch=12)
    run = setup.start(recipe, tmp_path / "run")
    nn.init.constant_(run.model.net.get_parameter("conv1.bias"), math.nan)
    message = (
        r"the first that is not finite is conv1.bias, which the update before has made so; the "
        r"batch is 12 pictures: ([^,]*\.jpg, ){7}[^,]*\.jpg and 4 more; lower"
    )
    with pytest.raises(RunawayStop, match=message):
        loop.train(run)


def test_weights_that_an_update_has_spoiled_are_not_saved(
    pictures: MakePictures, tmp_path: Path
) -> None:
    run = setup.start(tiny_recipe(pictures(per_class=10)), tmp_path / "run")
    loop.save(run)
    nn.init.constant_(run.model.net.get_parameter("conv3.weight")[1, 2, 0, 0], math.inf)
    run.position.step = 1
    message = "at update 1: .* not finite is conv3.weight after the update; lower --lr"
    with pytest.raises(RunawayStop, match=message):
        loop.save(run)
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-00000000"]


def batch_of(indices: list[int]) -> Batch:
    empty = torch.empty(len(indices), 1, 1, 3, dtype=torch.uint8)
    chosen = torch.tensor(indices, dtype=torch.int64)
    return Batch(empty, torch.zeros(len(indices), dtype=torch.int64), chosen, 0)


def test_finite_losses_are_forgotten(pictures: MakePictures) -> None:
    loader = Loader(list_folder(pictures(per_class=2, size=16)), 4, 16)
    losses = Losses(Team(), loader)
    losses.keep(1, batch_of([0]), 1.0)
    losses.check(1.0)
    losses.keep(2, batch_of([1]), math.nan)
    with pytest.raises(RunawayStop, match=r"at update 2: .* is 1 pictures: cross/0001\.jpg; lower"):
        losses.check(math.nan)
