"""Where a share or a mean lies, given what was seen of it: 95 % intervals.

Source:  Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference". Unlike
         the share plus and minus its deviation it stays within 0 and 1, and has a width at 0
         errors. Student 1908, "The Probable Error of a Mean".
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

DEVIATIONS = 1.959963984540054
"""Standard deviations to each side of the mean that hold 95 % of a normal distribution."""


def wilson(errors: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which `errors` of `count` were seen.

        (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n),   p = errors / n

    Of nothing seen it is all from 0 to 1.

    Raises:  ValueError if there are more errors than pictures, or fewer than none.
    """
    if not 0 <= errors <= count:
        raise ValueError(f"{errors} errors of {count} pictures; give from 0 to all of them")
    if not count:
        return 0.0, 1.0
    share, square = errors / count, DEVIATIONS**2
    middle = share + square / (2 * count)
    half = DEVIATIONS * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    whole = 1 + square / count
    low = 0.0 if errors == 0 else (middle - half) / whole  # exactly so but for the rounding
    high = 1.0 if errors == count else (middle + half) / whole
    return low, high


T = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""Student's t for 95 %, by degrees of freedom from 1; the last serves for more, a little wide."""


class Mean(NamedTuple):
    """A mean and how far to each side of it the true one may lie."""

    value: float
    half_width: float | None
    """Of the 95 % interval; None of one value, which tells nothing of how far others lie."""


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of independent values with its 95 % interval.

        mean -+ t(n - 1) * s / sqrt(n),   s^2 = sum (x - mean)^2 / (n - 1)

    Raises:  ValueError if there is no value.
    """
    if not values:
        raise ValueError("there is no value to take the mean of")
    mean = math.fsum(values) / len(values)
    freedom = len(values) - 1
    if not freedom:
        return Mean(mean, None)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / freedom)
    return Mean(mean, T[min(freedom, len(T)) - 1] * deviation / math.sqrt(len(values)))
