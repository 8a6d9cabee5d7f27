"""The report of a run as a page: recipe, curves, errors, mistakes, kernels, data, how to repeat it.

One file that needs nothing else. What the run lacks is left out, and the page says what and why.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from alexnet import __version__
from alexnet.inspection import html
from alexnet.inspection.account import Account, FirstKernels, Ledger, percent, result_of
from alexnet.inspection.curves import draw_curves
from alexnet.inspection.errors_page import (
    classes_part,
    confusion_part,
    errors_part,
    mistakes_part,
)
from alexnet.inspection.html import escape
from alexnet.inspection.kernels import RANDOM_COLOURFULNESS, describe, specialisation
from alexnet.inspection.panels import Image, signed, tile

CURVE_SIZE = (4.4, 5.6)
"""Of the curves, inches: their letters stay readable on a telephone."""
MOST_POINTS = 600
"""Points of a curve; of more lines of the journal the means of neighbours are drawn."""
MOST_LINES = 12
"""Lines of a table that is no part of the result; more are folded."""
KERNEL_SIDE = 44
"""Dots a side of an enlarged kernel, about."""
ACROSS = 12


def make_page(account: Account) -> bytes:
    """Return the bytes of a run's report."""
    sections = [("recipe", "Recipe", _recipe(account))]
    if _has_curves(account.journal):
        sections.append(("curves", "Learning curves", _curves(account)))
    if account.measured:
        first = account.measured[0]
        sections += [
            ("errors", "Errors", errors_part(account)),
            ("classes", "Errors by class", classes_part(first)),
            ("confusion", "Confusion", confusion_part(first)),
        ]
    if account.wrong:
        sections.append(("mistakes", "Surest mistakes", mistakes_part(account.wrong)))
    if account.kernels is not None:
        sections.append(("kernels", "First kernels", _kernels(account.kernels)))
    sections += [
        ("data", "Data ledger", _ledger(account.ledger)),
        ("environment", "Environment", _environment(account)),
        ("again", "How to run it again", _again(account)),
    ]
    if account.left_out:
        sections.append(("left-out", "What is left out", _list(account.left_out)))
    foot = f"Written by <code>alexnet report</code>, version {__version__}."
    return html.page(f"Report of {account.name}", _head(account), sections, foot)


def _head(account: Account) -> str:
    classes = f", {len(account.classes):,} classes" if account.classes else ""
    kind = f"{account.net} on {account.data or 'data that are not named'}{classes}"
    result = result_of(account.measured[0]) if account.measured else "No error is measured yet."
    return "\n".join(
        [
            f"<h1>{escape(account.name)}</h1>",
            html.paragraph(kind, style="kind"),
            html.paragraph(result, style="result"),
            html.paragraph(account.state),
            html.pairs(account.facts),
        ]
    )


def _recipe(account: Account) -> str:
    changed = [each for each in account.settings if each.differs]
    name = escape(account.recipe_name)
    rows = [
        (
            f"<code>{escape(s.name)}</code> <small>{escape(s.meaning)}</small>",
            escape(s.value),
            escape(s.usual),
        )
        for s in changed
    ]
    parts = []
    if rows:
        header = ("field", "this run", name)
        caption = f"In {len(rows)} fields the run differs from <code>--recipe {name}</code>"
        parts.append(html.table(header, rows, caption=caption, style="settings"))
    else:
        parts.append(f"<p>The run has <code>--recipe {name}</code> as it is.</p>")
    every = [
        (
            f"<code>{escape(s.name)}</code>{' &ne;' if s.differs else ''}",
            f"<b>{escape(s.value)}</b>" if s.differs else escape(s.value),
            escape(s.usual),
        )
        for s in account.settings
    ]
    caption = f"Every field; &ne; marks those that differ from {name}"
    table = html.table(("field", "this run", name), every, caption=caption)
    parts.append(html.folded(f"All {len(every)} fields", table))
    return "\n".join(parts)


# ---- Curves -------------------------------------------------------------------------------------


def _has_curves(journal: Sequence[dict[str, Any]]) -> bool:
    return any(line["kind"] in ("train", "validation") for line in journal)


def thin(journal: Sequence[dict[str, Any]], most: int = MOST_POINTS) -> list[dict[str, Any]]:
    """Replace lines of training by the means of neighbours, so that `most` are left."""
    lines = [line for line in journal if line["kind"] == "train"]
    others = [line for line in journal if line["kind"] != "train"]
    if len(lines) <= most:
        return list(journal)
    bounds = np.linspace(0, len(lines), most + 1).round().astype(int).tolist()
    means = []
    for first, last in pairwise(bounds):
        some = lines[first:last]
        losses = [x["loss"] for x in some if isinstance(x.get("loss"), int | float)]
        mean = {"loss": sum(losses) / len(losses)} if losses else {}
        means.append(some[-1] | mean)
    return sorted(means + others, key=lambda line: line["step"])


def _curves(account: Account) -> str:
    lines = sum(line["kind"] == "train" for line in account.journal)
    figure = draw_curves(thin(account.journal), "")
    figure.set_size_inches(*CURVE_SIZE)
    alt = "Learning curves: loss, validation error and rate over the updates; the table has numbers"
    caption = "Loss of training and validation, validation errors, and the rate over the updates."
    if lines > MOST_POINTS:
        caption += f" Of {lines:,} lines of the journal means are drawn."
    parts = [html.figure(html.drawing(figure, "curves", alt), caption)]
    tests = [line for line in account.journal if line["kind"] == "validation"]
    if tests:
        rows = [
            (
                _whole(line, "step"),
                _number(line, "epoch", "{:.2f}"),
                _number(line, "loss", "{:.3f}"),
                _share(line, "top1_error"),
                _share(line, "top5_error"),
            )
            for line in tests
        ]
        header = ("update", "epoch", "loss", "top-1", "top-5")
        table = html.table(header, rows, caption="Loss and errors of each validation", left=0)
        table = table.replace('<th scope="row">', '<th scope="row" class="number">')
        fits = len(rows) <= MOST_LINES
        parts.append(table if fits else html.folded(f"All {len(rows)} validations", table))
    return "\n".join(parts)


def _number(line: dict[str, Any], key: str, form: str) -> str:
    value = line.get(key)
    return form.format(value) if isinstance(value, int | float) else "&ndash;"


def _whole(line: dict[str, Any], key: str) -> str:
    return _number(line, key, "{:,}")


def _share(line: dict[str, Any], key: str) -> str:
    value = line.get(key)
    return percent(value, 2) if isinstance(value, int | float) else "&ndash;"


# ---- Kernels ------------------------------------------------------------------------------------


def _kernels(first: FirstKernels) -> str:
    coloured = first.kernels.shape[1] == 3
    size = f"{first.kernels.shape[2]} x {first.kernels.shape[3]}"
    measured = specialisation(first.kernels, first.columns) if coloured else None
    parts = []
    for number, kernels in enumerate(first.kernels.chunk(first.columns)):
        title = f"Column {number + 1} of {first.columns}: " if first.columns > 1 else ""
        title += f"{len(kernels)} kernels of {first.layer}, {size} pixels"
        if measured:
            title += f", colourfulness {measured.colourfulness[number]:.2f}"
        sheet = kernel_sheet([signed(kernel) for kernel in kernels])
        content = html.image(sheet, title, style="pixels")
        parts.append(html.figure(content, escape(title)))
    text = "Each kernel is scaled by its own largest weight; middle gray is 0."
    if measured:
        text += (
            " Colourfulness is the share of a kernel's energy that gray pictures do not see: 0 for "
            f"gray alone, 1 for colour alone, {RANDOM_COLOURFULNESS:.2f} for random weights."
        )
    if measured and first.columns > 1:
        said = describe(measured)
        text += f" {said[:1].upper()}{said[1:]}."
    return "\n".join([*parts, html.paragraph(text, style="note")])


def kernel_sheet(images: Sequence[Image]) -> Image:
    """Put enlarged kernels beside each other; what is between them is transparent.

    Shapes:  images (h, w, 3) -> (rows, columns, 4) RGBA.
    """
    times = max(1, round(KERNEL_SIDE / images[0].shape[0]))
    large = [image.repeat(times, 0).repeat(times, 1) for image in images]
    across = min(ACROSS, len(large))
    sheet = tile(large, across, gap=4)
    taken = tile([np.zeros_like(image) for image in large], across, gap=4)
    if rest := -len(large) % across:  # the last row's empty places are white like the gaps
        assert (taken[-1, -rest * (large[0].shape[1] + 4) :] == 255).all()
    return np.concatenate([sheet, 255 - taken[..., :1]], axis=2)


# ---- Data, machine, commands --------------------------------------------------------------------


def _ledger(ledger: Ledger) -> str:
    parts = [html.pairs(ledger.facts)]
    if ledger.changes:
        parts += ["<h3>Changes that were accepted</h3>", _list(ledger.changes)]
    if ledger.lines:
        keys = ("listed", "used", "skipped", "refused", "not_reached")
        rows = [
            (
                "statistics" if line["kind"] == "statistics" else _number(line, "epoch", "{:.2f}"),
                *(_whole(line, key) for key in keys),
            )
            for line in ledger.lines
        ]
        caption = (
            "What became of the pictures to train on, by epoch: listed = used + skipped + refused "
            "+ not reached"
        )
        header = ("epoch", *(key.replace("_", " ") for key in keys))
        table = html.table(header, rows, caption=caption)
        fits = len(rows) <= MOST_LINES
        parts.append(table if fits else html.folded(f"All {len(rows)} lines", table))
    if ledger.bad:
        rows = [(escape(path), escape(reason)) for path, reason in ledger.bad.items()]
        caption = f"Pictures that could not be read: {len(rows):,}"
        table = html.table(("picture", "reason"), rows, caption=caption, left=2, style="names")
        fits = len(rows) <= MOST_LINES
        parts.append(table if fits else html.folded(caption, table))
    else:
        parts.append(html.paragraph("No picture is known that could not be read."))
    return "\n".join(parts)


def _environment(account: Account) -> str:
    text = (
        "A run does not write down what it ran on. This is where and when the report was made, "
        "which may be another machine and another version."
    )
    return html.paragraph(text, style="note") + "\n" + html.pairs(account.environment)


def _again(account: Account) -> str:
    parts = [html.paragraph(account.repeats)]
    for purpose, command in account.commands:
        parts.append(f"{html.paragraph(purpose, style='note')}")
        parts.append(f"<pre><code>{escape(command)}</code></pre>")
    return "\n".join(parts)


def _list(sentences: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape(text)}</li>" for text in sentences)
    return f'<ul class="note">\n{items}\n</ul>'
