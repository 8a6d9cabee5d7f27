"""The search for copies: against all pairs, and in groups that grow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from alexnet.data import copies
from alexnet.data.alike import Cells, shrink, signatures, thumbnail
from alexnet.data.copies import Groups, Search, group_equal, near_pairs
from tests.conftest import draw_picture


def clustered(count: int, seed: int) -> NDArray[np.uint64]:
    """Return signatures of which many differ from another's in a few bits."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**64, (max(count // 4, 1), 1), dtype=np.uint64)
    found = centres[random.integers(0, len(centres), count)].repeat(3, axis=1)
    for _ in range(6):
        found ^= np.uint64(1) << random.integers(0, 64, found.shape).astype(np.uint64)
    return found


def met(signatures: NDArray[np.uint64]) -> set[tuple[int, int]]:
    return {(left, right) for pairs in near_pairs(signatures) for left, right in pairs.tolist()}


@given(st.integers(0, 40), st.integers(0, 2**32), st.sampled_from([7, 100_000]))
@settings(max_examples=15, deadline=None)
def test_near_pairs_are_those_of_all_pairs_with_a_quarter_within_a_bit(
    count: int, seed: int, at_once: int
) -> None:
    found = clustered(count, seed)
    expected = set()
    for left in range(count):
        for right in range(count):
            for number in range(3):
                apart = int(found[left, number]) ^ int(found[right, 0])
                quarters = [(apart >> shift & 0xFFFF).bit_count() for shift in (0, 16, 32, 48)]
                new = left < right if number == 0 else left != right
                if new and apart.bit_count() <= 10 and min(quarters) <= 1:
                    expected.add((left, right))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "_AT_ONCE", at_once)
        assert met(found) == expected


def test_a_pair_comes_once_for_each_signature() -> None:
    same = np.full((2, 3), 12345, np.uint64)
    pairs = [tuple(pair) for found in near_pairs(same) for pair in found.tolist()]
    assert sorted(pairs) == [(0, 1)] * 3 + [(1, 0)] * 2


def test_equal_digests_make_groups_and_unknown_ones_none() -> None:
    digests = np.zeros((6, 16), np.uint8)
    digests[[1, 4]] = 7
    digests[[2, 3, 5], 15] = 9
    known = np.array([True, True, True, False, True, True])
    groups = group_equal(digests, known)
    assert [members.tolist() for members in groups.several()] == [[1, 4], [2, 5]]


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19), st.floats(0.5, 1))))
def test_groups_are_what_is_connected_with_the_least_score(
    joins: list[tuple[int, int, float]],
) -> None:
    groups, sets = Groups.apart(20), [({index}, [1.0]) for index in range(20)]
    for left, right, score in joins:
        groups.join(left, right, score=score)
        touched = [each for each in sets if each[0] & {left, right}]
        sets = [each for each in sets if not each[0] & {left, right}]
        sets.append(
            (set().union(*(e[0] for e in touched)), [s for e in touched for s in e[1]] + [score])
        )
    expected = sorted(
        (sorted(members), min(scores)) for members, scores in sets if len(members) > 1
    )
    found = [(m.tolist(), groups.scores[groups.find(int(m[0]))]) for m in groups.several()]
    assert sorted(found) == expected


def test_a_group_within_another_is_reported_where_it_grows() -> None:
    inner = Groups.apart(6)
    inner.join(0, 1)
    inner.join(4, 5)
    outer = Groups(inner.of.copy())
    outer.join(1, 2)
    assert [m.tolist() for m in outer.several()] == [[0, 1, 2], [4, 5]]
    assert [m.tolist() for m in outer.several(within=inner)] == [[0, 1, 2]]


def search(cells: list[Cells], gone: frozenset[int] = frozenset()) -> Search:
    return Search(
        Groups.apart(len(cells)),
        np.stack([signatures(each) for each in cells]),
        np.stack([shrink(each) for each in cells]),
        lambda index: None if index in gone else cells[index],
    )


def frames(count: int) -> list[Cells]:
    """Return thumbnails of one scene with a little noise each, and one of another scene."""
    random = np.random.default_rng(0)
    scene, other = (draw_picture(random, hue=0.1, shape="ring", size=64) for _ in range(2))
    noisy = [random.normal(0, 2, (32, 32)).astype(np.float32) for _ in range(count)]
    return [*(thumbnail(scene) + noise for noise in noisy), thumbnail(other)]


def test_a_search_joins_frames_of_a_scene_and_compares_few_pairs() -> None:
    looked = search(frames(100))
    looked.run(np.arange(101))
    assert [members.tolist() for members in looked.groups.several()] == [list(range(100))]
    assert looked.compared < 100 * 99 / 4


def test_a_picture_that_is_gone_is_joined_with_nothing() -> None:
    looked = search(frames(2), gone=frozenset([1]))
    looked.run(np.arange(3))
    assert looked.groups.several() == []


def test_a_search_leaves_out_what_it_is_not_asked_for() -> None:
    looked = search(frames(3))
    looked.run(np.array([0, 2, 3]))
    assert [members.tolist() for members in looked.groups.several()] == [[0, 2]]


def test_a_search_stops_when_too_many_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    # Signatures all near, thumbnails all different: as of scanned pages of one form.
    random = np.random.default_rng(0)
    cells = [random.uniform(0, 255, (32, 32)).astype(np.float32) for _ in range(40)]
    looked = search(cells)
    looked.signatures[:] = (np.uint64(1) << np.arange(40, dtype=np.uint64))[:, None]
    monkeypatch.setattr(copies, "SPARE_PAIRS", 100)
    looked.run(np.arange(40))
    assert looked.stopped
    assert looked.groups.several() == []
