"""A bound on work that no clock gives: a clock would measure the machine's other work too."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(most: int) -> Iterator[None]:
    """Hold a block to a number of calls, of functions in Python and of those in C."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
    assert calls < most, f"{calls:,} calls"
