"""A page of HTML in one file: everything escaped, pictures within, no script, nothing fetched.

What a user can name, such as a class, goes through `escape`; functions whose results are HTML say
so. The page forbids scripts and whatever lies outside it by a Content-Security-Policy of its own.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import simplejpeg
from PIL import Image as Pillow

from alexnet.inspection.account import printable
from alexnet.inspection.page_style import STYLE
from alexnet.inspection.panels import BLUE, DOTS, GREY, ORANGE, Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_JPEG = 64
"""Pictures with a shorter side are PNG: JPEG's blocks would show."""
QUALITY = 82
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
COLOURS = {
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",
    "#e5e5e5": "var(--rule)",
    "#cccccc": "var(--rule)",
    BLUE.lower(): "var(--blue)",
    ORANGE.lower(): "var(--orange)",
    GREY.lower(): "var(--muted)",
}
"""Colours of figures -> those of the page, which has a light and a dark form."""
FIGURE_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")


def escape(text: object) -> str:
    """Return a text as HTML, also within quotes; what cannot be printed is shown as U+FFFD."""
    return html.escape(printable(str(text)), quote=True)


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of a media type as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture_uri(image: Image) -> str:
    """Return a picture as such an address: JPEG, or PNG if it is small or has four channels.

    Shapes:  image (H, W, 3) RGB or (H, W, 4) RGBA.
    """
    if min(image.shape[:2]) >= SMALLEST_JPEG and image.shape[2] == 3:
        return data_uri(
            simplejpeg.encode_jpeg(image.copy(), quality=QUALITY, colorspace="RGB"), "image/jpeg"
        )
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "png", optimize=True)
    return data_uri(file.getvalue(), "image/png")


def image(picture: Image, alt: str, *, style: str = "") -> str:
    """Return the HTML of a picture within the page."""
    height, width = picture.shape[:2]
    shown = f' class="{style}"' if style else ""
    return (
        f'<img src="{picture_uri(picture)}" width="{width}" height="{height}" '
        f'alt="{escape(alt)}"{shown}>'
    )


def drawing(figure: "Figure", name: str, alt: str) -> str:
    """Return the HTML of a figure as SVG: its letters the page's, its colours light and dark.

    `name` tells its parts from those of the page's other figures.
    """
    from matplotlib import rc_context

    data = io.BytesIO()
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(data, format="svg", metadata={"Date": None}, transparent=True)
    svg = data.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = FIGURE_COLOUR.sub(lambda c: COLOURS.get(c[0].lower(), c[0]), svg)
    svg = re.sub(r'id="(figure|axes|text|line2d|patch|legend|matplotlib)\w*"', "", svg)
    sizes = re.search(r'viewBox="0 0 [\d.]+ [\d.]+"', svg)
    assert sizes, "matplotlib's SVG has a view box"
    inside = svg[svg.index(">") + 1 :]
    return f'<svg class="plot" role="img" aria-label="{escape(alt)}" {sizes[0]}>{inside}'


def plot(figure: "Figure", alt: str) -> str:
    """Return the HTML of a figure as a picture of dots, dark on light whatever the page is."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DOTS, metadata={"Software": None})
    uri = data_uri(data.getvalue(), "image/png")
    return f'<img src="{uri}" alt="{escape(alt)}" class="paper">'


def figure(content: str, caption: str, *, style: str = "") -> str:
    """Return HTML with a caption, which is HTML too, below it."""
    shown = f' class="{style}"' if style else ""
    return f"<figure{shown}>\n{content}\n<figcaption>{caption}</figcaption>\n</figure>"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    left: int = 1,
    style: str = "",
) -> str:
    """Return a table of cells that are HTML; the first of a row names it.

    The first `left` columns are aligned left, the others are numbers. It scrolls by itself where
    the page is too narrow for it.
    """

    def mark(column: int) -> str:
        return "" if column < left else ' class="number"'

    heads = "".join(f'<th scope="col"{mark(i)}>{cell}</th>' for i, cell in enumerate(header))
    lines = []
    for row in rows:
        rest = "".join(f"<td{mark(i)}>{cell}</td>" for i, cell in enumerate(row[1:], start=1))
        lines.append(f'<tr><th scope="row">{row[0]}</th>{rest}</tr>')
    body = "\n".join(lines)
    shown = f' class="{style}"' if style else ""
    name = re.sub(r"<[^>]*>", "", caption)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0">\n'
        f"<table{shown}>\n<caption><span>{caption}</span></caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def pairs(items: Iterable[tuple[str, str]]) -> str:
    """Return names and values, both plain text, as a list of descriptions."""
    lines = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items)
    return "<dl>\n" + "\n".join(lines) + "\n</dl>"


def paragraph(text: str, *, style: str = "") -> str:
    """Return plain text as a paragraph."""
    shown = f' class="{style}"' if style else ""
    return f"<p{shown}>{escape(text)}</p>"


def folded(summary: str, content: str) -> str:
    """Return HTML that is folded away below a plain line until it is asked for; paper shows it."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{content}\n</details>"


def page(title: str, head: str, sections: Sequence[tuple[str, str, str]], foot: str) -> bytes:
    """Return the bytes of a page: a title (plain), and sections of (id, title, HTML).

    `head` and `foot` are HTML above the table of contents and below all.
    """
    contents = "\n".join(
        f'<li><a href="#{name}">{escape(heading)}</a></li>' for name, heading, _ in sections
    )
    body = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{escape(heading)}</h2>\n{content}\n</section>\n'
        for name, heading, content in sections
    )
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE}</style>
</head>
<body>
<header>
{head}
</header>
<nav aria-label="Contents">
<ol>
{contents}
</ol>
</nav>
<main>
{body}</main>
<footer>
{foot}
</footer>
</body>
</html>
"""
    return text.encode("utf-8", errors="replace")
