"""Training of the head that gives each class a box, on the frozen maps of a trained net.

    loss = (1 / N) * sum over pictures of  |box of the true class - true box| ** 2

with edges in shares of the window. Windows are drawn and mirrored as in a training on classes; a
picture with several boxes is trained on the largest, and left out of an update while less than
half of it lies in the window (OverFeat, section 4.2). The update rule is the paper's; the rate
falls to nothing in a straight line.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alexnet import store
from alexnet.data.augment import cut, random_windows
from alexnet.data.boxed import Boxed
from alexnet.data.folder import DataError
from alexnet.data.loader import Loader, derive_seed
from alexnet.evaluation.dense import run, split
from alexnet.evaluation.localization import BoxHead, Localizer, seen_share, to_window
from alexnet.model import Model
from alexnet.store import StoreError
from alexnet.training.sgd import MomentumSGD

KIND = "boxes"
HALF = 0.5


@dataclass(frozen=True)
class BoxRecipe:
    """How the head is trained."""

    epochs: int = 20
    """Times that all pictures are seen."""
    batch: int = 64
    """Pictures of an update."""
    lr: float = 0.02
    """Learning rate of the first update."""
    weight_decay: float = 0.0005
    """Decay, as in the paper."""
    hidden: tuple[int, ...] = (4096, 1024)
    """Units of the hidden layers; 4096 and 1024 in OverFeat."""
    seed: int = 0
    """Of weights, windows and order."""

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch", self.batch), ("lr", self.lr)):
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be above 0")
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"hidden is {self.hidden}; a layer has at least 1 unit")


class Trained(NamedTuple):
    """What came of a training."""

    head: BoxHead
    losses: list[float]
    """Mean of each epoch."""
    bad: dict[str, str]
    """Path -> reason, of the pictures that could not be read."""


def localizer(model: Model, head: BoxHead) -> Localizer:
    """Cut a net at its last maps and put a head beside its classifier.

    Raises:  ValueError if the net has no such maps.
    """
    if model.net.branches:
        raise ValueError(
            "a net from a text with branches has no last maps to find boxes in; give a chain"
        )
    maps, classifier = split(model.net.eval().steps())
    return Localizer(maps, classifier, head, model.preprocessing)


def train_head(
    model: Model, boxed: Boxed, recipe: BoxRecipe, *, report: Callable[[int, float], None]
) -> Trained:
    """Train a head; `report` is told the epoch and its mean loss.

    Raises:  DataError if more than 1 % of the pictures cannot be read, or no window shows a box;
             ValueError if the net has no last maps.
    """
    device = next(model.net.parameters()).device
    preprocessing = model.preprocessing
    loader = Loader(
        boxed.pictures, batch_size=recipe.batch, picture_size=preprocessing.picture_size
    )
    largest = torch.tensor([max(boxes, key=_area) for boxes in boxed.boxes])
    sides = torch.tensor(boxed.sides, dtype=torch.float32)
    generator = torch.Generator().manual_seed(derive_seed(recipe.seed, "windows"))
    total = recipe.epochs * -(-len(boxed.pictures) // recipe.batch)
    head, optimizer, losses, step = None, None, [], 0
    maps = localizer(model, BoxHead(1, 1, ())).maps
    for epoch in range(recipe.epochs):
        loss_sum = torch.zeros(())
        num_seen = 0
        for batch in loader.epoch(epoch, seed=recipe.seed):
            windows = random_windows(len(batch.labels), preprocessing.border, generator)
            targets = to_window(
                largest[batch.indices], sides[batch.indices], windows, preprocessing
            )
            step += 1
            shown = seen_share(targets) >= HALF
            if not bool(shown.any()):
                continue
            with torch.inference_mode():
                features = run(maps, cut(batch.pictures.to(device), windows, preprocessing))
            features = features.clone()[shown.to(device)]  # out of inference mode
            targets = targets[shown].to(device)
            if head is None:
                head = _start(features, targets, model, recipe)
                optimizer = MomentumSGD(head, weight_decay=recipe.weight_decay)
            boxes = head(features)[torch.arange(len(targets)), batch.labels[shown].to(device)]
            loss = (boxes - targets).square().sum(1).mean()
            loss.backward()
            assert optimizer is not None
            optimizer.step(recipe.lr * (1 - (step - 1) / total))
            loss_sum += loss.detach().cpu() * len(targets)
            num_seen += len(targets)
        losses.append(float(loss_sum) / max(num_seen, 1))
        report(epoch + 1, losses[-1])
    if head is None:
        raise DataError("no window shows half of a box; the boxes do not fit the pictures")
    return Trained(head, losses, loader.bad)


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _start(features: Tensor, targets: Tensor, model: Model, recipe: BoxRecipe) -> BoxHead:
    """Return a head that answers with the mean box of the first batch."""
    head = BoxHead(features[0].numel(), len(model.classes), recipe.hidden)
    head.init_weights(torch.Generator().manual_seed(derive_seed(recipe.seed, "head")))
    head.mean_box.copy_(targets.mean(0))
    head.feature_scale.fill_(float(1 / features.square().mean().sqrt().clamp(min=1e-12)))
    return head.to(features.device)


def check_target(folder: Path) -> None:
    """Make the folder of a head that is to be trained, and make sure that it holds nothing else.

    Raises:  ValueError if it is a file, or holds a model or a checkpoint; OSError if it cannot be
             made.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder for the boxes")
    if (folder / store.MANIFEST).exists():
        kind = store.read_manifest(folder).get("kind")
        if kind != KIND:
            raise ValueError(f"{folder} holds a {kind}, which boxes would replace; give another")
    store.make_folder(folder)


def save_head(
    head: BoxHead, folder: Path, *, model: Model, recipe: BoxRecipe, record: dict[str, Any]
) -> None:
    """Write a head, all or nothing."""
    content = {
        "kind": KIND,
        "net": model.name,
        "classes": list(model.classes),
        "hidden": list(head.hidden),
        "recipe": asdict(recipe) | {"hidden": list(recipe.hidden)},
        "record": record,
    }
    tensors = {name: tensor.cpu() for name, tensor in head.state_dict().items()}
    store.write(folder, content, {"weights": tensors})


def open_head(folder: Path, model: Model) -> BoxHead:
    """Open the head that was trained for a model, every byte verified.

    Raises:  StoreError if there is none, it is damaged, or belongs to other classes.
    """
    if not (folder / store.MANIFEST).is_file():
        raise StoreError(
            f"{folder} holds no boxes (no {store.MANIFEST}); train them first: "
            f"alexnet localize train RUN DATA"
        )
    content, groups = store.read(folder)
    if content.get("kind") != KIND:
        raise StoreError(f"{folder} holds a {content.get('kind')}, not boxes")
    if tuple(content["classes"]) != model.classes:
        raise StoreError(
            f"{folder} was trained for a net of {len(content['classes'])} other classes; train the "
            f"boxes of this one"
        )
    weights = groups["weights"]
    first = weights["layers.0.weight"]
    head = BoxHead(first.shape[1], len(model.classes), content["hidden"])
    head.load_state_dict(weights)
    return head.eval().to(next(model.net.parameters()).device)
