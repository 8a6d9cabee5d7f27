"""Wilson's interval is that of all shares from which what was seen is not too unlikely."""

import numpy as np
import pytest

from alexnet.evaluation.interval import DEVIATIONS, wilson


@pytest.mark.parametrize(("errors", "count"), [(0, 7), (1, 10), (5, 10), (129, 3925), (40, 40)])
def test_the_ends_are_where_the_share_seen_is_so_many_deviations_off(
    errors: int, count: int
) -> None:
    seen, square = errors / count, DEVIATIONS**2
    # (seen - p)^2 = z^2 p (1 - p) / n, a polynomial in p
    roots = np.sort(np.roots([1 + square / count, -2 * seen - square / count, seen**2]).real)
    np.testing.assert_allclose(wilson(errors, count), roots, rtol=0, atol=1e-7)  # a double root


def test_an_interval_has_a_width_at_no_errors_and_covers_all_of_nothing() -> None:
    low, high = wilson(0, 100)
    assert low == 0
    assert 0.03 < high < 0.04
    least, most = wilson(100, 100)
    assert most == 1
    assert least == pytest.approx(1 - high)
    assert wilson(0, 0) == (0.0, 1.0)


def test_impossible_counts_are_refused() -> None:
    for errors in (-1, 11):
        with pytest.raises(ValueError, match=f"{errors} errors of 10 pictures; give from 0 to"):
            wilson(errors, 10)
