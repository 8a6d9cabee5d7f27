"""Pictures and a model -> ranked labels, for the command line and the page."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

import numpy as np
import torch
from torch import nn

from alexnet.data.augment import cut, same_windows
from alexnet.evaluation.dense import DenseNet
from alexnet.evaluation.evaluate import probabilities
from alexnet.evaluation.views import whole_picture
from alexnet.model import Model
from alexnet.packed import FullyConnected, pack_verified
from alexnet.prediction import Prediction, list_pictures, open_picture

__all__ = ["Prediction", "list_pictures", "packed", "predict"]

BATCH_SIZE = 32


def predict(
    model: Model,
    sources: Iterable[str],
    *,
    top: int = 5,
    views: int | str = 1,
    dtype: torch.dtype = torch.float32,
    weights: FullyConnected = "same",
) -> Iterator[Prediction]:
    """Yield the ranked labels of each picture, in the order given.

    A picture that cannot be read yields a Prediction with its error; the others go on. The net is
    packed for the second batch: for the first, it would take longer than it saves. With `views`
    "dense" it looks at the whole picture and its mirror image.

    Raises: ValueError if the net cannot answer with these `weights` or `views`.
    """
    device = next(model.net.parameters()).device
    net: nn.Module = model.net
    pack_at, preprocessing = 1 if weights == "same" else 0, model.preprocessing
    if views == "dense":
        net, pack_at, preprocessing = dense(model, weights), -1, whole_picture(preprocessing)
    remaining = iter(sources)
    with ThreadPoolExecutor() as pool:
        for number in count():
            if not (names := list(islice(remaining, BATCH_SIZE))):
                break
            if number == pack_at:
                net = packed(model, dtype, weights)
            sizes = [model.preprocessing.picture_size] * len(names)
            pictures = list(pool.map(open_picture, names, sizes))
            good = [picture for picture in pictures if not isinstance(picture, str)]
            answers: Iterator[tuple[tuple[str, float], ...]] = iter(())
            if good:
                batch = torch.from_numpy(np.stack(good)).to(device)
                p = probabilities(net, batch, preprocessing, views=views, dtype=dtype)
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


def dense(model: Model, weights: FullyConnected = "same") -> nn.Module:
    """Return the model's net for pictures larger than its crop.

    Raises: ValueError if it has no such form, or weights of fewer bytes are asked for.
    """
    if weights != "same":
        raise ValueError(
            f"dense testing has no {weights} weights; leave --weights out, or use --views 1"
        )
    if model.net.branches:
        raise ValueError(
            "a net from a text with branches has no dense form; use --views 1 or --views 10"
        )
    channels = 1 if model.preprocessing.colours == "grey" else 3
    return DenseNet(model.net.steps(), input_size=model.net.input_size, channels=channels)


def _rank(p: torch.Tensor, classes: tuple[str, ...], top: int) -> tuple[tuple[str, float], ...]:
    order = p.argsort(descending=True, stable=True)[:top].tolist()
    return tuple((classes[i], float(p[i])) for i in order)
