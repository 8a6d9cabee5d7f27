"""The page: its size, its shell, and the views Classify and Tested, in Chromium."""

import gzip
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from tests.serve.browser import no_violations, visit
from tests.serve.live import Live

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MOST_BYTES = 150_000
VIEWS = ("classify", "tested")


def test_the_page_is_small() -> None:
    static = files("alexnet.serve") / "static"
    assert sum(len(gzip.compress(file.read_bytes())) for file in static.iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_wrong(browser: "Browser", served: Live, view: str, dark: bool) -> None:
    with visit(browser, served.port, f"#/{view}", dark=dark) as page:
        page.wait_for_selector(".lead:not(:empty)")
        no_violations(page)
