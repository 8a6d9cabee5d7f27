"""The site: its pages are there, its links lead somewhere, MkDocs builds it without a warning."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

import pytest

from alexnet.cli.exit_codes import EXIT_CODES
from alexnet.serve.app import ROUTES
from docs.site import codes, notebook, pages, routes
from tests.layout import ROOT

DOCS = ROOT / "docs"
FENCE = re.compile(r"^(```|~~~~).*?^\1$", re.MULTILINE | re.DOTALL)
NAV = re.compile(r"(?P<page>[\w-]+\.md)$", re.MULTILINE)


def site() -> dict[str, str]:
    """Return the text of every page by its path in the site."""
    found = {path.name: path.read_text("utf-8") for path in DOCS.glob("*.md")}
    made = {name: text for name, text in pages.generated_pages().items() if isinstance(text, str)}
    return {name: pages.site_links(text, name) for name, text in (found | made).items()}


def anchors(text: str) -> set[str]:
    """Return what the headings of a page are called in an address."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in titles]
    return {re.sub(r"[\s-]+", "-", title) for title in plain}


def test_every_link_of_every_page_leads_to_a_page_a_file_or_a_heading() -> None:
    texts, lost = site(), []
    made = pages.generated_pages()
    for name, text in texts.items():
        if name.startswith("source/"):
            continue
        for link in re.finditer(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", FENCE.sub("", text)):
            path, anchor = link[1] or name, link[2]
            if path not in texts and path not in made and not (DOCS / path).is_file():
                lost.append(f"{name}: {path}")
            elif anchor and anchor not in anchors(texts[path]):
                lost.append(f"{name}: {path}#{anchor}")
    assert not lost


def test_every_page_stands_in_the_menu_once() -> None:
    named = NAV.findall((ROOT / "mkdocs.yml").read_text("utf-8"))
    shown = {name for name in site() if not name.startswith("source/")}
    assert sorted(named) == sorted(shown)


def test_every_code_is_explained_as_the_command_line_explains_it() -> None:
    assert (DOCS / "errors.md").read_text("utf-8") == codes.page(), (
        "python -m docs.site.codes > docs/errors.md"
    )
    assert f"\n## 75: {EXIT_CODES[75].name}\n" in codes.page()


def test_every_route_of_the_server_stands_in_the_table() -> None:
    text = (DOCS / "serve.md").read_text("utf-8")
    rows = re.findall(r"^\| `((?:GET|POST) \S+)` \|", text, re.MULTILINE)
    assert rows == [f"{entry.method} {entry.path}" for entry in ROUTES], routes.table()
    assert re.findall(r"^\| `((?:GET|POST) \S+)` \|", routes.table(), re.MULTILINE) == rows


def test_links_are_turned_to_where_pages_are_in_the_site() -> None:
    text = "[a](docs/caffe.md) [b](docs/RESULTS.md#kernels) [c](https://x.org/d) [d](#here)"
    assert pages.site_links(text, pages.OVERVIEW) == (
        "[a](caffe.md) [b](RESULTS.md#kernels) [c](https://x.org/d) [d](#here)"
    )
    text = "[a](caffe.md) [b](../README.md) [c](tour.ipynb) [d](../alexnet/store.py)"
    assert pages.site_links(text, "index.md") == (
        "[a](caffe.md) [b](overview.md) [c](tour.md) [d](source/alexnet/store.py.md)"
    )
    assert pages.site_links(text, "source/alexnet/store.py.md") == text


def test_a_source_that_a_page_points_to_becomes_a_page(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "docs" / "b.md").write_text("[a](../a.py) [gone](../gone.py) [up](../README.md)")
    assert pages.generated_pages(tmp_path) == {
        "overview.md": "hello",
        "source/a.py.md": "# a.py\n\n~~~~python\nx = 1\n~~~~\n",
    }


def test_a_notebook_becomes_a_page_with_its_pictures() -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {
            "output_type": "execute_result",
            "data": {"image/png": base64.b64encode(b"PNG").decode(), "text/plain": ["a tree"]},
        },
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# T\n", "words"]},
        {"cell_type": "code", "source": ["f(1)"], "outputs": outputs},
    ]
    text, pictures = notebook.to_markdown({"cells": cells}, "tour")
    assert text == (
        "# T\nwords\n\n```python\nf(1)\n```\n\n```text\none\ntwo\n```\n\n![a tree](tour/1.png)\n"
    )
    assert pictures == {"tour/1.png": b"PNG"}


class Outside(HTMLParser):
    """Collects what a page would fetch from another place."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at what the browser fetches by itself."""
        for name, value in attributes:
            fetched = name == "src" or (name == "href" and tag == "link")
            if fetched and value and re.match("(https?:)?//", value):
                self.found.append(value)


def test_it_is_built_strictly_and_fetches_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the site needs alexnet[docs]")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    assert config.strict
    build(config)  # a warning ends it
    built = {
        str(PurePosixPath(each.relative_to(tmp_path / "site"))) for each in tmp_path.rglob("*.html")
    }
    assert built >= {name.replace(".md", ".html") for name in site()}
    for page in ("index.html", "tour.html", "overview.html"):
        reader = Outside()
        reader.feed((tmp_path / "site" / page).read_text("utf-8"))
        assert not reader.found
    text = (tmp_path / "site" / "serve.html").read_text("utf-8")
    assert not re.search("<pre(?! tabindex)", text)  # the keyboard scrolls them
    assert text.count('<table tabindex="0">') == 3
    index = json.loads((tmp_path / "site" / "search" / "search_index.json").read_text("utf-8"))
    assert "Retry-After" in " ".join(each["text"] for each in index["docs"])
    assert not [name for name in built if name.startswith("site/pages")]
