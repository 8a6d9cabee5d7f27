"""What figures are drawn of: a model, pictures to show it, and where in the net to look."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.data.augment import GREY, cut, same_windows
from alexnet.data.image import ImageError, fit_square
from alexnet.data.pictures import Pictures
from alexnet.evaluation.evaluate import probabilities
from alexnet.inspection.panels import Image
from alexnet.inspection.watch import last_maps, named_layer
from alexnet.model import Model

BATCH_SIZE = 32


@dataclass(frozen=True)
class Sample:
    """Some pictures of a set."""

    pictures: Tensor
    """(N, H, W, 3) uint8."""
    labels: tuple[int, ...]
    """One label for each picture."""
    places: tuple[int, ...]
    """Positions in the set."""


@dataclass(frozen=True)
class Subject:
    """What is drawn: a model, and pictures to show it."""

    name: str
    """What titles call it."""
    run: Path
    """Its folder."""
    model: Model
    tested: Pictures | None = None
    """Labelled pictures, by the model's classes; None leaves out figures that need some."""
    trained: Pictures | None = None
    """Those among which neighbours are looked for."""
    journal: Sequence[dict[str, Any]] = ()
    """The lines of the run's journal; none for a model that is no run's."""
    layer: str = ""
    """Layer of grad-cam, deconvnet, exciting and maximised, by the paper's, Caffe's or
    torchvision's name; "" takes one that suits."""
    most: int = 1000
    """The most pictures that are looked through, spread evenly over the set."""

    def sample(self, pictures: Pictures, count: int) -> Sample:
        """Return pictures spread evenly over a set; those that cannot be read are left out.

        Raises:  ImageError when none can be read.
        """
        size, found, places = self.model.preprocessing.picture_size, [], []
        chosen = np.linspace(0, len(pictures) - 1, min(count, len(pictures))).round().astype(int)
        reason = "there is no picture"
        for index in chosen.tolist():
            try:
                found.append(fit_square(pictures.pixels(index, at_least=size), size))
                places.append(index)
            except ImageError as error:
                reason = f"no picture can be read; the last is {pictures.paths[index]}: {error}"
        if not found:
            raise ImageError(reason)
        labels = tuple(pictures.labels[index] for index in places)
        return Sample(torch.from_numpy(np.stack(found)), labels, tuple(places))

    def shown(self, count: int) -> Sample:
        """Return a sample of the tested pictures."""
        assert self.tested is not None
        return self.sample(self.tested, count)

    @cached_property
    def looked_through(self) -> Sample:
        """The tested pictures that figures of many pictures share."""
        return self.shown(self.most)

    @property
    def device(self) -> torch.device:
        """Where the net runs."""
        weights = [*self.model.net.parameters(), *self.model.net.buffers()]
        return weights[0].device if weights else torch.device("cpu")

    def inputs(self, pictures: Tensor) -> Tensor:
        """Return the centre windows of pictures as the net sees them."""
        place = self.model.preprocessing.border // 2
        windows = same_windows(len(pictures), place, place)
        return cut(pictures.to(self.device), windows, self.model.preprocessing)

    def batches(self, pictures: Tensor) -> Iterator[Tensor]:
        """Yield `inputs` some at a time."""
        for some in pictures.split(BATCH_SIZE):
            yield self.inputs(some)

    def answer(self, pictures: Tensor) -> Tensor:
        """Return the probability of each class, (pictures, classes)."""
        found = [
            probabilities(self.model.net, some.to(self.device), self.model.preprocessing).cpu()
            for some in pictures.split(BATCH_SIZE)
        ]
        return torch.cat(found)

    def window(self, picture: Tensor) -> Image:
        """Return the part of a picture that the net sees."""
        place, size = self.model.preprocessing.border // 2, self.model.preprocessing.crop_size
        image: Image = picture[place : place + size, place : place + size].numpy()
        if self.model.preprocessing.colours != "grey":
            return image
        gray = image @ np.array(GREY)
        return np.repeat(gray.round().astype(np.uint8)[..., None], 3, axis=2)

    def blank(self) -> Tensor:
        """Return an input of zeros, (1, C, H, W)."""
        channels = 1 if self.model.preprocessing.colours == "grey" else 3
        size = self.model.net.input_size
        return torch.zeros(1, channels, size, size, device=self.device)

    def unit_layer(self) -> str:
        """Return the layer whose units are looked at.

        Raises: ValueError if the net has none of that name, or none that gives maps.
        """
        if self.layer:
            return named_layer(self.model.net, self.layer)
        return last_maps(self.model.net, self.blank())
