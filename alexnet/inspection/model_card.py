"""The card of a model: what it is, how it was trained, how well it does, and how to use it.

Source:  Mitchell et al. 2019, "Model Cards for Model Reporting"; the form is that of Hugging Face's
         model repositories, a README.md that begins with a block of YAML. What only a person can
         say, such as the licence and the intended use, is left open and the card says so.
"""

import hashlib
import json
import re
from pathlib import Path

from alexnet import __version__
from alexnet.inspection.account import (
    Account,
    Measured,
    between,
    percent,
    printable,
    result_of,
)
from alexnet.store import write_atomically

CARD = "README.md"
SIGNED = re.compile(r"\n<!-- written by alexnet report, sha256 ([0-9a-f]{64}) -->\n\Z")
MARKUP = re.compile(r"([\\`*_\[\]#|~<>&$])")
MOST_CLASSES = 40
"""Classes up to which the card tells each one's error; beyond, the worst and the best."""
NAMED = 10
USE = """\
from pathlib import Path

from alexnet.model import open_model
from alexnet.predict import list_pictures, predict

model = open_model(Path("MODEL"))
for answer in predict(model, list_pictures(["PICTURES"]), top=3):
    print(answer.source, answer.error or answer.labels)
"""
"""How the package is used from Python; MODEL and PICTURES are folders."""


def write_card(path: Path, account: Account) -> bool:
    """Write a run's model card, unless there is a file that is not as this function wrote it.

    Returns whether it was written.

    Raises:  OSError if the disk refuses.
    """
    if path.exists() and not is_ours(path.read_bytes()):
        return False
    write_atomically(path, sign(make_card(account)))
    return True


def sign(text: str) -> bytes:
    """End a card with a line that tells whether it was changed since."""
    data = text.encode("utf-8", errors="replace")
    digest = hashlib.sha256(data).hexdigest()
    return data + f"\n<!-- written by alexnet report, sha256 {digest} -->\n".encode()


def is_ours(data: bytes) -> bool:
    """Return whether a card is as `sign` left it."""
    found = SIGNED.search(data.decode("utf-8", errors="replace"))
    if found is None:
        return False
    text = data[: -len(found[0].encode())]
    return hashlib.sha256(text).hexdigest() == found[1]


def make_card(account: Account) -> str:
    """Return the text of a model's card; it names no folder of the machine it was made on."""
    parts = [
        _front_matter(account),
        f"# {_plain(account.name)}",
        _what(account),
        _how_trained(account),
        _how_well(account),
        _limits(account),
        _use(),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(account: Account) -> str:
    """Return the YAML; names are JSON strings, which YAML reads alike."""
    tags = list(dict.fromkeys(["alexnet", "pytorch", "safetensors", account.net]))
    lines = [
        "---",
        "# license: it is for whoever publishes this model to choose one, as in license: mit",
        "library_name: alexnet",
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {_quoted(tag)}" for tag in tags),
        "metrics:",
        "- accuracy",
    ]
    if account.measured:
        lines += [
            "model-index:",
            f"- name: {_quoted(account.name)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: {_quoted(_data_name(account))}",
            "      type: imagefolder",
            "    metrics:",
        ]
        counts = account.measured[0].counts
        for kind, errors in account.measured[0].rows:
            lines += [
                "    - type: accuracy",
                f"      name: {_quoted(f'{kind} accuracy')}",
                f"      value: {1 - counts.error(errors):.6f}",
            ]
    return "\n".join([*lines, "---"])


def _what(account: Account) -> str:
    classes = len(account.classes)
    return (
        f"A net for classifying pictures, `{_plain(account.net)}`, trained on "
        f"{_plain(_data_name(account))} to tell {classes:,} classes apart. It was written by the "
        f"package `alexnet`, version {__version__}, a rebuild of AlexNet of 2012 and its kin.\n\n"
        f"{_pairs(account.facts)}"
    )


def _how_trained(account: Account) -> str:
    changed = [each for each in account.settings if each.differs and each.name != "net"]
    name = account.recipe_name
    text = f"## How it was trained\n\n{_plain(account.state)} "
    if not changed:
        return f"{text}The recipe is `{name}` as it is."
    rows = [f"| {_plain(s.name)} | {_plain(s.value)} | {_plain(s.usual)} |" for s in changed]
    head = [f"| field | this run | `{name}` |", "|---|---|---|"]
    return "\n".join([f"{text}The recipe is `{name}` but for these fields:\n", *head, *rows])


def _how_well(account: Account) -> str:
    if not account.measured:
        return "## How well it does\n\nNo error is measured yet."
    lines = ["## How well it does", "", _plain(result_of(account.measured[0])), ""]
    lines += ["| error | pictures | wrong | of | share | 95 % interval |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    for each in account.measured:
        seen = each.counts.seen
        lines += [
            f"| {kind} | {_plain(_without_folder(each.where, account))} | {wrong:,} | {seen:,} | "
            f"{percent(each.counts.error(wrong), 2)} | {between(wrong, seen)} |"
            for kind, wrong in each.rows
        ]
    return "\n".join([*lines, "", *_classes(account.measured[0])])


def _classes(measured: Measured) -> list[str]:
    """Return a table of the classes, or of the worst and the best of many."""
    rows = [
        (wrong / seen, f"| {_plain(name)} | {wrong:,} | {seen:,} | {_error(wrong, seen)} |")
        for name, (seen, wrong) in measured.counts.per_class().items()
        if seen
    ]
    head = ["| class | wrong | of | error | 95 % interval |", "|---|--:|--:|--:|--:|"]
    if len(rows) <= MOST_CLASSES:
        return [*head, *(line for _, line in rows)]
    ordered = sorted(rows, key=lambda row: -row[0])
    worst, best = ordered[:NAMED], ordered[-NAMED:]
    return [
        *(f"The {NAMED} classes with the largest errors:", "", *head, *(x for _, x in worst), ""),
        *(f"The {NAMED} with the smallest:", "", *head, *(x for _, x in best)),
    ]


def _error(wrong: int, seen: int) -> str:
    return f"{percent(wrong / seen)} | {between(wrong, seen)}"


def _limits(account: Account) -> str:
    chosen = next((s.value for s in account.settings if s.name == "keep_model"), "")
    best = "\n- The model with the lowest validation error was kept: for new pictures it is higher."
    return (
        "## Limits\n\n"
        f"- It names one of its {len(account.classes):,} classes for any picture, also for one of "
        "something else.\n"
        "- The errors hold for pictures like those they were measured on; on others they are "
        f"usually larger.{best if chosen == 'best' else ''}\n"
        "- The probabilities are not calibrated; `alexnet eval --calibration` says how far off "
        "they are.\n"
        "- What the pictures were, whom they show and what the model may be used for is for its "
        "publisher to say here."
    )


def _use() -> str:
    return (
        "## How to use it\n\nWith the package `alexnet` installed, MODEL being the folder of this "
        "file with the manifest and the weights:\n\n```bash\n"
        "alexnet predict MODEL PICTURES\n"
        "alexnet eval MODEL DATA                # DATA: a folder of pictures for each class\n"
        f"```\n\n```python\n{USE}```"
    )


def _data_name(account: Account) -> str:
    return Path(account.data).name or "pictures that are not named"


def _without_folder(text: str, account: Account) -> str:
    return text.replace(account.data, _data_name(account)) if account.data else text


def _pairs(items: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"- {_plain(name)}: {_plain(value)}" for name, value in items)


def _plain(text: str) -> str:
    """Return a text that Markdown and HTML show as it is, on one line."""
    return (
        MARKUP.sub(r"\\\1", printable(text).replace("\n", " "))
        .replace("\\<", "&lt;")
        .replace("\\&", "&amp;")
    )


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=True)
