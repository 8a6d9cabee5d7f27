"""Means with their intervals, beside scipy's."""

import numpy as np
import pytest
from scipy import stats

from alexnet.evaluation.interval import T, mean_of


@pytest.mark.parametrize("count", [2, 3, 5, 12, 31])
def test_an_interval_is_the_one_of_students_test(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 2, count).tolist()
    mean = mean_of(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean.half_width is not None
    assert mean.value - mean.half_width == pytest.approx(low, rel=1e-4)
    assert mean.value + mean.half_width == pytest.approx(high, rel=1e-4)


def test_the_table_is_students() -> None:
    assert pytest.approx([stats.t.ppf(0.975, n + 1) for n in range(30)], abs=5e-5) == list(T)


def test_beyond_the_table_an_interval_is_a_little_wide() -> None:
    values = list(range(101))
    low, _ = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    half_width = mean_of(values).half_width
    assert half_width is not None
    assert 1 < half_width / (50 - low) < 1.04


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert mean_of([0.25]) == (0.25, None)
    with pytest.raises(ValueError, match="there is no value to take the mean of"):
        mean_of([])
