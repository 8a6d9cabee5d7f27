"""A training batch as the net sees it: random windows, mirrored, relit.

Source: Krizhevsky 2012, section 4.1. Numbers are drawn for the whole batch from the seed and the
number of the update; a process that has a part of the batch takes its rows. So what happens to a
picture depends neither on who computes it nor on how many do.
"""

import torch
from torch import Tensor

from alexnet.data import augment
from alexnet.data.augment import Preprocessing
from alexnet.data.loader import Batch, derive_seed
from alexnet.native.stages import Windows
from alexnet.training.recipe import Recipe


def look(
    batch: Batch,
    preprocessing: Preprocessing,
    *,
    recipe: Recipe,
    step: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Cut, mirror and relight the pictures of update number `step`.

    Shapes:  batch.pictures (N, H, W, 3) uint8 -> (N, C, crop, crop) of `dtype`, channels last.
    """
    seed = derive_seed(recipe.seed, "augment", step)
    generator = torch.Generator().manual_seed(seed)
    rows, pictures = batch.rows, batch.pictures.to(device)
    shift = None
    if recipe.lighting:
        statistics = preprocessing.statistics
        shift = augment.lighting(
            batch.whole, statistics, strength=recipe.lighting, generator=generator
        )[rows]
    if recipe.crop == "random-resized":
        draws = torch.rand(5, batch.whole, generator=generator)[:, rows]
        return augment.random_resized_cut(
            pictures,
            preprocessing,
            draws,
            smallest_area=recipe.smallest_area,
            flip=recipe.flip,
            shift=shift,
        ).to(dtype)
    border = preprocessing.border
    drawn = augment.random_windows(batch.whole, border, generator, flip=recipe.flip)
    windows = Windows(drawn.top[rows], drawn.left[rows], drawn.flip[rows])
    if recipe.crop == "centre":
        middle = torch.full_like(windows.top, border // 2)
        windows = windows._replace(top=middle, left=middle)
    return augment.cut(pictures, windows, preprocessing, shift=shift, dtype=dtype)
