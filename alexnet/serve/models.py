"""The models and runs that are served: found below a folder, opened once, replaced when written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from alexnet import store
from alexnet.data.augment import Preprocessing
from alexnet.device import choose_dtype
from alexnet.evaluation.evaluate import probabilities
from alexnet.model import Model, model_folder, open_model
from alexnet.nearest import nearest, nearest_beside
from alexnet.packed import FullyConnected
from alexnet.predict import packed
from alexnet.serve.answers import Refused
from alexnet.store import StoreError

RECIPE = "recipe.toml"
MOST_OPEN = 2
MOST_PLACES = 1000


@dataclass(frozen=True)
class Place:
    """A folder that is a run, a model or both."""

    name: str
    folder: Path

    @property
    def is_run(self) -> bool:
        """Whether it has a recipe."""
        return (self.folder / RECIPE).is_file()

    @property
    def manifest(self) -> Path | None:
        """The manifest of its model, if it has one."""
        files = (self.folder / store.MANIFEST, self.folder / "model" / store.MANIFEST)
        return next((file for file in files if file.is_file()), None)


@dataclass(frozen=True, eq=False)
class Opened:
    """A model in memory, ready to answer."""

    place: Place
    model: Model
    net: nn.Module
    """What computes: the model's net, packed."""
    dtype: torch.dtype
    stamp: tuple[int, int]
    """What tells a model from one written in its place."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What a picture becomes first."""
        return self.model.preprocessing

    def answer(self, pictures: Sequence[NDArray[np.uint8]]) -> list[torch.Tensor]:
        """Return the probability of each class for each picture.

        Shapes:  pictures (size, size, 3) -> (classes,) float32 each, on the CPU.
        """
        device = next(self.model.net.parameters()).device
        batch = torch.from_numpy(np.stack(pictures)).to(device)
        p = probabilities(self.net, batch, self.preprocessing, dtype=self.dtype)
        return list(p.cpu())


class Shelf:
    """The places below a path, and the models of some of them in memory.

    `open` is for one thread alone; the others are safe anywhere.
    """

    def __init__(
        self, path: Path, *, device: torch.device, weights: FullyConnected = "same"
    ) -> None:
        self.path, self.device, self.weights = path, device, weights
        self._open: dict[str, Opened] = {}
        if not path.exists():
            raise StoreError(f"{path} does not exist{nearest_beside(path)}")
        self.is_single = _is_place(Place("", path))
        if not self.is_single and not path.is_dir():
            raise StoreError(f"{path} is a file; give the folder of a run, a model, or of runs")
        if not self.places() and path.name != "runs":
            raise StoreError(
                f"{path} holds no run and no model, nor do the folders in it; give the folder of "
                "a run, a model, or of runs"
            )

    def places(self) -> dict[str, Place]:
        """Return what there is now by name, what was written last first."""
        if self.is_single:
            name = self.path.resolve().name
            return {name: Place(name, self.path)}
        found = []
        for folder in self.path.iterdir():
            if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
                continue
            place = Place(folder.name, folder)
            if _is_place(place):
                found.append((-_written_at(place), place.name, place))
        return {name: place for _, name, place in sorted(found)[:MOST_PLACES]}

    def find(self, name: str) -> Place:
        """Return a place by its name.

        Raises: Refused with 404, naming the nearest.
        """
        known = self.places()
        if name not in known:
            raise Refused(
                404,
                "not-found",
                f"there is no run or model called {name!r}{nearest(name, known)}",
                hint="GET /api/models and GET /api/runs list them",
            )
        return known[name]

    def find_model(self, name: str) -> Place:
        """Return the place of a model; "" is the one that was written last.

        Raises: Refused with 404 if there is none.
        """
        if name:
            place = self.find(name)
            if place.manifest is None:
                raise Refused(
                    404,
                    "no-model",
                    f"the run {name!r} has no model yet",
                    hint="it has one after its first validation",
                )
            return place
        place_with_model = next((p for p in self.places().values() if p.manifest), None)
        if place_with_model is None:
            raise Refused(404, "no-model", "there is no model yet", hint="train one first")
        return place_with_model

    def opened(self, place: Place) -> Opened | None:
        """Return the model of a place if it is in memory and still the one on disk."""
        found = self._open.get(place.name)
        return found if found is not None and found.stamp == _stamp(place) else None

    def open(self, place: Place) -> Opened:
        """Return the model of a place, read from the disk if need be.

        Raises: StoreError if it is damaged; ValueError if its weights cannot be made smaller.
        """
        found = self.opened(place)
        if found is None:
            stamp = _stamp(place)
            model = open_model(place.folder, device=self.device)
            dtype = choose_dtype("auto", self.device)
            net = packed(model, dtype, self.weights)
            found = Opened(place, model, net, dtype, stamp)
        others = [(name, each) for name, each in self._open.items() if name != place.name]
        self._open = dict([*others, (place.name, found)][-MOST_OPEN:])
        return found


def _is_place(place: Place) -> bool:
    return place.is_run or place.manifest is not None


def _written_at(place: Place) -> float:
    file = place.manifest or place.folder / RECIPE
    try:
        return file.stat().st_mtime
    except OSError:  # it is being replaced
        return 0.0


def _stamp(place: Place) -> tuple[int, int]:
    status = (model_folder(place.folder) / store.MANIFEST).stat()
    return status.st_mtime_ns, status.st_ino
