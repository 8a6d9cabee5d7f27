"""The pictures of a run: opened, split, checked, and the same for all who train."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from alexnet.data.door import open_split
from alexnet.data.folder import DataError, Split
from alexnet.data.loader import Loader
from alexnet.data.pictures import Pictures
from alexnet.parallel.team import Team
from alexnet.training.recipe import Recipe


@dataclass(frozen=True)
class Data:
    """What a run trains on and is measured on."""

    split: Split[Pictures]
    """All pictures."""
    train: Loader
    """Reads this process's part of those to learn from."""
    validation: Loader
    """Reads this process's part of those to measure on."""


def open_data(recipe: Recipe, team: Team) -> Data:
    """Open and split the pictures, and make sure that all processes see the same.

    Raises: DataError if they do not, or if the pictures cannot be trained on.
    """
    split = _split(recipe)
    prints = team.hear(fingerprint_of(split))
    odd = [rank for rank, each in enumerate(prints) if each != prints[0]]
    if odd:
        raise DataError(
            f"rank {odd[0]} finds other pictures in {recipe.data} than rank 0; give each machine "
            "the same files, or share the folder"
        )
    return Data(split, *_loaders(recipe, split, team))


def _split(recipe: Recipe) -> Split[Pictures]:
    split = open_split(Path(recipe.data), fraction=recipe.validation_share)
    if len(split.train.classes) < 2:
        raise DataError(
            f"{recipe.data} has one class only, {split.train.classes[0]!r}: there is nothing to "
            "tell apart; give a folder with a sub-folder for each of two or more classes"
        )
    if not len(split.validation):
        raise DataError(f"{recipe.data} leaves no picture for validation; add pictures")
    return split


def _loaders(recipe: Recipe, split: Split[Pictures], team: Team) -> tuple[Loader, Loader]:
    """Return the loaders of training and validation; they share the memory for pictures."""
    here = team.mesh.world.local_size  # processes that share this machine's memory and cores
    memory = round(recipe.cache_gib * 2**30) // here
    loaders: list[Loader] = []
    for listing in (split.train, split.validation):
        loader = Loader(
            listing,
            batch_size=recipe.batch,
            picture_size=recipe.picture_size,
            workers=recipe.workers or max(1, (os.cpu_count() or 1) // here),
            cache_bytes=memory,
            on_bad_image=recipe.on_bad_image,
            share=team.share,
        )
        memory -= loader.cached_bytes
        loaders.append(loader)
    return loaders[0], loaders[1]


def fingerprint_of(split: Split[Pictures]) -> str:
    """Hash the names and labels of all pictures in their order."""

    def text(listing: Pictures) -> str:
        return "\n".join(
            f"{label} {path}" for path, label in zip(listing.paths, listing.labels, strict=True)
        )

    return hashlib.sha256(
        "\n\n".join(map(text, (split.train, split.validation))).encode(errors="surrogateescape")
    ).hexdigest()
