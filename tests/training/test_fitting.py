"""Recipes that do not fit the processes or the pictures are refused before a run is begun."""

from dataclasses import replace

import pytest

from alexnet.model import architecture
from alexnet.parallel.layout import Layout
from alexnet.parallel.mesh import Mesh, World
from alexnet.parallel.team import Team
from alexnet.training.fitting import check_layout, check_parts, crop_size
from alexnet.training.recipe import Recipe

RESNET = Recipe(net="resnet18", input_size=32)


def team_of(processes: int, layout: Layout | None = None) -> Team:
    return Team(Mesh(World(size=processes)), layout)


@pytest.mark.parametrize(
    ("recipe", "team", "message"),
    [
        (
            Recipe(batch=7),
            team_of(2),
            "batch is 7, which does not divide into 2 equal parts; use a multiple of 2, or another",
        ),
        (
            Recipe(fc_batch=4),
            team_of(1),
            r"fc_batch is 4, and .* add --hybrid b \(which one process does too\) or leave it out",
        ),
        (
            Recipe(accumulate=2),
            team_of(1, Layout(hybrid="b")),
            r"accumulate is 2, but one weird trick \(--hybrid b\) takes its batch whole; use",
        ),
        (
            Recipe(fc_batch=4, clip_norm=1.5),
            team_of(1, Layout(hybrid="b")),
            "clip_norm is 1.5 and fc_batch 4: .* no one gradient to clip; give one of the two",
        ),
    ],
)
def test_a_batch_that_cannot_be_spread_is_refused(recipe: Recipe, team: Team, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_layout(recipe, team)


@pytest.mark.parametrize(
    ("recipe", "team"),
    [
        (Recipe(batch=7, accumulate=3, clip_norm=1.0), team_of(1)),
        (Recipe(batch=8), team_of(4)),
        (Recipe(batch=8, fc_batch=4), team_of(2, Layout(hybrid="b"))),
    ],
)
def test_a_batch_that_can_be_spread_is_taken(recipe: Recipe, team: Team) -> None:
    check_layout(recipe, team)


@pytest.mark.parametrize(
    ("batch", "parts", "count"), [(23, 1, 1), (1, 1, 1), (7, 3, 7), (5, 4, 5), (100, 24, 24)]
)
def test_a_part_of_one_picture_is_refused_where_batch_norm_needs_more(
    batch: int, parts: int, count: int
) -> None:
    recipe = replace(RESNET, batch=batch, accumulate=parts)
    message = f"a batch of {count} in {parts} parts ends in one picture, of which batch norm can"
    with pytest.raises(ValueError, match=message):
        check_parts(recipe, 24)
    check_parts(replace(recipe, input_size=64), 24)  # 2 x 2 values per channel
    check_parts(replace(recipe, net="alexnet", input_size=0), 24)  # no batch norm


@pytest.mark.parametrize(("batch", "parts"), [(4, 3), (24, 1), (100, 12), (22, 1)])
def test_parts_of_two_pictures_and_more_are_taken(batch: int, parts: int) -> None:
    check_parts(replace(RESNET, batch=batch, accumulate=parts), 24)


def test_the_windows_are_the_nets_own_unless_a_side_is_given() -> None:
    assert crop_size(Recipe(net="alexnet")) == architecture("alexnet").input_size == 227
    assert crop_size(RESNET) == 32
