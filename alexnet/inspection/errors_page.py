"""The parts of a report that tell of errors: with intervals, by class, by pair, by picture."""

import math
from collections.abc import Sequence

from alexnet.evaluation.interval import wilson
from alexnet.evaluation.metrics import TOP, Counts
from alexnet.inspection import html
from alexnet.inspection.account import Account, Measured, Wrong, between, percent
from alexnet.inspection.curves import draw_confusion
from alexnet.inspection.html import escape

MOST_CELLS = 20
"""Classes up to which the confusion matrix is a table of numbers; a picture of colours beyond."""
MOST_CLASSES = 40
"""Classes up to which all stand in one table; beyond, the worst do and the others are folded."""
WORST = 20
MOST_PAIRS = 10
INTERVAL = "95&#8239;% interval"


def errors_part(account: Account) -> str:
    """Return the HTML of the errors with their intervals."""
    tables = []
    header = ("error", "wrong", "share", INTERVAL)
    for each in account.measured:
        counts = each.counts
        rows = [
            (
                kind,
                f"{wrong:,} of {counts.seen:,}",
                percent(counts.error(wrong), 2),
                between(wrong, counts.seen),
            )
            for kind, wrong in each.rows
        ]
        tables.append(html.table(header, rows, caption=escape(_opened(each.where))))
    first = account.measured[0].counts
    largest = max(seen for seen, _ in first.per_class().values())
    always = 1 - largest / max(first.seen, 1)
    remarks = (
        f"To name the largest class always would be wrong for {percent(always)}. "
        "The interval is Wilson's: pictures drawn anew from where these came from would give a "
        "share within it 95 times of 100; it tells nothing of pictures from elsewhere."
    )
    if len(account.classes) <= TOP:
        remarks += f" Of {len(account.classes)} classes the first five answers hold all."
    return "\n".join([*tables, html.paragraph(remarks, style="note")])


def _opened(text: str) -> str:
    return text[:1].upper() + text[1:]


def classes_part(measured: Measured) -> str:
    """Return the HTML of each class's error, the worst first."""
    rows = sorted(
        ((name, seen, wrong) for name, (seen, wrong) in measured.counts.per_class().items()),
        key=lambda row: -row[2] / row[1] if row[1] else 1,
    )
    top = max((wilson(wrong, seen)[1] for _, seen, wrong in rows if seen), default=1.0)
    caption = f"Errors of the first answer: {escape(measured.where)}"
    if len(rows) <= MOST_CLASSES:
        return _class_table(rows, top, f"{caption}; the worst first")
    worst = _class_table(rows[:WORST], top, f"{caption}; the {WORST} worst of {len(rows):,}")
    rest = _class_table(rows[WORST:], top, f"{caption}; the others")
    return f"{worst}\n{html.folded(f'The other {len(rows) - WORST:,} classes', rest)}"


def _class_table(rows: Sequence[tuple[str, int, int]], top: float, caption: str) -> str:
    cells = [
        (
            escape(name),
            f"{wrong:,} of {seen:,}",
            percent(wrong / seen) if seen else "&ndash;",
            between(wrong, seen) if seen else "&ndash;",
            _whisker(wrong, seen, top) if seen else "",
        )
        for name, seen, wrong in rows
    ]
    header = ("class", "wrong", "error", INTERVAL, f"0 to {percent(top, 0)}")
    table = html.table(header, cells, caption=caption, style="names")
    # the last column is a drawing of the two before it
    table = table.replace('<td class="number"><svg', '<td class="whisker"><svg')
    return table.replace(f'<th scope="col" class="number">{header[4]}', f"{_DRAWN}{header[4]}")


_DRAWN = '<th scope="col" class="whisker">'


def _whisker(wrong: int, seen: int, top: float) -> str:
    """Draw an error and its interval on a line that all classes share."""
    low, high = (100 * each / top for each in wilson(wrong, seen))
    at = 100 * wrong / seen / top
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="5" y2="5"/>'
        f'<rect x="{at - 0.9:.1f}" y="2" width="1.8" height="6"/></svg>'
    )


def confusion_part(measured: Measured) -> str:
    """Return the HTML of the confusion matrix and of the pairs that are confused most."""
    counts = measured.counts
    parts = [_cells(counts) if len(counts.classes) <= MOST_CELLS else _picture(counts)]
    pairs = _pairs(counts)
    if pairs:
        header = ("true class", "taken for", "pictures", "of the class")
        parts.append(html.table(header, pairs, caption="Confused most often", left=2))
    lost = int(counts.unanswered.sum())
    if lost:
        text = f"{lost:,} pictures have no finite answer; they stand in no cell and count as wrong."
        parts.append(html.paragraph(text, style="note"))
    return "\n".join(parts)


def _cells(counts: Counts) -> str:
    heads = [escape(name) for name in counts.classes]
    sums = counts.confusion.sum(1).clamp(min=1).tolist()
    lines = []
    for row, (name, cells) in enumerate(zip(heads, counts.confusion.tolist(), strict=True)):
        marked = "".join(
            _cell(cell, cell / sums[row], right=row == column) for column, cell in enumerate(cells)
        )
        lines.append(f'<tr><th scope="row">{name}</th>{marked}</tr>')
    header = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "\n".join(lines)
    caption = (
        "Pictures by true class (row) and first answer (column); the stronger the colour, the "
        "larger the share of the row. Right answers are outlined."
    )
    return (
        '<div class="scroll confusion" role="region" aria-label="Confusion matrix" tabindex="0">\n'
        f"<table>\n<caption><span>{caption}</span></caption>\n"
        f"<thead><tr><td></td>{header}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _cell(cell: int, share: float, *, right: bool) -> str:
    names = [
        *(["none"] if not cell else []),
        *(["strong"] if share > 0.5 else []),
        *(["right"] if right else []),
    ]
    shown = f' class="{" ".join(names)}"' if names else ""
    style = f' style="--strength:{math.sqrt(share):.2f}"' if cell else ""
    return f"<td{shown}{style}>{cell:,}</td>"


def _picture(counts: Counts) -> str:
    size = len(counts.classes)
    alt = f"Confusion matrix of {size:,} classes: true class by row, first answer by column"
    picture = html.plot(draw_confusion(counts, "Confusion"), alt)
    caption = "True class by row, first answer by column; the brighter, the larger the row's share."
    return html.figure(picture, caption)


def _pairs(counts: Counts) -> list[tuple[str, str, str, str]]:
    """Return the pairs of classes that are confused most, the most pictures first."""
    wrong = counts.confusion.clone()
    wrong.fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:MOST_PAIRS].tolist()
    pictures = counts.confusion.sum(1).tolist()
    rows = []
    for place in order:
        true, taken = divmod(place, len(counts.classes))
        count = int(wrong[true, taken])
        if count:
            names = escape(counts.classes[true]), escape(counts.classes[taken])
            rows.append((*names, f"{count:,}", percent(count / pictures[true])))
    return rows


def mistakes_part(wrong: Sequence[Wrong]) -> str:
    """Return the HTML of the surest wrong answers, each with what the net saw."""
    items = []
    for each in wrong:
        mistake, side = each.mistake, min(each.image.shape[:2])
        text = f"{mistake.picture}: taken for {mistake.answer}, is {mistake.truth}"
        style = "pixels" if side < html.SMALLEST_JPEG else ""
        caption = (
            f"<b>{escape(mistake.answer)}</b> {percent(mistake.probability)}<br>"
            f"is {escape(mistake.truth)} {percent(mistake.truth_probability)}"
            f"<small>{escape(mistake.picture)}</small>"
        )
        items.append(f"<li>{html.figure(html.image(each.image, text, style=style), caption)}</li>")
    text = (
        "Wrong first answers of the highest probability, the surest first: the answer, what is "
        "right, and the probability of either. The pictures are as the net saw them."
    )
    return f'{html.paragraph(text)}\n<ul class="mistakes">\n' + "\n".join(items) + "\n</ul>"
