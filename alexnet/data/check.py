"""Look through labelled pictures for all that would make a training go wrong.

Every picture is decoded; then copies are looked for, strays beside the pictures, and classes that
cannot be learned. `findings.KINDS` lists what can be found.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.data.alike import Cells
from alexnet.data.copies import Groups, Search, group_equal
from alexnet.data.examine import (
    TRAITS,
    Examined,
    Progress,
    digest_pixels,
    examine,
    thumbnail,
)
from alexnet.data.findings import Finding, Item, Severity, collect
from alexnet.data.folder import Listing
from alexnet.data.sets import Sets, open_sets
from alexnet.data.strays import find_strays

FEW, IMBALANCE, LONG = 10, 10, 3
NONE = (0, 0, 0)
MOST_BAD_SHARE = 0.01
"""Above this share of bad pictures the loader stops a training."""


@dataclass(frozen=True)
class Report:
    """What was found in a data set."""

    form: str
    """What the data set is, in words."""
    sets: dict[str, int]
    """Set, "" if there is one only -> number of its pictures."""
    classes: dict[str, tuple[int, ...]]
    """Class -> number of its pictures in each set."""
    num_bytes: int
    """Bytes of all files, or of all pixels where there are no files."""
    sides: tuple[int, int, int]
    """Shorter sides in pixels: the least, the median and the greatest."""
    findings: tuple[Finding, ...]
    """Everything found, the gravest first."""

    def count(self) -> dict[Severity, int]:
        """Return how many kinds of finding there are of each severity."""
        severities: tuple[Severity, ...] = ("error", "warning", "note")
        found = [finding.severity for finding in self.findings]
        return {severity: found.count(severity) for severity in severities}

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "form": self.form,
            "sets": self.sets,
            "classes": {name: list(counts) for name, counts in self.classes.items()},
            "bytes": self.num_bytes,
            "shorter_sides": dict(zip(("least", "median", "greatest"), self.sides, strict=True)),
            "findings": [finding.to_json() for finding in self.findings],
        }


def check(path: Path, *, progress: Progress = lambda done, total: None, tiny: int = 64) -> Report:
    """Check a data set of any form; pictures whose shorter side is below `tiny` are remarkable.

    Raises:  DataError when there is no data set that a training could open at all.
    """
    sets = open_sets(path)
    found = examine([pictures for _, pictures in sets.parts], progress=progress)
    everything: dict[str, list[Item]] = defaultdict(list)
    for part in (
        _judge_pictures(sets, found, tiny),
        _judge_copies(sets, found),
        judge_classes(sets),
        _judge_places(sets),
    ):
        for kind, items in part.items():
            everything[kind] += items
    few_bad = len(found.bad) <= MOST_BAD_SHARE * len(found.sides)
    shorter = found.sides.min(1)[found.sides.min(1) > 0]
    sides = (
        (int(shorter.min()), int(np.median(shorter)), int(shorter.max())) if len(shorter) else NONE
    )
    sizes = sets.sizes().tolist()
    return Report(
        sets.form,
        {name: len(pictures) for name, pictures in sets.parts},
        {name: tuple(counts) for name, counts in zip(sets.classes, sizes, strict=True)},
        int(found.num_bytes.sum()),
        sides,
        collect(everything, milder=["bad"] if few_bad else []),
    )


# ---- Each picture -------------------------------------------------------------------------------


def _judge_pictures(sets: Sets, found: Examined, tiny: int) -> dict[str, list[Item]]:
    items = {"bad": [Item((sets.path(index),), found.bad[index]) for index in sorted(found.bad)]}
    for name in TRAITS:
        places = np.flatnonzero(found.trait(name)).tolist()
        items[name] = [Item((sets.path(i),), found.details.get(i, "")) for i in places]
    shorter, longer = found.sides.min(1), found.sides.max(1)
    items["tiny"] = _with_sides(sets, found, (shorter > 0) & (shorter < tiny))
    items["long"] = _with_sides(sets, found, longer > LONG * shorter)
    return items


def _with_sides(sets: Sets, found: Examined, chosen: NDArray[np.bool_]) -> list[Item]:
    places = np.flatnonzero(chosen).tolist()
    sides = found.sides[chosen].tolist()
    return [
        Item((sets.path(index),), f"{width} x {height}")
        for index, (height, width) in zip(places, sides, strict=True)
    ]


# ---- Copies -------------------------------------------------------------------------------------


def _judge_copies(sets: Sets, found: Examined) -> dict[str, list[Item]]:
    """Find the same bytes, the same pixels and what looks alike, and say what is wrong with it.

    Groups are nested: of alike pictures some may have the same pixels, of these some the same
    bytes. A group is reported where it first has members that were not together before.
    """
    readable = np.ones(len(found.sides), bool)
    readable[list(found.bad)] = False
    same = group_equal(found.digests, readable)
    alike = Groups(same.of.copy())
    search = Search(alike, found.signatures, found.kept, lambda index: _decode(sets, index))
    first = same.of == np.arange(len(same.of))
    search.run(np.flatnonzero(readable & first & ~found.trait("flat")))
    pixels = Groups(same.of.copy())
    for members in alike.several(within=same):
        by_pixels: dict[bytes, int] = {}
        for index in members[first[members]].tolist():
            digest = digest_pixels(*sets.locate(index))
            if digest is not None:
                pixels.join(by_pixels.setdefault(digest, index), index)
    has_files = isinstance(sets.parts[0][1], Listing)
    groups = [(members, "same bytes" if has_files else "same pixels") for members in same.several()]
    groups += [(members, "same pixels") for members in pixels.several(within=same)]
    for members in alike.several(within=pixels):
        score = alike.scores.get(alike.find(int(members[0])), 1.0)
        groups.append((members, f"alike, {score:.2f}"))
    items = _name_groups(sets, groups)
    if search.stopped:
        items["search-stopped"].append(Item((), f"{search.compared:,} pairs were compared"))
    return items


def _decode(sets: Sets, index: int) -> Cells | None:
    return thumbnail(*sets.locate(index))


def _name_groups(sets: Sets, groups: list[tuple[NDArray[np.int64], str]]) -> dict[str, list[Item]]:
    """Sort groups by what they do: cross the sets, cross the classes, or neither."""
    labels, numbers = sets.labels(), sets.numbers()
    items: dict[str, list[Item]] = defaultdict(list)
    for members, detail in groups:
        suffix = "-alike" if detail.startswith("alike") else ""
        item = Item(tuple(sets.path(index) for index in members.tolist()), detail)
        crosses_sets = len(np.unique(numbers[members])) > 1
        crosses_classes = len(np.unique(labels[members])) > 1
        if crosses_sets:
            items[f"leak{suffix}"].append(item)
        if crosses_classes:
            items[f"contradiction{suffix}"].append(item)
        if not crosses_sets and not crosses_classes:
            items["alike" if suffix else "copies"].append(item)
    return items


# ---- Classes and places -------------------------------------------------------------------------


def judge_classes(sets: Sets) -> dict[str, list[Item]]:
    """Find classes that are empty, few, alone, of very different sizes, or in one set only."""
    sizes = sets.sizes()
    trained = sizes[:, 0]
    items: dict[str, list[Item]] = defaultdict(list)
    for name, counts in zip(sets.classes, sizes.tolist(), strict=True):
        if counts[0] == 0:
            only = len(counts) > 1 and counts[1] > 0
            detail = f"{counts[1]:,} in validation" if only else "0 pictures"
            items["only-in-validation" if only else "empty-class"].append(Item((name,), detail))
        elif counts[0] < FEW:
            items["few"].append(Item((name,), f"{counts[0]} picture{'s' if counts[0] > 1 else ''}"))
        if len(counts) > 1 and counts[0] > 0 and counts[1] == 0:
            items["only-in-train"].append(Item((name,), f"{counts[0]:,} in train"))
    if len(sets.classes) == 1:
        items["one-class"].append(Item(sets.classes, "the only class"))
    present = np.flatnonzero(trained)
    if len(present) > 1:
        small, large = present[trained[present].argmin()], present[trained[present].argmax()]
        if trained[large] > IMBALANCE * trained[small]:
            detail = f"{trained[small]:,} and {trained[large]:,} pictures"
            items["imbalance"].append(Item((sets.classes[small], sets.classes[large]), detail))
    return items


def _judge_places(sets: Sets) -> dict[str, list[Item]]:
    items: dict[str, list[Item]] = {"remark": [Item((), note) for note in sets.notes]}
    if not sets.folders:
        return items
    listed = (sets.path(index) for index in range(len(sets.labels())))
    items |= find_strays(sets.root, sets.folders, listed)
    if sets.folders != ("",):
        beside = sorted(each.name for each in sets.root.iterdir() if each.is_dir())
        unused = [name for name in beside if name not in sets.folders and name[0] != "."]
        items["unused-folder"] = [Item((name,)) for name in unused]
    return items
