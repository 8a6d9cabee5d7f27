"""The page in a real browser: Chromium without a window, and what axe finds wrong with a page.

A test of the page takes the fixtures `served` (a server with real limits) and `browser`, both of a
module, and opens pages with `visit`. Playwright runs a loop of its own while a browser is open, so
the tests of such a module cannot call asyncio.run.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    "--disable-dev-shm-usage",  # containers have little of it
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
)
NO_RESOURCE = "Failed to load resource"
"""How Chromium tells of every answer from 400 on, which the page itself shows."""


@contextmanager
def open_browser() -> "Iterator[Browser]":
    """Open Chromium; it has a camera that is none.

    The test is skipped where there is no Playwright or no Chromium.
    """
    api = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("axe_playwright_python")
    path = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: "Browser",
    port: int,
    address: str = "",
    *,
    dark: bool = False,
    width: int = 1100,
    height: int = 900,
) -> "Iterator[Page]":
    """Open the page of a server at an address such as "#/classify?model=one".

    After the block: no script has failed, and nothing was asked from elsewhere.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    failed: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    own = (f"http://127.0.0.1:{port}/", "blob:", "data:")
    try:
        page.goto(f"http://127.0.0.1:{port}/{address}")
        yield page
    finally:
        context.close()
    assert [each for each in failed if not each.startswith(NO_RESOURCE)] == []
    assert [url for url in asked if not url.startswith(own)] == []


def violations(page: "Page") -> list[str]:
    """Return what axe finds wrong with a page as it is now, a line for each element."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in found
        for node in rule["nodes"]
    ]


def no_violations(page: "Page") -> None:
    """Assert that axe finds nothing wrong with a page as it is now."""
    found = violations(page)
    assert found == [], "\n".join(found)
