"""Answers as ILSVRC's server took them, and the mistakes that a net was surest of.

A line for each picture, in the order of their numbers. Task 1: five classes by ILSVRC2012_ID, the
first answer first. Task 2: five times a class and its box, xmin ymin xmax ymax in pixels from 1.
Source:  ILSVRC2012 development kit, readme.txt, section 3 (submission format).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from alexnet.evaluation.localization_rule import Box, Guess

GUESSES = 5


@dataclass(frozen=True)
class Mistake:
    """A wrong answer."""

    picture: str
    """Name of the picture."""
    truth: str
    """Its class."""
    answer: str
    """What the net took it for."""
    probability: float
    """Of that answer."""
    truth_probability: float
    """Of the class that it is of."""


def first_answers(probabilities: Tensor, count: int = GUESSES) -> Tensor:
    """Return the most probable classes of each picture; of equals the class that comes first.

    Shapes:  (N, C) -> (N, min(count, C)) int64.
    """
    return probabilities.argsort(stable=True, dim=1, descending=True)[:, :count]


def surest_mistakes(
    probabilities: Tensor,
    labels: Tensor,
    *,
    classes: Sequence[str],
    paths: Sequence[str],
    count: int,
) -> list[Mistake]:
    """Return the wrong first answers of the highest probability, the surest first.

    Shapes:  probabilities (N, C), labels (N,).
    """
    sure, answers = probabilities.max(1)
    wrong = torch.where(answers != labels)[0]
    order = wrong[sure[wrong].argsort(stable=True, descending=True)][:count]
    return [
        Mistake(
            paths[i],
            classes[int(labels[i])],
            classes[int(answers[i])],
            float(sure[i]),
            float(probabilities[i, labels[i]]),
        )
        for i in order.tolist()
    ]


def submission_ids(classes: Sequence[str], known: Mapping[str, int], place: str) -> list[int]:
    """Return the ILSVRC ID of each class of a net, from `known`: WNID -> ID.

    Raises:  ValueError, naming `place`, for a class that is not known there, and for fewer than
             five classes.
    """
    lacking = [name for name in classes if name not in known]
    if lacking:
        raise ValueError(
            f"class {lacking[0]!r} has no ILSVRC ID in {place}; a submission needs a net whose "
            f"classes are WNIDs of that file"
        )
    if len(classes) < GUESSES:
        raise ValueError(f"a submission has {GUESSES} classes a line; the net has {len(classes)}")
    return [known[name] for name in classes]


def write_labels(probabilities: Tensor, paths: Sequence[str], ids: Sequence[int]) -> bytes:
    """Return the lines of task 1.

    Shapes:  probabilities (N, C); `paths` names N pictures, `ids` has the C classes' IDs.
    """
    best = first_answers(probabilities).tolist()
    lines = [" ".join(str(ids[c]) for c in row) for row in best]
    return _in_order(lines, paths)


def write_boxes(
    guesses: Sequence[Sequence[Guess]], paths: Sequence[str], ids: Sequence[int]
) -> bytes:
    """Return the lines of task 2; edges are rounded to pixels, of which the first is 1."""
    lines = [
        " ".join(f"{ids[each.label]} {_edges(each.box)}" for each in row[:GUESSES])
        for row in guesses
    ]
    return _in_order(lines, paths)


def _edges(box: Box) -> str:
    """Return the pixels that a box covers: from the one in which it begins, counted from 1."""
    x0, y0, x1, y1 = box
    first = (round(x0) + 1, round(y0) + 1)
    return " ".join(map(str, (*first, max(round(x1), first[0]), max(round(y1), first[1]))))


def _in_order(lines: Sequence[str], paths: Sequence[str]) -> bytes:
    """Join the lines in the order of the pictures' own names, whatever their folders."""
    order = sorted(range(len(paths)), key=lambda i: (paths[i].rpartition("/")[2], paths[i]))
    return "".join(f"{lines[i]}\n" for i in order).encode()
