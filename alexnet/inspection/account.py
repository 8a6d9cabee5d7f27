"""What is known of a run, as plain values: all that its report and its model card are made of."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from alexnet.evaluation.interval import wilson
from alexnet.evaluation.metrics import TOP, Counts
from alexnet.evaluation.submission import Mistake
from alexnet.inspection.panels import Image

NARROW = "\u202f"
"""A narrow space that does not break, between a number and its unit."""

JOINERS = "\n\u200c\u200d"
"""Letters that are not seen but belong to what is: ends of lines, and joiners of some scripts."""


@dataclass(frozen=True)
class Setting:
    """A field of the recipe."""

    name: str
    """Its name, an option of `alexnet train`."""
    value: str
    """What the run has."""
    usual: str
    """What the recipe has that is compared with."""
    meaning: str
    """What it means."""

    @property
    def differs(self) -> bool:
        """Whether the run has another value."""
        return self.value != self.usual


@dataclass(frozen=True)
class Measured:
    """Errors on a set of pictures."""

    counts: Counts
    """What was right and wrong."""
    where: str
    """Which pictures and which weights, in words."""

    @property
    def rows(self) -> list[tuple[str, int]]:
        """Kinds of errors with their counts; of so few classes that all are named, top-1 alone."""
        found = [("top-1", self.counts.top1_errors)]
        if len(self.counts.classes) > TOP:
            found.append((f"top-{TOP}", self.counts.top5_errors))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the intervals beside the shares."""
        values = {"where": self.where, **self.counts.to_json()}
        for kind, errors in (("top1", self.counts.top1_errors), ("top5", self.counts.top5_errors)):
            values[f"{kind}_error_interval"] = list(wilson(errors, self.counts.seen))
        for name, (seen, wrong) in self.counts.per_class().items():
            values["per_class"][name]["interval"] = list(wilson(wrong, seen))
        return values


@dataclass(frozen=True)
class Wrong:
    """A wrong answer and its picture."""

    mistake: Mistake
    """What was answered."""
    image: Image
    """(H, W, 3) RGB: what the net saw."""


@dataclass(frozen=True)
class FirstKernels:
    """The kernels of the first layer."""

    layer: str
    """The layer's name."""
    kernels: Tensor
    """(K, C, height, width), red, green and blue in this order where C is 3."""
    columns: int
    """Parts of the net that they fall into."""


@dataclass(frozen=True)
class Ledger:
    """What became of the pictures."""

    lines: tuple[dict[str, Any], ...] = ()
    """The journal's lines of the statistics and of each epoch."""
    bad: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of every picture that was refused."""
    changes: tuple[str, ...] = ()
    """Changes of the pictures that were accepted while the run went on."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known of the data: a name and a value each."""


@dataclass(frozen=True)
class Account:
    """All that is known of a run."""

    name: str
    """The run's."""
    folder: str
    """Where it lies."""
    state: str
    """How far it is, in a sentence or two."""
    facts: tuple[tuple[str, str], ...]
    """What it is, in short: a name and a value each."""
    net: str
    """Name of the net."""
    data: str
    """What it was trained on, as the recipe has it."""
    classes: tuple[str, ...] = ()
    """Class names; none where there is no model yet."""
    recipe_name: str = ""
    """The named recipe that the run's is compared with."""
    settings: tuple[Setting, ...] = ()
    """Every field of the recipe but the data."""
    journal: Sequence[dict[str, Any]] = ()
    """The lines of the journal."""
    measured: tuple[Measured, ...] = ()
    """Errors; the first are the result."""
    wrong: tuple[Wrong, ...] = ()
    """The wrong answers of the highest probability."""
    kernels: FirstKernels | None = None
    """The first layer's."""
    ledger: Ledger = field(default_factory=Ledger)
    """What became of the pictures."""
    environment: tuple[tuple[str, str], ...] = ()
    """What the report was made on: a name and a value each."""
    commands: tuple[tuple[str, str], ...] = ()
    """How to run it again: what for, and the command."""
    repeats: str = ""
    """Whether that gives the same weights, in a sentence."""
    left_out: tuple[str, ...] = ()
    """What the report lacks and why, a sentence each."""

    def to_json(self) -> dict[str, Any]:
        """Return the numbers and names as plain values, without journal, kernels and pictures."""
        return {
            "run": self.folder,
            "state": self.state,
            "net": self.net,
            "data": self.data,
            "classes": list(self.classes),
            "facts": dict(self.facts),
            "compared_with": self.recipe_name,
            "differs": {s.name: [s.value, s.usual] for s in self.settings if s.differs},
            "measured": [each.to_json() for each in self.measured],
            "mistakes": [vars(each.mistake) for each in self.wrong],
            "ledger": {
                "lines": list(self.ledger.lines),
                "bad": self.ledger.bad,
                "changes": list(self.ledger.changes),
                **dict(self.ledger.facts),
            },
            "environment": dict(self.environment),
            "commands": dict(self.commands),
            "left_out": list(self.left_out),
        }


def printable(text: str) -> str:
    """Return a text with U+FFFD for what is not seen or turns the order of letters around."""
    return "".join(
        letter
        if letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"
        else "\ufffd"
        for letter in text
    )


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage, "26.3 %", with a space that does not break."""
    return f"{100 * share:.{digits}f}{NARROW}%"


def between(errors: int, count: int, digits: int = 1) -> str:
    """Write the 95 % interval of a share, "25.0 to 27.7 %"."""
    low, high = wilson(errors, count)
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def result_of(measured: Measured) -> str:
    """Return the errors in one sentence, with their intervals."""
    counts = measured.counts
    parts = []
    for (_, errors), saying in zip(
        measured.rows,
        ("the first answer is wrong for {}", "the class is not among the first five for {}"),
        strict=False,
    ):
        share = f"{percent(counts.error(errors))} (95{NARROW}% interval "
        parts.append(saying.format(f"{share}{between(errors, counts.seen)})"))
    noun = "picture" if counts.seen == 1 else "pictures"
    return f"Of {counts.seen:,} {noun}, {', and '.join(parts)}."
