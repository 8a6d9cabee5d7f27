"""Whether a recipe, the processes and the pictures fit each other, before anything is written."""

import torch

from alexnet.model import architecture
from alexnet.parallel.team import Team
from alexnet.training.recipe import Recipe


def crop_size(recipe: Recipe) -> int:
    """Return the side of the windows that the net sees, in pixels: its own unless it is given."""
    return recipe.input_size or architecture(recipe.net).input_size


def check_layout(recipe: Recipe, team: Team) -> None:
    """Make sure that the batch and its options can be spread over the processes.

    Raises: ValueError naming the option that cannot.
    """
    groups, hybrid = team.mesh.groups, team.layout.hybrid
    if recipe.batch % groups:
        raise ValueError(
            f"batch is {recipe.batch}, which does not divide into {groups} equal parts; use a "
            f"multiple of {groups}, or another number of processes"
        )
    if recipe.fc_batch and not hybrid:
        raise ValueError(
            f"fc_batch is {recipe.fc_batch}, and a batch varies in the rounds of one weird trick; "
            "add --hybrid b (which one process does too) or leave it out with --fc-batch 0"
        )
    if hybrid and recipe.accumulate > 1:
        raise ValueError(
            f"accumulate is {recipe.accumulate}, but one weird trick (--hybrid {hybrid}) takes "
            "its batch whole; use --accumulate 1 and more processes, or --columns"
        )
    if recipe.fc_batch and recipe.clip_norm:
        raise ValueError(
            f"clip_norm is {recipe.clip_norm:g} and fc_batch {recipe.fc_batch}: with a variable "
            "batch there is no one gradient to clip; give one of the two"
        )


def check_parts(recipe: Recipe, pictures: int) -> None:
    """Make sure that no part of a batch is one picture where batch norm needs more.

    It takes a variance over pictures and positions: of one picture and one position there is none.

    Raises: ValueError naming the batch, the last of the epoch or any other, that ends in one.
    """
    for count in (min(recipe.batch, pictures), pictures % recipe.batch):
        parts = torch.empty(count, 0).chunk(recipe.accumulate)
        if count == 0 or len(parts[-1]) > 1:
            continue
        found = architecture(recipe.net)
        with torch.device("meta"):
            net = found.build(classes=2, input_size=crop_size(recipe)).train()
            x = torch.empty(1, found.channels, net.input_size, net.input_size)
            try:
                net.heads(x)
            except ValueError as error:
                raise ValueError(
                    f"a batch of {count} in {recipe.accumulate} parts ends in one picture, of "
                    "which batch norm can take no variance here; choose another --batch or "
                    f"--input-size ({error})"
                ) from None
