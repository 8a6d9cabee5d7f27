"""Processes for ranks, shared by all tests."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.parallel.ranks import processes


@pytest.fixture(scope="session")
def pool() -> Iterator[ProcessPoolExecutor]:
    with processes() as started:
        yield started
