"""A process sees of its pictures what one with the whole batch would."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from alexnet.data import statistics
from alexnet.data.augment import Preprocessing
from alexnet.data.loader import Batch
from alexnet.training.look import look
from alexnet.training.recipe import Recipe

PICTURES = torch.randint(
    0, 256, (7, 40, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)
RECIPES = {
    "crops": Recipe(lighting=0.5),
    "areas": Recipe(crop="random-resized", subtract="mean-value", lighting=0.1),
    "centres": Recipe(crop="centre"),
    "plain": Recipe(flip=False, lighting=0.0, subtract="none"),
}


def seen(recipe: Recipe, batch: Batch, step: int = 3) -> Tensor:
    preprocessing = Preprocessing(
        statistics.compute([PICTURES]), picture_size=40, crop_size=33, subtract=recipe.subtract
    )
    return look(
        batch,
        preprocessing,
        recipe=recipe,
        step=step,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def part(rows: slice) -> Batch:
    pictures = PICTURES[rows]
    labels = torch.zeros(len(pictures), dtype=torch.int64)
    return Batch(pictures, labels, labels, 7, first=rows.start, others=7 - len(pictures))


@pytest.mark.parametrize("name", RECIPES)
def test_a_part_of_a_batch_is_cut_as_in_the_whole(name: str) -> None:
    recipe = RECIPES[name]
    whole = seen(recipe, part(slice(0, 7)))
    for rows in (slice(0, 3), slice(3, 7), slice(5, 6), slice(4, 4)):
        assert torch.equal(seen(recipe, part(rows)), whole[rows])


def test_centres_are_mirrored_and_relit_but_never_moved() -> None:
    recipe = replace(RECIPES["centres"], lighting=0.0, subtract="none")
    middle = PICTURES[:, 3:36, 3:36].permute(0, 3, 1, 2).float()
    for step in range(3):
        for x, y in zip(seen(recipe, part(slice(0, 7)), step=step), middle, strict=True):
            assert torch.equal(x, y) or torch.equal(x, y.flip(2))
    unmirrored = seen(replace(recipe, flip=False), part(slice(0, 7)))
    assert torch.equal(unmirrored, middle)


def test_each_update_and_each_seed_cuts_otherwise() -> None:
    recipe, batch = RECIPES["crops"], part(slice(0, 7))
    first = seen(recipe, batch)
    assert torch.equal(seen(recipe, batch), first)
    assert not torch.equal(seen(recipe, batch, step=4), first)
    assert not torch.equal(seen(replace(recipe, seed=1), batch), first)
