"""The pictures of a run: opened, split, checked, and the same for all who train."""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from alexnet.data import census
from alexnet.data.census import Census
from alexnet.data.door import Some, open_split
from alexnet.data.folder import DataError, Split
from alexnet.data.loader import Loader
from alexnet.data.pictures import Pictures
from alexnet.parallel.team import Team
from alexnet.training.memory import free_memory, parts_that_fit
from alexnet.training.recipe import Recipe

Censuses = tuple[Census, Census]
"""Of the pictures to train on and of those to validate with."""
GROUPS = ("train_pictures", "validation_pictures")
"""The groups of tensors that they are stored in."""


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


def fit_parts(recipe: Recipe, data: Data, team: Team) -> int:
    """Return in how many parts a batch fits into the memory beside the pictures kept there.

    The process that leads tries it with the share of the memory and of the batch that each has.

    Raises: OutOfMemory in it if not even a picture at a time does.
    """
    text = ""
    if team.leads:
        here = team.mesh.world.local_size
        kept = data.train.cached_bytes + data.validation.cached_bytes
        own = replace(recipe, batch=recipe.batch // team.mesh.groups)
        classes = len(data.split.train.classes)
        free = free_memory() // here - kept
        text = str(parts_that_fit(own, classes=classes, free_bytes=free))
    return int(team.hear(text)[0])


# ---- What they were when the run began ----------------------------------------------------------


def take_census(data: Data, team: Team) -> Censuses:
    """Write down what the pictures are, and from now on refuse one that changes."""
    share, parts = team.share, []
    pairs = (data.train, data.split.train), (data.validation, data.split.validation)
    for loader, pictures in pairs:
        own = census.digests_of(pictures, part=share.part, parts=share.parts)
        digests = team.add_up(torch.from_numpy(own)).numpy()
        parts.append(census.take(pictures, digests))
        loader.listing = census.watch(pictures, parts[-1])
    return parts[0], parts[1]


def stored(censuses: Censuses) -> dict[str, dict[str, Tensor]]:
    """Return the groups of tensors that hold the census of both parts."""
    return {name: each.tensors() for name, each in zip(GROUPS, censuses, strict=True)}


def as_it_began(
    data: Data, groups: dict[str, dict[str, Tensor]], *, known: Collection[str], team: Team
) -> tuple[Data, str]:
    """Return the pictures as a run began with them, and in words how those there now differ.

    What is known to have gone or changed, from the ledger, stays in its place and is refused
    whenever it is read: the order of the others is what it was.
    """
    if not all(name in groups for name in GROUPS):
        return data, "nothing was written down of them by the version that began the run"
    before = census.from_tensors(groups[GROUPS[0]]), census.from_tensors(groups[GROUPS[1]])
    now = data.split.train, data.split.validation
    text = _describe_changes(before, now, known) if team.leads else ""
    text = team.hear(text)[0]
    if text:
        return data, text
    train, validation = map(census.as_before, now, before)
    split = replace(data.split, train=train, validation=validation)
    loaders = (
        replace(loader, listing=census.watch(pictures, each))
        for loader, pictures, each in zip(
            (data.train, data.validation), (train, validation), before, strict=True
        )
    )
    return Data(split, *loaders), ""


def _describe_changes(
    before: Censuses, now: tuple[Pictures, Pictures], known: Collection[str]
) -> str:
    names = [set(each.names) for each in before]
    if names[0] & names[1]:  # train/ and val/ may use the same; of the second nothing is known
        found = [census.compare([old], [new]) for old, new in zip(before, now, strict=True)]
        found[0] = found[0].without(known)
    else:
        found = [census.compare(before, now).without(known)]
    return "; ".join(each.describe() for each in found if each)


# ---- Opening them -------------------------------------------------------------------------------


def _split(recipe: Recipe) -> Split[Pictures]:
    split = open_split(Path(recipe.data), fraction=recipe.validation_share)
    if len(split.train.classes) < 2:
        raise DataError(
            f"{recipe.data} has one class only, {split.train.classes[0]!r}: there is nothing to "
            "tell apart; give a folder with a sub-folder for each of two or more classes"
        )
    if not len(split.validation):
        raise DataError(f"{recipe.data} leaves no picture for validation; add pictures")
    if recipe.validate_on == "training":
        spread = Some.spread(split.train, len(split.validation))
        rule = f"{len(spread):,} of those trained on"
        return Split[Pictures](split.train, spread, rule, split.notes)
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
