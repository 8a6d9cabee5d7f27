"""Where a thing is: boxes regressed from the last maps of a net that was trained on classes.

The layers up to pool5 stay as they are; a head of two hidden layers gives each class its own box.
Source:  Sermanet et al. 2013, OverFeat, section 4.2: layers of 4096 and 1024 units on pool5, one
         box for each class, L2 loss on its edges; Simonyan and Zisserman 2014, appendix A (per
         class regression). They regress at every place of several scales and merge the boxes; we
         take the mean over one or ten windows. Edges are in shares of the window from its corner,
         and may lie outside it.
The head's input is divided by its root mean square, and its output is added to the mean box of the
training set, so that one learning rate serves nets of any scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.data.augment import Preprocessing, cut, same_windows
from alexnet.data.boxed import Boxed
from alexnet.data.loader import Loader
from alexnet.evaluation.dense import Named, run
from alexnet.evaluation.localization_rule import GUESSES, Box, Guess, LocalizationCounts
from alexnet.evaluation.submission import first_answers
from alexnet.evaluation.views import window_corners


class BoxHead(nn.Module):
    """A box for each class from the features of a window."""

    mean_box: Tensor
    feature_scale: Tensor

    def __init__(self, features: int, classes: int, hidden: Sequence[int] = (4096, 1024)) -> None:
        super().__init__()
        self.classes, self.hidden = classes, tuple(hidden)
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(features, units), nn.ReLU(inplace=True)]
            features = units
        self.layers = nn.Sequential(*layers, nn.Linear(features, 4 * classes))
        self.register_buffer("mean_box", torch.tensor([0.0, 0.0, 1.0, 1.0]))
        self.register_buffer("feature_scale", torch.ones(()))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Draw N(0, sqrt(2 / fan_in)) for hidden layers; the last starts at the mean box."""
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=generator)
                layer.bias.zero_()
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(0.01)

    def forward(self, features: Tensor) -> Tensor:
        """Return xmin, ymin, xmax, ymax for each class, in shares of the window.

        Shapes:  features (N, C, h, w) -> (N, classes, 4).
        """
        x = self.layers(features.flatten(1) * self.feature_scale)
        boxes: Tensor = x.view(-1, self.classes, 4) + self.mean_box
        return boxes


# ---- From pictures to windows and back ----------------------------------------------------------


def _frame(sides: Tensor, preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Return the scaled sides and where the central square begins in them, (N, 2) each."""
    scaled = sides * (preprocessing.picture_size / sides.min(1, keepdim=True).values)
    return scaled, (scaled - preprocessing.picture_size) / 2


def to_window(
    boxes: Tensor, sides: Tensor, windows: tuple[Tensor, Tensor, Tensor], p: Preprocessing
) -> Tensor:
    """Return boxes as they lie in windows of the scaled central square.

        x' = (x * width * scale - offset of the square - left) / crop,   mirrored 1 - x'

    Shapes:  boxes (N, 4) in shares of the picture, sides (N, 2) width and height in pixels,
             windows top, left, mirrored (N,) -> (N, 4) in shares of the window.
    """
    scaled, start = _frame(sides, p)
    top, left, mirrored = windows
    start = (start + torch.stack([left, top], 1)).repeat(1, 2)
    found = (boxes * scaled.repeat(1, 2) - start) / p.crop_size
    return torch.where(mirrored[:, None], _mirror(found), found)


def from_window(
    boxes: Tensor, sides: Tensor, window: tuple[int, int, bool], p: Preprocessing
) -> Tensor:
    """Return boxes of a window in pixels of their pictures, the inverse of `to_window`.

    Shapes:  boxes (N, K, 4) in shares of the window, sides (N, 2) -> (N, K, 4) in pixels.
    """
    scaled, start = _frame(sides, p)
    top, left, mirrored = window
    start = (start + torch.tensor([left, top])).repeat(1, 2)[:, None]
    found = _mirror(boxes) if mirrored else boxes
    shares = (found * p.crop_size + start) / scaled.repeat(1, 2)[:, None]
    return shares * sides.repeat(1, 2)[:, None]


def _mirror(boxes: Tensor) -> Tensor:
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack([1 - x1, y0, 1 - x0, y1], -1)


def seen_share(boxes: Tensor) -> Tensor:
    """Return the share of each box's area that lies in its window.

    Shapes:  (N, 4) in shares of the window -> (N,).
    """
    inside = boxes.clamp(0, 1)
    areas = [(b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) for b in (inside, boxes)]
    return areas[0] / areas[1].clamp(min=1e-12)


# ---- Answers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Localizer:
    """A net cut at its last maps, and the head that stands beside its classifier."""

    maps: Sequence[Named]
    """Layers up to pool5."""
    classifier: Sequence[Named]
    """Layers from there to the logits."""
    head: BoxHead
    preprocessing: Preprocessing

    @torch.inference_mode()
    def answer(self, pictures: Tensor, sides: Tensor, *, views: int = 1) -> tuple[Tensor, Tensor]:
        """Return probabilities and each class's box, the means over the views.

        Shapes:  pictures (N, S, S, 3) uint8, sides (N, 2) -> (N, classes) and (N, classes, 4) in
                 pixels of the pictures, cut at their edges.
        """
        p = self.preprocessing
        corners = window_corners(views, p.border)
        total, boxes = torch.zeros(()), torch.zeros(())
        for corner in corners:
            top, left, flip = corner
            x = cut(pictures, same_windows(len(pictures), top, left, flip=flip), p)
            features = run(self.maps, x)
            found = self.head(features).float().cpu()
            total = total + run(self.classifier, features.clone()).float().softmax(1).cpu()
            boxes = boxes + from_window(found, sides, corner, p)
        edges = sides.repeat(1, 2)[:, None]
        return total / len(corners), torch.minimum((boxes / len(corners)).clamp(min=0), edges)


def guesses_of(probabilities: Tensor, boxes: Tensor) -> list[list[Guess]]:
    """Return the five most probable classes of each picture with their boxes.

    Shapes:  probabilities (N, C), boxes (N, C, 4).
    """
    best = first_answers(probabilities, GUESSES).tolist()
    return [
        [Guess(label, _box(boxes[row, label])) for label in labels]
        for row, labels in enumerate(best)
    ]


@dataclass(frozen=True)
class Located:
    """What a localizer answered for a set of pictures."""

    counts: LocalizationCounts
    paths: tuple[str, ...]
    """The pictures that were read."""
    guesses: tuple[list[Guess], ...]
    """Five guesses for each of them."""
    bad: dict[str, str]
    """Path -> reason, of the others."""


def locate(localizer: Localizer, boxed: Boxed, *, views: int = 1, edge: float = 0.0) -> Located:
    """Answer all pictures and count the errors.

    Raises:  DataError if more than 1 % of the pictures cannot be read.
    """
    loader = Loader(
        boxed.pictures,
        batch_size=64,
        picture_size=localizer.preprocessing.picture_size,
        cache_bytes=0,
    )
    counts, device = LocalizationCounts(edge=edge), localizer.head.mean_box.device
    paths: list[str] = []
    guesses: list[list[Guess]] = []
    for batch in loader.epoch(0, seed=None):
        indices = batch.indices.tolist()
        sides = torch.tensor([boxed.sides[i] for i in indices], dtype=torch.float32)
        p, boxes = localizer.answer(batch.pictures.to(device), sides, views=views)
        found = guesses_of(p, boxes)
        for row, (index, label) in enumerate(zip(indices, batch.labels.tolist(), strict=True)):
            width, height = boxed.sides[index]
            truth = [
                (x0 * width, y0 * height, x1 * width, y1 * height)
                for x0, y0, x1, y1 in boxed.boxes[index]
            ]
            counts.add(label, truth, found[row], _box(boxes[row, label]))
            paths.append(boxed.pictures.paths[index])
        guesses += found
    return Located(counts, tuple(paths), tuple(guesses), loader.bad)


def _box(row: Tensor) -> Box:
    x0, y0, x1, y1 = row.tolist()
    return x0, y0, x1, y1
