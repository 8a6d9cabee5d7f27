"""Errors as counts. A count over all pictures is exact, whatever the batches were."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TOP = 5


@dataclass
class Counts:
    """What was right and wrong over a set of pictures; adding batches in any order is the same."""

    classes: tuple[str, ...]
    confusion: Tensor = field(init=False)
    """(classes, classes) int64: pictures by true class (row) and first answer (column)."""
    unanswered: Tensor = field(init=False)
    """(classes,) int64: pictures by true class whose answer is not finite, and so wrong."""
    top5_errors: int = 0
    """Pictures whose class is not among the first five answers."""
    loss_sum: float = 0.0
    """Sum of -ln(probability of the true class) over the pictures."""

    def __post_init__(self) -> None:
        self.confusion = torch.zeros(len(self.classes), len(self.classes), dtype=torch.int64)
        self.unanswered = torch.zeros(len(self.classes), dtype=torch.int64)

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        """Count a batch.

            rank = |{j: p_j > p_label}| + |{j < label: p_j = p_label}|

        A tie goes to the class that comes first, as argmax decides it; an answer that is not
        finite is wrong.

        Shapes:  probabilities (N, classes) float, labels (N,) int64.
        """
        target = probabilities.gather(1, labels[:, None])
        before = torch.arange(probabilities.shape[1], device=labels.device) < labels[:, None]
        rank = ((probabilities > target) | ((probabilities == target) & before)).sum(1)
        finite = probabilities.isfinite().all(1)
        rank[~finite] = max(probabilities.shape[1], TOP)
        self.top5_errors += int((rank >= TOP).sum())
        self.loss_sum -= float(target.double().clamp(min=1e-30).log().sum())
        cells = (labels * len(self.classes) + probabilities.argmax(1))[finite].cpu()
        self.confusion += torch.bincount(cells, minlength=self.confusion.numel()).view_as(
            self.confusion
        )
        self.unanswered += torch.bincount(labels[~finite].cpu(), minlength=len(self.classes))

    @property
    def seen(self) -> int:
        """Pictures counted."""
        return int(self.confusion.sum() + self.unanswered.sum())

    @property
    def top1_errors(self) -> int:
        """Pictures whose first answer is wrong."""
        return self.seen - int(self.confusion.diagonal().sum())

    @property
    def loss(self) -> float:
        """Mean of -ln(probability of the true class)."""
        return self.loss_sum / max(self.seen, 1)

    def error(self, errors: int) -> float:
        """Return a number of errors as a share of the pictures seen."""
        return errors / max(self.seen, 1)

    def per_class(self) -> dict[str, tuple[int, int]]:
        """Return (pictures, top-1 errors) of each class."""
        pictures = (self.confusion.sum(1) + self.unanswered).tolist()
        right = self.confusion.diagonal().tolist()
        return {
            name: (count, count - good)
            for name, count, good in zip(self.classes, pictures, right, strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """Return all counts as plain values for `--json`."""
        return {
            "pictures": self.seen,
            "top1_errors": self.top1_errors,
            "top5_errors": self.top5_errors,
            "top1_error": self.error(self.top1_errors),
            "top5_error": self.error(self.top5_errors),
            "loss": self.loss if math.isfinite(self.loss) else None,
            "per_class": {
                name: {"pictures": seen, "top1_errors": wrong}
                for name, (seen, wrong) in self.per_class().items()
            },
            "confusion": self.confusion.tolist(),
        }
