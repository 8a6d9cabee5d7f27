"""ILSVRC's rule for task 2, classification with localization.

A picture has one class and one or more boxes of it; an answer is up to five guesses of a class and
a box. A guess is right when its class is and its box overlaps one of the boxes by half or more; a
picture is right when a guess is.

    e = min over guesses i of  max(d(i), min over boxes k of f(i, k))

with d(i) = 1 where the class is wrong, and f(i, k) = 1 where the overlap is below one half.
Source:  ILSVRC2012 development kit, readme.txt, section 4, and eval_localization_flat.m, which
         compares the overlap as `< .5`; the challenge's page says "over 50 %". The two differ
         only at exactly one half.
The overlap is that of the areas, intersection over union. VOC's programs count an edge's pixel as
inside (xmax - xmin + 1); with `edge` 1 so do we. For boxes of the challenge it changes the overlap
in the third digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

HALF = 0.5
GUESSES = 5

Box = tuple[float, float, float, float]
"""xmin, ymin, xmax, ymax in pixels."""


class Guess(NamedTuple):
    """A part of an answer."""

    label: int
    box: Box


def overlap(a: Box, b: Box, *, edge: float = 0.0) -> float:
    """Return the area that two boxes share over the area that they cover together.

    Units:   pixels; `edge` is what a side measures beyond the difference of its ends, 1 in VOC.
    Returns 0 where neither has an area.
    """
    across = min(a[2], b[2]) - max(a[0], b[0]) + edge
    down = min(a[3], b[3]) - max(a[1], b[1]) + edge
    shared = max(across, 0.0) * max(down, 0.0)
    covered = sum(max(x1 - x0 + edge, 0.0) * max(y1 - y0 + edge, 0.0) for x0, y0, x1, y1 in (a, b))
    return shared / (covered - shared) if covered > shared else float(shared > 0)


@dataclass
class LocalizationCounts:
    """Errors of task 2 and task 1 over a set of pictures; sums of any order are the same."""

    pictures: int = 0
    localization_errors: int = 0
    """Pictures of which no guess is right in class and box: the error of task 2."""
    class_errors: int = 0
    """Pictures whose class no guess has: the error of task 1."""
    top1_localization_errors: int = 0
    """The same of the first guess alone."""
    top1_class_errors: int = 0
    """The same of the first guess alone."""
    box_errors: int = 0
    """Pictures whose box for the true class, given that class, overlaps by less than half."""
    overlap_sum: float = 0.0
    """Sum of that box's largest overlap."""
    edge: float = field(default=0.0, kw_only=True)
    """What a side measures beyond the difference of its ends."""

    def add(self, label: int, boxes: Sequence[Box], guesses: Sequence[Guess], own: Box) -> None:
        """Count a picture; `own` is the box that the net gives its true class.

        Guesses after the fifth are not looked at; a picture without an answer is wrong.
        """
        best = [self._best(guess.box, boxes) for guess in guesses[:GUESSES]]
        classes = [guess.label == label for guess in guesses[:GUESSES]]
        right = [c and o >= HALF for c, o in zip(classes, best, strict=True)]
        of_own = self._best(own, boxes)
        self.pictures += 1
        self.localization_errors += not any(right)
        self.class_errors += not any(classes)
        self.top1_localization_errors += not any(right[:1])
        self.top1_class_errors += not any(classes[:1])
        self.box_errors += of_own < HALF
        self.overlap_sum += of_own

    def _best(self, box: Box, boxes: Sequence[Box]) -> float:
        return max((overlap(box, each, edge=self.edge) for each in boxes), default=0.0)

    def share(self, errors: int) -> float:
        """Return a number of errors as a share of the pictures."""
        return errors / max(self.pictures, 1)

    def to_json(self) -> dict[str, Any]:
        """Return all counts as plain values."""
        counts = {
            "localization": self.localization_errors,
            "class": self.class_errors,
            "top1_localization": self.top1_localization_errors,
            "top1_class": self.top1_class_errors,
            "box": self.box_errors,
        }
        return {
            "pictures": self.pictures,
            **{f"{name}_errors": count for name, count in counts.items()},
            **{f"{name}_error": self.share(count) for name, count in counts.items()},
            "mean_overlap": self.overlap_sum / max(self.pictures, 1),
        }
