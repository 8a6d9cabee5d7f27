"""What `alexnet data check` can find, how grave each is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Kind:
    """A kind of finding."""

    severity: Severity
    """error: a training would go wrong; warning: it would suffer; note: good to know."""
    title: str
    """What was found, in the plural."""
    advice: str
    """What to do about it."""


KINDS = {
    "one-class": Kind(
        "error",
        "there is nothing to tell apart",
        "Put the pictures of each class into a folder of its name; two classes are the least.",
    ),
    "empty-class": Kind(
        "error",
        "classes without pictures to train on",
        "Add pictures to the class's folder, or remove the folder.",
    ),
    "only-in-validation": Kind(
        "error",
        "classes that only the validation set has",
        "Add the class to train/, or remove it from the validation set.",
    ),
    "bad": Kind(
        "error",
        "pictures that cannot be read",
        "Fetch them again or delete them. Training passes over bad pictures, up to 1 % of all.",
    ),
    "leak": Kind(
        "error",
        "pictures that stand in train and in validation",
        "Delete the copies in train/: the error measured on them is too good to be true.",
    ),
    "contradiction": Kind(
        "error",
        "pictures that stand in several classes",
        "Keep the file in the class where it belongs, and delete the others.",
    ),
    "leak-alike": Kind(
        "warning",
        "pictures of train and of validation that look alike",
        "Look at them; delete those in train/ that are copies of a picture in validation.",
    ),
    "contradiction-alike": Kind(
        "warning",
        "pictures of several classes that look alike",
        "Look at them; of copies, keep the one in the class where it belongs.",
    ),
    "copies": Kind(
        "warning",
        "pictures with copies in the same class",
        "Keep the first of each set; a copy counts double in training.",
    ),
    "alike": Kind(
        "note",
        "pictures of one class that look alike",
        "Look at them; of copies, keep the largest.",
    ),
    "only-in-train": Kind(
        "warning",
        "classes that the validation set lacks",
        "Add pictures of the class to the validation set: its error is not measured.",
    ),
    "few": Kind(
        "warning",
        "classes with few pictures to train on",
        "Add pictures; below 10 a class is hardly learned.",
    ),
    "imbalance": Kind(
        "warning",
        "classes of very different sizes",
        "Add pictures to the small classes, or mind that the large ones rule the error.",
    ),
    "tiny": Kind(
        "warning",
        "pictures of few pixels",
        "Fetch them in a larger size, or train with --picture-size of about theirs.",
    ),
    "below-crop": Kind(
        "warning",
        "pictures smaller than the crop, which are enlarged",
        "Give --picture-size and --input-size of about theirs, or a --net for small pictures.",
    ),
    "flat": Kind(
        "warning",
        "pictures of nearly one colour",
        "Look at them and delete those that show nothing (lost downloads often look so).",
    ),
    "similar-names": Kind(
        "warning",
        "names that differ only in case, spaces or Unicode form",
        "Rename or merge them: some disks take them for one, and people too.",
    ),
    "spaces": Kind(
        "warning",
        "names that begin or end with a space",
        "Rename them; what is typed without the space is not found.",
    ),
    "left-out": Kind(
        "warning",
        "files that are not used, for their name or place",
        "Save pictures among them as JPEG or PNG in a class's folder; delete the rest.",
    ),
    "unused-folder": Kind(
        "note",
        "folders beside the sets that are not used",
        "Train on them by naming them as DATA, or leave them.",
    ),
    "long": Kind(
        "note",
        "pictures more than 3 times as long as wide",
        "Cut them yourself if the object is not in the middle: only the centre is used.",
    ),
    "cmyk": Kind(
        "note", "pictures in CMYK", "Nothing to do here; other programs may show wrong colours."
    ),
    "gray": Kind(
        "note", "gray pictures", "Nothing to do: gray is repeated in red, green and blue."
    ),
    "sixteen-bit": Kind("note", "pictures of 16 bits", "Nothing to do: the upper 8 bits are used."),
    "transparent": Kind(
        "note", "pictures with transparency", "Nothing to do: they are laid on white."
    ),
    "animated": Kind("note", "animations", "Nothing to do: the first frame is used."),
    "rotated": Kind(
        "note",
        "pictures turned by their EXIF orientation",
        "Nothing to do: they are turned upright here; other programs may not do so.",
    ),
    "misnamed": Kind(
        "note",
        "pictures of another type than their name says",
        "Nothing to do: the content decides here; rename them for other programs.",
    ),
    "hidden": Kind("note", "hidden files and folders", "Nothing to do: they are never used."),
    "nested": Kind(
        "note",
        "pictures in folders inside a class's folder",
        "Nothing to do if they belong to the class: they count as its own.",
    ),
    "remark": Kind(
        "note",
        "remarks on opening the data set",
        "Match classes with those of other lists by name, never by number.",
    ),
    "search-stopped": Kind(
        "note",
        "too many pictures look alike to compare them all",
        "Clear what was found, and check again.",
    ),
}
"""Every kind by its name in JSON, the gravest first."""


@dataclass(frozen=True)
class Item:
    """One thing that was found."""

    paths: tuple[str, ...]
    """The files, folders or classes that it is about."""
    detail: str = ""
    """What was found of them."""


@dataclass(frozen=True)
class Finding:
    """Everything of one kind that was found."""

    kind: str
    """A key of KINDS."""
    items: tuple[Item, ...]
    """What was found, in the order of the files."""
    severity: Severity
    """How grave it is here: that of its kind, or milder."""

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "title": KINDS[self.kind].title,
            "advice": KINDS[self.kind].advice,
            "count": len(self.items),
            "items": [{"paths": list(item.paths), "detail": item.detail} for item in self.items],
        }


def collect(found: dict[str, list[Item]], milder: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Put what was found in order, the gravest first; kinds in `milder` are warnings only."""
    findings = []
    for name, kind in KINDS.items():
        if found.get(name):
            severity: Severity = "warning" if name in milder else kind.severity
            findings.append(Finding(name, tuple(found[name]), severity))
    order = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
