"""Pictures and a model -> ranked labels, for the command line and the page."""

import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from alexnet.data.augment import cut, same_windows
from alexnet.data.folder import SUFFIXES, DataError
from alexnet.data.image import ImageError, decode, decode_file, fit_square
from alexnet.evaluation.evaluate import probabilities
from alexnet.model import Model
from alexnet.nearest import nearest_beside
from alexnet.packed import FullyConnected, pack_verified

STANDARD_INPUT = "-"
BATCH_SIZE = 32


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture, or why there is none."""

    source: str
    """Path of the picture, "-" for standard input."""
    labels: tuple[tuple[str, float], ...] = ()
    """(class, probability), the most probable first."""
    error: str = ""
    """Why the picture was refused; empty if it was not."""


def list_pictures(sources: Iterable[str]) -> list[str]:
    """Replace each folder by the pictures below it, sorted; "-" stands for standard input.

    Raises: DataError if a path does not exist (nearest named) or a folder has no pictures.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise DataError(
                    f"{path} has no pictures ({', '.join(sorted(SUFFIXES))}); name another folder"
                )
            found += map(str, inside)
        elif source == STANDARD_INPUT or path.exists():
            found.append(source)
        else:
            raise DataError(f"{path} does not exist{nearest_beside(path)}")
    return found


def predict(
    model: Model,
    sources: Iterable[str],
    *,
    top: int = 5,
    views: int = 1,
    dtype: torch.dtype = torch.float32,
    weights: FullyConnected = "same",
) -> Iterator[Prediction]:
    """Yield the ranked labels of each picture, in the order given.

    A picture that cannot be read yields a Prediction with its error; the others go on. The net is
    packed for the second batch: for the first, it would take longer than it saves.

    Raises: ValueError if the net cannot answer with these `weights`.
    """
    device = next(model.net.parameters()).device
    net: nn.Module = model.net
    pack_at = 1 if weights == "same" else 0
    remaining = iter(sources)
    with ThreadPoolExecutor() as pool:
        for number in count():
            if not (names := list(islice(remaining, BATCH_SIZE))):
                break
            if number == pack_at:
                net = packed(model, dtype, weights)
            sizes = [model.preprocessing.picture_size] * len(names)
            pictures = list(pool.map(_open, names, sizes))
            good = [picture for picture in pictures if not isinstance(picture, str)]
            answers: Iterator[tuple[tuple[str, float], ...]] = iter(())
            if good:
                batch = torch.from_numpy(np.stack(good)).to(device)
                p = probabilities(net, batch, model.preprocessing, views=views, dtype=dtype)
                answers = iter(_rank(row, model.classes, top) for row in p.cpu())
            for name, picture in zip(names, pictures, strict=True):
                if isinstance(picture, str):
                    yield Prediction(name, error=picture)
                else:
                    yield Prediction(name, labels=next(answers))


def packed(model: Model, dtype: torch.dtype, weights: FullyConnected) -> nn.Module:
    """Return the model's net packed, or as it is where that would change its answers.

    `weights` is the type of the fully connected layers' weights.

    Raises: ValueError if it is not "same" and the answers are far from the net's.
    """
    size, border = model.preprocessing.picture_size, model.preprocessing.border
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (1, size, size, 3), generator=generator, dtype=torch.uint8)
    picture = picture.to(next(model.net.parameters()).device)
    x = cut(picture, same_windows(1, border // 2, border // 2), model.preprocessing)
    return pack_verified(model.net, x, dtype=dtype, fully_connected=weights)


def _open(name: str, size: int) -> NDArray[np.uint8] | str:
    """Return the picture as the net's preprocessing takes it, or why it was refused."""
    try:
        if name == STANDARD_INPUT:
            return fit_square(decode(sys.stdin.buffer.read(), at_least=size), size)
        return fit_square(decode_file(Path(name), at_least=size), size)
    except ImageError as error:
        return str(error)


def _rank(p: torch.Tensor, classes: tuple[str, ...], top: int) -> tuple[tuple[str, float], ...]:
    order = p.argsort(descending=True, stable=True)[:top].tolist()
    return tuple((classes[i], float(p[i])) for i in order)
