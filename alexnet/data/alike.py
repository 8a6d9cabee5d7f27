"""When two pictures look alike: copies that were recompressed, resized, brightened or cropped.

A picture is scaled to 32 x 32 gray cells. The signs of 64 of its cosine coefficients make a
signature of 64 bits, in which copies differ by few and other pictures by about half. Of two
pictures with near signatures the coefficients themselves are compared, each times its frequency
(the spectrum of photographs falls with it, so that otherwise sky over land would equal any other
sky over land), and over windows of either picture, so that a crop is found.
Source:  signs of low cosine coefficients as in pHash (Zauner 2010); the weights, the windows and
         all limits are ours, set on Imagenette (benchmarks/look_alikes.py counts what is found).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from alexnet.data.image import Picture

SIDE, KEPT_SIDE = 32, 16
LEAST_SIDE = 2 * SIDE
"""Decode pictures with at least this shorter side for a thumbnail."""
INSETS = (0.0, 0.025, 0.05)
"""A signature each of the whole picture and of its middle, without these shares at every edge."""
FLAT = 2.0
"""Standard deviation of a thumbnail, in levels, below which a picture has nothing to compare."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Cells = NDArray[np.float32]
Scores = NDArray[np.float32]


def thumbnail(picture: Picture) -> Cells:
    """Average a picture's light over 32 x 32 cells; a smaller one repeats its pixels.

    Shapes:  (H, W, 3) uint8 -> (32, 32) float32, in [0, 255]
    """
    gray = torch.from_numpy(picture.astype(np.float32) @ _LUMA)
    cells: Cells = interpolate(gray[None, None], size=(SIDE, SIDE), mode="area")[0, 0].numpy()
    return cells


def shrink(cells: Cells) -> NDArray[np.uint8]:
    """Halve thumbnails for keeping.

    Shapes:  (..., 32, 32) -> (..., 16, 16) uint8
    """
    shape = (*cells.shape[:-2], KEPT_SIDE, 2, KEPT_SIDE, 2)
    halved: NDArray[np.uint8] = cells.reshape(shape).mean((-3, -1)).round().astype(np.uint8)
    return halved


def is_flat(cells: Cells) -> bool:
    """Whether a thumbnail is of nearly one colour, so that its signature would be chance."""
    return float(cells.std()) < FLAT


def signatures(cells: Cells) -> NDArray[np.uint64]:
    """Return 64 signs of cosine coefficients, of the whole picture and of its middles.

        bit k = (D T D')[u_k, v_k] > 0,  u_k^2 + v_k^2 the 64 smallest above 0

    Bits that lie side by side in frequency are dealt to the four quarters in turn, so that each
    quarter tells pictures apart about equally well.

    Shapes:  (32, 32) -> (3,)
    """
    found = [(turn @ cells @ turn.T)[_ROWS, _COLUMNS] > 0 for turn in _TURNS]
    return np.packbits(found, axis=1).view(np.uint64)[:, 0]


@dataclass(frozen=True)
class Likeness:
    """How alike two thumbnails are, at best over windows of one or the other."""

    side: int
    """Cells along a side of the thumbnails."""
    frequencies: int
    """Cosine coefficients that are compared, along a side."""
    cuts: tuple[float, ...]
    """Shares of the picture that a window may leave out at an edge; every combination is tried."""

    def __call__(self, x: Cells, y: Cells) -> Scores:
        """Compare pairs of thumbnails.

            score = max over windows w of  <f C(x_w), f C(y)> / (|f C(x_w)| |f C(y)|)

        and the same with x and y exchanged; C are the cosine coefficients, f their frequencies.

        Shapes:  (N, side, side), the same -> (N,), at most 1
        """
        runs = [slice(start, start + 64) for start in range(0, len(x), 64)]
        scores = [
            np.maximum(self._best(x[run], y[run]), self._best(y[run], x[run])) for run in runs
        ]
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def _best(self, x: Cells, y: Cells) -> Scores:
        turns, m, w = self._turns, self.frequencies, len(self.cuts) ** 2
        weight = np.hypot(*np.mgrid[:m, :m]).astype(np.float32)
        whole = (turns[:m] @ y @ turns[:m].T) * weight
        whole /= np.linalg.norm(whole, axis=(1, 2), keepdims=True) + 1e-9
        windows = (turns @ x @ turns.T).reshape(len(x), w, m, w, m) * weight[:, None, :]
        products = np.einsum("naubv,nuv->nab", windows, whole)
        sizes = np.sqrt(np.einsum("naubv,naubv->nab", windows, windows)) + 1e-9
        best: Scores = (products / sizes).max((1, 2))
        return best

    @cached_property
    def _turns(self) -> Cells:
        """Cosine transforms of every window along one axis, the whole first."""
        cosine = _cosine(self.side)[: self.frequencies]
        windows = [(low, 1 - high) for low in self.cuts for high in self.cuts]
        turns = [cosine @ _cut(self.side, low, high) for low, high in windows]
        return np.concatenate(turns).astype(np.float32)


def _cosine(size: int) -> NDArray[np.float64]:
    """Return the orthonormal cosine transform (DCT-II) as a matrix."""
    index = np.arange(size)
    matrix: NDArray[np.float64] = np.cos(np.pi * (index + 0.5) * index[:, None] / size)
    matrix *= np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix


def _cut(size: int, low: float, high: float) -> NDArray[np.float64]:
    """Return the matrix that averages the part [low, high] of `size` cells over `size` cells."""
    edges = np.linspace(low * size, high * size, size + 1)
    cells = np.arange(size)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    share = np.clip(overlap, 0, None)
    whole: NDArray[np.float64] = share / share.sum(1, keepdims=True)
    return whole


_FREQUENCIES = sorted(
    ((u, v) for u in range(12) for v in range(12) if u + v),
    key=lambda p: (p[0] ** 2 + p[1] ** 2, p),
)[:64]
_ROWS, _COLUMNS = (
    np.array([_FREQUENCIES[(bit % 16) * 4 + bit // 16][axis] for bit in range(64)])
    for axis in (0, 1)
)
_TURNS = [
    (_cosine(SIDE)[:12] @ _cut(SIDE, inset, 1 - inset)).astype(np.float32) for inset in INSETS
]

COARSE = Likeness(KEPT_SIDE, 8, (0.0, 0.03, 0.06, 0.09))
"""For kept thumbnails: it spares decoding again what is no copy, and lets every copy pass."""
FINE = Likeness(SIDE, 16, (0.0, 0.025, 0.05, 0.075, 0.1))
"""For whole thumbnails, of the pairs that passed the first."""
ALIKE = 0.93
"""Least score of two pictures that look alike: of Imagenette's candidates the best has 0.88, and 99
of 100 altered copies have 0.936 or more."""
