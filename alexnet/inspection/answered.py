"""A net's answers to pictures, of which only counts and the surest mistakes are kept.

Nothing of the size of pictures x classes is held, so that any number of both will do.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from alexnet.data.image import Picture, fit_square
from alexnet.data.loader import Loader
from alexnet.data.pictures import Pictures
from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.metrics import Counts
from alexnet.evaluation.submission import Mistake, surest_mistakes
from alexnet.inspection.account import Wrong
from alexnet.inspection.subject import Subject
from alexnet.model import Model

BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class Some:
    """Some pictures of a set."""

    whole: Pictures
    """The set."""
    chosen: tuple[int, ...]
    """Positions in it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The set's class names."""
        return self.whole.classes

    @property
    def paths(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.whole.paths[index] for index in self.chosen)

    @property
    def labels(self) -> tuple[int, ...]:
        """Their labels."""
        return tuple(self.whole.labels[index] for index in self.chosen)

    @property
    def notes(self) -> tuple[str, ...]:
        """The set's own notes."""
        return self.whole.notes

    def __len__(self) -> int:
        return len(self.chosen)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return self.whole.pixels(self.chosen[index], at_least=at_least)


@dataclass
class Answered:
    """What a net made of pictures."""

    counts: Counts
    """What was right and wrong."""
    bad: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of those that could not be read."""
    wrong: list[Wrong] = field(default_factory=list)
    """The wrong answers of the highest probability, with what the net saw."""


def spread(pictures: Pictures, most: int) -> Pictures:
    """Return at most so many pictures, spread evenly over a set; 0 takes all."""
    if not most or len(pictures) <= most:
        return pictures
    chosen = np.linspace(0, len(pictures) - 1, most).round().astype(int)
    return Some(pictures, tuple(chosen.tolist()))


def answer(
    model: Model,
    pictures: Pictures,
    *,
    mistakes: int,
    net: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
) -> Answered:
    """Answer labelled pictures, centre window.

    `net` is what computes where it is not the model's own, such as the same net packed.

    Raises:  DataError if more than 1 % of the pictures cannot be read.
    """
    size, device = model.preprocessing.picture_size, next(model.net.parameters()).device
    loader = Loader(pictures, batch_size=BATCH_SIZE, picture_size=size, cache_bytes=0)
    found = Answered(Counts(model.classes), loader.bad)
    surest: list[Mistake] = []
    names = pictures.paths
    for batch in loader.epoch(0, seed=None):
        x = batch.pictures.to(device)
        p = probabilities(net or model.net, x, model.preprocessing, dtype=dtype).cpu()
        found.counts.add(p, batch.labels)
        paths = [names[index] for index in batch.indices.tolist()]
        surest += surest_mistakes(
            p, batch.labels, classes=model.classes, paths=paths, count=mistakes
        )
        surest = sorted(surest, key=lambda each: -each.probability)[:mistakes]
    places = {name: index for index, name in enumerate(names)}
    subject = Subject("", Path(), model)
    for mistake in surest:
        picture = fit_square(pictures.pixels(places[mistake.picture], at_least=size), size)
        found.wrong.append(Wrong(mistake, subject.window(torch.from_numpy(picture))))
    return found
