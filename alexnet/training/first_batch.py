"""The first batch of a training, without the training: the pictures, and what the net sees of them.

Source: Krizhevsky 2012, section 4.1. The same split, order, windows, mirror images and draws of
lighting as in update 1 of `alexnet train` with the same recipe. The colours' statistics are given:
of a sample they differ a little from those of all pictures.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet.data.augment import Preprocessing
from alexnet.data.folder import DataError, Split
from alexnet.data.loader import Batch
from alexnet.data.pictures import Pictures
from alexnet.data.statistics import Statistics
from alexnet.model import architecture
from alexnet.parallel.team import Team
from alexnet.training.look import look
from alexnet.training.pictures import open_data
from alexnet.training.recipe import Recipe


@dataclass(frozen=True)
class FirstBatch:
    """What the first update is made from."""

    split: Split[Pictures]
    """All pictures."""
    batch: Batch
    """The batch's pictures as they are stored: squares, uncut."""
    inputs: Tensor
    """(N, C, crop, crop) float32: what the net sees."""
    preprocessing: Preprocessing
    """How the one becomes the other."""


def input_size(recipe: Recipe) -> int:
    """Return the width of the crop that a recipe's net sees, in pixels.

    Raises: ValueError when there is no such net, it cannot take that size, or the pictures are
            smaller.
    """
    net = architecture(recipe.net)
    size = recipe.input_size or net.input_size
    net.check_input(size)
    if size > recipe.picture_size:
        raise ValueError(
            f"input_size {size} does not fit into pictures of {recipe.picture_size} pixels; give "
            f"--picture-size {size} or more, or a smaller --input-size"
        )
    return size


def first_batch(recipe: Recipe, statistics: Statistics) -> FirstBatch:
    """Read the pictures of update 1 and cut, mirror and relight them.

    Raises: DataError when a training would refuse the pictures; ValueError as `input_size`.
    """
    preprocessing = Preprocessing(
        statistics,
        recipe.picture_size,
        input_size(recipe),
        recipe.subtract,
        recipe.divide_by,
        "grey" if architecture(recipe.net).channels == 1 else "rgb",
    )
    data = open_data(recipe, Team())
    batch = next(data.train.epoch(0, seed=recipe.seed))
    if not batch.whole:
        path, reason = next(iter(batch.refused.items()))
        raise DataError(f"no picture of the first batch can be read; the first is {path}: {reason}")
    inputs = look(
        batch,
        preprocessing,
        recipe=recipe,
        step=0,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    return FirstBatch(data.split, batch, inputs, preprocessing)
