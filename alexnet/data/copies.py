"""Find the copies among many pictures without comparing each with each.

Signatures that differ in at most 10 of 64 bits are candidates. Of four quarters of 16 bits one
then differs by at most 2, mostly by at most 1: pictures are sorted by each quarter and looked up
there under its value and the 16 values one bit away. Few candidates are left, and those are looked
at: first kept thumbnails, then, of what is still alike, the pictures themselves, decoded again.
Source:  the look-up is multi-index hashing (Norouzi, Punjani and Fleet 2012, section 3).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alexnet.data.alike import ALIKE, COARSE, FINE, Cells

MOST_BITS = 10
MOST_PAIRS, SPARE_PAIRS = 5, 100_000
"""Candidates that are compared, per picture and besides; Imagenette has 0.02 per picture."""
_QUARTERS = tuple(np.uint64(shift) for shift in (0, 16, 32, 48))
_FLIPS = (0, *(1 << bit for bit in range(16)))
_AT_ONCE = 100_000
_PAIRS_AT_ONCE = 4096

Fetch = Callable[[int], Cells | None]
Indices = NDArray[np.int64]
Pairs = NDArray[np.int64]


@dataclass
class Groups:
    """Pictures sorted into groups that grow together."""

    of: Indices
    """(N,) the group of each picture: the position of one of its members."""
    scores: dict[int, float] = field(default_factory=dict)
    """The least score by which members of a group were joined; no entry is 1."""

    @classmethod
    def apart(cls, count: int) -> "Groups":
        """Put each picture into a group of its own."""
        return cls(np.arange(count))

    def find(self, index: int) -> int:
        """Return the group that a picture is in now."""
        while self.of[index] != index:
            self.of[index] = self.of[self.of[index]]
            index = int(self.of[index])
        return index

    def join(self, left: int, right: int, *, score: float = 1.0) -> None:
        """Make the groups of two pictures one."""
        kept, gone = sorted((self.find(left), self.find(right)))
        self.of[gone] = kept
        self.scores[kept] = min(score, *(self.scores.get(group, 1.0) for group in (kept, gone)))

    def settle(self) -> None:
        """Let `of` name the groups themselves, for looking up many at once."""
        while (self.of[self.of] != self.of).any():
            self.of = self.of[self.of]

    def several(self, *, within: "Groups | None" = None) -> list[Indices]:
        """Return the members of each group of at least two, or of two groups `within` it."""
        self.settle()
        counted = np.arange(len(self.of)) if within is None else np.unique(within.of)
        roots, counts = np.unique(self.of[counted], return_counts=True)
        wanted = np.isin(self.of, roots[counts > 1])
        members = np.flatnonzero(wanted)
        members = members[np.argsort(self.of[members], kind="stable")]
        starts = np.flatnonzero(np.diff(self.of[members])) + 1
        return np.split(members, starts) if len(members) else []


def group_equal(digests: NDArray[np.uint8], known: NDArray[np.bool_]) -> Groups:
    """Group pictures by digest.

    Shapes:  digests (N, 16), known (N,): false where there is none -> Groups of N
    """
    groups = Groups.apart(len(digests))
    places = np.flatnonzero(known)
    keys = np.ascontiguousarray(digests[places]).view(np.dtype((np.void, digests.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    groups.of[places] = places[first[inverse]]
    return groups


def near_pairs(signatures: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Yield pairs of pictures of which one's signatures are near the other's first.

    Shapes:  (N, 3) -> (P, 2) each; a pair may come again with another signature
    """
    for quarter, shift in enumerate(_QUARTERS):
        keys = _read(signatures[:, 0], shift)
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(0x10001))
        whole = signatures[order, 0]
        for number in range(signatures.shape[1]):
            # Asked in the order of the keys, what lies close together is read together.
            asking = np.argsort(_read(signatures[:, number], shift), kind="stable")
            asked = signatures[asking, number]
            for flip in _FLIPS:
                target = _read(asked, shift) ^ flip
                for left, right in _ranges(starts[target], starts[target + 1]):
                    difference = asked[left] ^ whole[right]
                    near = np.flatnonzero(np.bitwise_count(difference) <= MOST_BITS)
                    near = near[~_met_before(difference[near], quarter)]
                    pairs = np.stack([asking[left[near]], order[right[near]]], axis=1)
                    once = pairs[:, 0] < pairs[:, 1] if number == 0 else pairs[:, 0] != pairs[:, 1]
                    if once.any():
                        yield pairs[once]


def _read(signatures: NDArray[np.uint64], shift: np.uint64) -> Indices:
    return ((signatures >> shift) & np.uint64(0xFFFF)).astype(np.int64)


def _met_before(difference: NDArray[np.uint64], quarter: int) -> NDArray[np.bool_]:
    """Whether an earlier quarter has led to a pair that differs like this."""
    met = np.zeros(len(difference), bool)
    for shift in _QUARTERS[:quarter]:
        met |= np.bitwise_count(_read(difference, shift)) <= 1
    return met


def _ranges(starts: Indices, ends: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Write out ranges as pairs (position of the range, element), some millions at a time."""
    counts = ends - starts
    total = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        before = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, before + _AT_ONCE, side="right")))
        some = counts[begin:end]
        left = np.repeat(np.arange(begin, end), some)
        inside = np.arange(len(left)) - np.repeat(total[begin:end] - some - before, some)
        yield left, starts[left] + inside
        begin = end


@dataclass
class Search:
    """Looks for pictures that look alike and joins their groups."""

    groups: Groups
    """What is known to be alike; grows."""
    signatures: NDArray[np.uint64]
    """(N, 3) of `alike.signatures`."""
    kept: NDArray[np.uint8]
    """(N, 16, 16) of `alike.shrink`."""
    fetch: Fetch
    """Decodes a picture again; None if it cannot be read any more."""
    compared: int = 0
    """Pairs whose thumbnails were compared."""
    stopped: bool = False
    """Whether there were more candidates than can be compared; the rest was left."""

    def run(self, indices: Indices) -> None:
        """Search among these pictures."""
        # Equal signatures first, each with the next only: of a thousand frames of one film, one is
        # left for each signature, and not half a million pairs.
        order = indices[np.argsort(self.signatures[indices, 0], kind="stable")]
        follows = self.signatures[order[1:], 0] == self.signatures[order[:-1], 0]
        self._compare(np.stack([order[:-1], order[1:]], axis=1)[follows])
        self.groups.settle()
        named = np.stack([self.signatures[order, 0], self.groups.of[order].astype(np.uint64)])
        _, first = np.unique(named, axis=1, return_index=True)
        left = np.sort(order[first])
        most = MOST_PAIRS * len(left) + SPARE_PAIRS
        for pairs in near_pairs(self.signatures[left]):
            self._compare(left[pairs])
            if self.compared > most:
                self.stopped = True
                return

    def _compare(self, pairs: Pairs) -> None:
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            self.groups.settle()
            some = pairs[start : start + _PAIRS_AT_ONCE]
            some = some[self.groups.of[some[:, 0]] != self.groups.of[some[:, 1]]]
            self.compared += len(some)
            x, y = (self.kept[some[:, side]].astype(np.float32) for side in (0, 1))
            for left, right in some[COARSE(x, y) >= ALIKE].tolist():
                self._look(left, right)

    def _look(self, left: int, right: int) -> None:
        """Compare two pictures themselves, unless they have come together since."""
        if self.groups.find(left) == self.groups.find(right):
            return
        x, y = self.fetch(left), self.fetch(right)
        if x is None or y is None:
            return
        score = float(FINE(x[None], y[None])[0])
        if score >= ALIKE:
            self.groups.join(left, right, score=score)
