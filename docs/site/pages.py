"""The site's pages that are no .md files in docs/: README, the tour, sources that pages point to.

MkDocs (mkdocs.yml, `hooks`) calls `on_files` before it reads the pages, and `on_page_markdown` for
each. A link that leaves docs/ leads to a page that shows the file; what is on GitHub a link into
docs/ is one to the page beside it. A link to what is not there ends the build.
"""

import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))  # MkDocs runs this file by its path

from docs.site.notebook import to_markdown  # noqa: E402

DOCS, ROOT = FOLDER.parent, FOLDER.parents[1]
LINK = re.compile(r"(?P<before>\]\()(?P<path>[^)#:\s]+)(?P<after>(#[^)]*)?\))")
OVERVIEW = "overview.md"
"""README.md in the site; MkDocs would take that name for the first page."""
SOURCES = "source"
"""Folder of the site for files from outside docs/."""
KINDS = {".py": "python", ".cpp": "cpp", ".h": "cpp", ".toml": "toml", ".yml": "yaml"}


def generated_pages(root: Path = ROOT) -> dict[str, str | bytes]:
    """Return what the site has besides the files of docs/: path in the site -> content."""
    docs = root / "docs"
    pages: dict[str, str | bytes] = {OVERVIEW: (root / "README.md").read_text("utf-8")}
    for page in sorted(docs.glob("*.md")):
        for each in LINK.finditer(page.read_text("utf-8")):
            path = posixpath.normpath(posixpath.join("docs", each["path"]))
            if not path.startswith("docs/") and (root / path).is_file() and path != "README.md":
                text = (root / path).read_text("utf-8")
                kind = KINDS.get(Path(path).suffix, "text")
                pages[f"{SOURCES}/{path}.md"] = f"# {path}\n\n~~~~{kind}\n{text}~~~~\n"
    tour = docs / "tour.ipynb"
    if tour.is_file():
        text, pictures = to_markdown(json.loads(tour.read_text("utf-8")), "tour")
        pages |= {"tour.md": text, **pictures}
    return pages


def site_links(markdown: str, name: str) -> str:
    """Return a page's text with its links as the site has them; `name` is the page's path there.

    Links of README.md, here `OVERVIEW`, are meant from the root of the repository, all others from
    docs/.
    """
    folder = "" if name == OVERVIEW else "docs"

    def moved(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        if path.startswith("docs/"):
            path = path.removeprefix("docs/")
        elif path != "README.md":
            path = f"{SOURCES}/{path}.md"
        path = {"README.md": OVERVIEW, "tour.ipynb": "tour.md"}.get(path, path)
        return f"{link['before']}{path}{link['after']}"

    return markdown if name.startswith(SOURCES) else LINK.sub(moved, markdown)


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages to the files of the site."""
    from mkdocs.structure.files import File

    for name, content in generated_pages().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Turn a page's links."""
    return site_links(markdown, page.file.src_uri)


def on_page_content(html: str, *, page: Any, config: Any, files: Any) -> str:
    """Let what scrolls sideways on a narrow screen be reached and scrolled by the keyboard."""
    return html.replace("<pre>", '<pre tabindex="0">').replace("<table>", '<table tabindex="0">')
