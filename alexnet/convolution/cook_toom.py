"""The matrices of Winograd's convolution F(m, r), and how large its rounding errors get.

F(m, r) makes m outputs of a kernel of r taps from t = m + r - 1 inputs with t products instead of
m * r:

    y[i] = sum over j of g[j] * d[i + j]     =>     y = A^T [(G g) * (B^T d)]

It is Toom's and Cook's multiplication of polynomials, transposed: A and G evaluate polynomials of
degrees m - 1 and r - 1 at t - 1 points and at infinity, the transpose of B^T finds the product's
coefficients from its values there. With p the points and L(x) the product of all (x - p):

    A[k] = 1, p[k], p[k]^2, ...      G[k] the same, / the product of all other (p[k] - p)
    B^T[k] = the coefficients of L(x) / (x - p[k]); of L(x) itself for infinity

Source: Winograd, Arithmetic Complexity of Computations, 1980; Lavin & Gray 2016, section 4. Points
for t = 6 and 8 are those of Barabasz et al. 2020, Error Analysis and Improving the Accuracy of
Winograd Convolution for Deep Neural Networks; that points come in fours, c, -1/c, -c and 1/c, is in
Alam et al. 2022, Winograd Convolution for Deep Neural Networks: Efficient Point Selection; which
fours follow is our search's. (With t = 6 the points 0, +-5/8 and +-13/8 have errors smaller by an
eighth, and a B^T of larger numbers: see native/cook_toom.h.)

Each row k may be scaled in the three matrices if the scales' product is 1. Ours makes B^T whole
numbers without common factor, and A's largest entry of a row at least 1 and below 2; scaling by
powers of two moves no rounding, for which reason nothing is balanced further. Along an axis with
m = 1 or r = 1 there is nothing to save: there the definition itself is written as A, G and B.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

Row = tuple[Fraction, ...]
Matrix = tuple[Row, ...]

FOURFOLD = (Fraction(1, 2), Fraction(3, 4), Fraction(1, 4), Fraction(7, 8), Fraction(3, 8))
"""After 0, 1 and -1 each of these gives the points a, -1/a, -a and 1/a. The order was searched for
the least `typical_growth` at t = 9 ... 24 among fractions of denominators to 8."""


class Matrices(NamedTuple):
    """A, G and B as tensors."""

    a: Tensor
    g: Tensor
    b: Tensor


@dataclass(frozen=True)
class Transform:
    """F(m, r): y = A^T [(G g) * (B^T d)], exactly."""

    m: int
    """Outputs of a tile."""
    r: int
    """Taps of the kernel."""
    a: Matrix
    """A, t rows of m."""
    g: Matrix
    """G, t rows of r."""
    b: Matrix
    """B, t rows of t; its columns are the rows of B^T."""

    @property
    def t(self) -> int:
        """Return the inputs of a tile, which are also its products."""
        return len(self.b)

    @property
    def b_rows(self) -> Matrix:
        """Return B^T."""
        return tuple(zip(*self.b, strict=True))

    def matrices(self, dtype: torch.dtype, device: torch.device) -> Matrices:
        """Return A (t, m), G (t, r) and B (t, t), each entry rounded to the type."""
        return Matrices(
            *(
                torch.tensor(
                    [[float(each) for each in row] for row in rows], dtype=dtype, device=device
                )
                for rows in (self.a, self.g, self.b)
            )
        )


def points(count: int) -> Row:
    """Return the points to evaluate at besides infinity: 0, 1, -1, 1/2, -2, -1/2, 2, ..."""
    return tuple(itertools.islice(_points(), count))


@cache
def transform(m: int, r: int) -> Transform:
    """Return F(m, r) by our points.

    Raises: ValueError if m or r is below 1.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}) has no outputs or no taps; both must be at least 1")
    return transform_at(points(m + r - 2), m, r)


def transform_at(at: Sequence[Fraction], m: int, r: int) -> Transform:
    """Return F(m, r) by these m + r - 2 points and infinity; no two may be equal."""
    t = m + r - 1
    identity = tuple(tuple(Fraction(int(i == j)) for j in range(t)) for i in range(t))
    ones = ((Fraction(1),),) * t
    if m == 1:
        return Transform(m, r, ones, identity, identity)
    if r == 1:
        return Transform(m, r, identity, ones, identity)
    rows = [_row_of(k, at, m, r) for k in range(t)]
    a, g, b_rows = zip(*rows, strict=True)
    return Transform(m, r, a, g, tuple(zip(*b_rows, strict=True)))


def error_bound(m: Sequence[int], r: Sequence[int], *, terms: int, dtype: torch.dtype) -> float:
    """Return what no error of nested F(m, r) exceeds, relative to max|x| * sum of |w|.

        |computed - y| <= u N / (1 - u N) * growth * max|x| * max over k of sum of |w[k]|

    where u is the type's unit roundoff; growth, a product over the axes, is the largest of all
    sum over k of |A[k, i]| |G[k, j]| sum(|B^T[k]|); and N is the number of roundings on the longest
    way from an input to an output: additions and multiplications of three transforms an axis, the
    rounding of entries that the type does not hold, and `terms`, the products that are added up for
    one output in each place of the tile. That is the channels of a group for a convolution, its
    kernels for the gradient of the input, and pictures times tiles for the gradient of the weights,
    where r outputs are made with m taps: error_bound(r, m, ...), relative to max|x| * sum of |dy|.

    It holds for any order of the sums, while nothing overflows or underflows. Random errors cancel:
    they stay some hundred times below along one axis, and thousands of times along two, or a
    hundred thousand with hundreds of channels. See `expected_error` for what is met.
    Source:  Barabasz et al. 2020, with maxima over entries instead of norms of the matrices; no
             scaling of rows changes them. Higham 2002, lemma 3.1, for the roundings.
    """
    roundings, growth = terms, 1.0
    for outputs, taps in zip(m, r, strict=True):
        roundings += _roundings(outputs, taps, dtype)
        growth *= _errors(outputs, taps).worst
    small = roundings * torch.finfo(dtype).eps / 2
    return growth * small / (1 - small) if small < 1 else math.inf


def expected_error(m: Sequence[int], r: Sequence[int], *, terms: int, dtype: torch.dtype) -> float:
    """Return the error to expect of nested F(m, r), relative to the output, both root mean squares.

        0.42 u * growth * sqrt(terms / 2 + 1 + sum over axes and matrices of nonzeros a row / 2)

    It is meant for inputs and weights that are independent of each other with a mean of 0, as if
    each rounding were random with 0.42 of a unit roundoff (uniform errors, uniform logarithms). A
    sum of n terms is rounded n times at half of its final square on average. Sums that are taken in
    blocks have less: with many terms this is too large by up to the root of a block's number.
    Parameters are those of `error_bound`.
    """
    roundings, growth = terms / 2 + 1, 1.0
    for outputs, taps in zip(m, r, strict=True):
        each = _errors(outputs, taps)
        roundings += each.nonzeros / 2
        growth *= each.typical
    return 0.42 * torch.finfo(dtype).eps / 2 * growth * math.sqrt(roundings)


def worst_growth(each: Transform) -> float:
    """Return how far above max|d| * sum of |g| the numbers are that a tile's outputs come from.

    max over i, j of sum over k of |A[k, i]| |G[k, j]| sum(|B^T[k]|)
    """
    b_sums = [sum(map(abs, row)) for row in each.b_rows]
    every = list(zip(each.a, each.g, b_sums, strict=True))
    sums = (
        sum(abs(a[i] * g[j]) * b for a, g, b in every) for i in range(each.m) for j in range(each.r)
    )
    return float(max(sums))


def typical_growth(each: Transform) -> float:
    """Return the same for random numbers, beside the outputs' root mean square.

    sqrt(max over i of sum over k of A[k, i]^2 sum(G[k]^2) sum(B^T[k]^2) / r)
    """
    weights = [_square(g) * _square(b) for g, b in zip(each.g, each.b_rows, strict=True)]
    sums = (
        sum(a[i] ** 2 * weight for a, weight in zip(each.a, weights, strict=True))
        for i in range(each.m)
    )
    return math.sqrt(max(sums) / each.r)


def _points() -> Iterator[Fraction]:
    yield from (Fraction(0), Fraction(1), Fraction(-1))
    further = (
        Fraction(a, b) for b in itertools.count(3) for a in range(1, b) if math.gcd(a, b) < 2
    )
    for a in itertools.chain(FOURFOLD, (each for each in further if each not in FOURFOLD)):
        yield from (a, -1 / a, -a, 1 / a)


def _row_of(k: int, at: Sequence[Fraction], m: int, r: int) -> tuple[Row, Row, Row]:
    """Return row k of A, G and B^T; that of infinity is the last."""
    others = [p for j, p in enumerate(at) if j != k]
    polynomial = _polynomial(others)
    if k == len(at):
        a, g, scale = _unit(m), _unit(r), Fraction(1)
    else:
        a, g = (tuple(at[k] ** i for i in range(count)) for count in (m, r))
        scale = math.prod((at[k] - p for p in others), start=Fraction(1))
    whole = math.lcm(*(each.denominator for each in polynomial))
    shared = math.gcd(*(int(each * whole) for each in polynomial))
    to_a = 1 / _power_of_two(max(map(abs, a)))
    to_b = Fraction(whole, shared) * (-1 if scale < 0 else 1)
    b = (*polynomial, *[Fraction(0)] * (m + r - 1 - len(polynomial)))
    return _times(to_a, a), _times(1 / (scale * to_a * to_b), g), _times(to_b, b)


def _unit(count: int) -> Row:
    """Return a power at infinity: none but the highest counts."""
    return (*[Fraction(0)] * (count - 1), Fraction(1))


def _polynomial(roots: Iterable[Fraction]) -> Row:
    """Return the coefficients, lowest first, of the product of all (x - root)."""
    found: Row = (Fraction(1),)
    for root in roots:
        raised, lowered = (Fraction(0), *found), (*_times(-root, found), Fraction(0))
        found = tuple(up + low for up, low in zip(raised, lowered, strict=True))
    return found


def _times(factor: Fraction, row: Row) -> Row:
    return tuple(factor * each for each in row)


def _power_of_two(value: Fraction) -> Fraction:
    """Return the largest power of two that is not above the value."""
    power = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length())
    return power if power <= value else power / 2


def _applied(each: Transform) -> tuple[Matrix, Matrix, Matrix]:
    """Return A^T, G and B^T: a row for each number that they make."""
    return tuple(zip(*each.a, strict=True)), each.g, each.b_rows


class _Errors(NamedTuple):
    """What the errors of F(m, r) come from."""

    worst: float
    typical: float
    nonzeros: int
    """Of the fullest rows of A^T, G and B^T."""


@cache
def _errors(m: int, r: int) -> _Errors:
    each = transform(m, r)
    nonzeros = sum(max(map(_nonzeros, rows)) for rows in _applied(each))
    return _Errors(worst_growth(each), typical_growth(each), nonzeros)


@cache
def _roundings(m: int, r: int, dtype: torch.dtype) -> int:
    """Return how often a number is rounded at most on the way through the three matrices."""
    return sum(
        max(
            _nonzeros(row) - 1 + (not all(map(_is_shift, row))) + (not all(_holds(dtype, row)))
            for row in rows
        )
        for rows in _applied(transform(m, r))
    )


def _holds(dtype: torch.dtype, row: Row) -> Iterator[bool]:
    rounded = torch.tensor([float(each) for each in row], dtype=dtype).tolist()
    return (Fraction(value) == each for value, each in zip(rounded, row, strict=True))


def _is_shift(value: Fraction) -> bool:
    return value == 0 or abs(value) == _power_of_two(abs(value))


def _nonzeros(row: Row) -> int:
    return sum(map(bool, row))


def _square(row: Row) -> Fraction:
    return sum((each**2 for each in row), start=Fraction(0))
