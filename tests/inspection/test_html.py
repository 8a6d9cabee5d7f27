"""Pieces of a page: nothing of a name is markup, and pictures survive."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from alexnet.inspection import html
from alexnet.inspection.panels import BLUE, new_figure
from tests.inspection.accounts import HOSTILE, Page, whole


def test_names_are_escaped_within_text_and_quotes() -> None:
    assert html.escape(HOSTILE) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert html.escape("\"'&\x00") == "&quot;&#x27;&amp;\ufffd"
    picture = html.image(np.zeros((4, 5, 3), np.uint8), '" onerror="x')
    assert Page(picture.encode()).all("img")[0]["alt"] == '" onerror="x'


@pytest.mark.parametrize(
    ("shape", "kind"), [((12, 9, 3), "png"), ((70, 90, 3), "jpeg"), ((70, 90, 4), "png")]
)
def test_a_picture_within_the_page_is_the_picture(shape: tuple[int, ...], kind: str) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    given = np.stack([y, x, x + y, 255 - y][: shape[2]], axis=2).astype(np.uint8)
    head, _, data = html.picture_uri(given).partition(",")
    assert head == f"data:image/{kind};base64"
    found = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    tolerance = 4 if kind == "jpeg" else 0  # JPEG at quality 82
    np.testing.assert_allclose(found.astype(int), given.astype(int), rtol=0, atol=tolerance)


def test_a_drawing_takes_the_pages_colours_and_letters() -> None:
    pytest.importorskip("matplotlib")
    svg = one_line()
    page = Page(svg.encode())
    assert page.all("svg")[0]["aria-label"] == 'curves & "more"'
    assert page.all("svg")[0]["viewbox"] == "0 0 144 144"
    assert "a < b" in page.words
    assert "stroke: var(--blue)" in svg
    assert "#000000" not in svg
    assert svg == one_line()


def one_line() -> str:
    figure = new_figure(2, 2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=BLUE)
    axes.set_xlabel("a < b")
    return html.drawing(figure, "one", 'curves & "more"')


def test_a_table_names_its_rows_and_columns() -> None:
    text = html.table(("class", "wrong"), [("a", "1"), ("b", "2")], caption="Errors <b>now</b>")
    page = Page(text.encode())
    assert [each["scope"] for each in page.all("th")] == ["col", "col", "row", "row"]
    assert [each.get("class") for each in page.all("td")] == ["number", "number"]
    assert page.all("div")[0]["aria-label"] == "Errors now"


def test_a_page_stands_alone_and_forbids_scripts() -> None:
    sections = [("one", "First & last", html.paragraph(HOSTILE))]
    page = whole(html.page(HOSTILE, "<h1>x</h1>", sections, "end"))
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none';")
    assert page.words.count(HOSTILE) == 2
    assert page.words.count("First & last") == 2
