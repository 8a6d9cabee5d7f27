"""A census of pictures: what it holds, which changes it finds, and what it does not read."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import census
from alexnet.data.census import Census, Changes
from alexnet.data.folder import Listing, list_folder
from alexnet.data.idx import open_idx
from alexnet.data.image import ImageError
from alexnet.data.pictures import Pictures
from alexnet.data.shards import open_parts
from tests.conftest import MakePictures
from tests.data import test_idx
from tests.data.packed import pack


@pytest.fixture
def listing(pictures: MakePictures) -> Listing:
    return list_folder(pictures(per_class=3, size=16))


def take(pictures: Pictures) -> Census:
    return census.take(pictures, census.digests_of(pictures))


def test_it_holds_names_labels_digests_lengths_and_times(listing: Listing) -> None:
    taken = take(listing)
    assert taken.names == listing.paths
    assert taken.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    for path, digest, stamp in zip(listing.paths, taken.digests, taken.stamps, strict=True):
        data = (listing.root / path).read_bytes()
        expected = hashlib.sha256(data).digest()[:8]
        assert digest.tobytes() == expected
        assert stamp.tolist() == [len(data), (listing.root / path).stat().st_mtime_ns]


def test_parts_side_by_side_are_the_whole(listing: Listing) -> None:
    whole = census.digests_of(listing)
    parts = [census.digests_of(listing, part=part, parts=4) for part in range(4)]
    np.testing.assert_array_equal(sum(parts), whole)


def test_it_comes_back_from_its_tensors(listing: Listing) -> None:
    taken = take(listing)
    back = census.from_tensors(taken.tensors())
    assert back.names == taken.names
    for one, other in zip(
        (back.labels, back.digests, back.stamps),
        (taken.labels, taken.digests, taken.stamps),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other, strict=True)


def test_names_that_are_not_utf8_come_back_too(listing: Listing) -> None:
    odd = os.fsdecode(b"disc/caf\xe9.jpg")
    (listing.root / listing.paths[0]).rename(listing.root / odd)
    taken = take(list_folder(listing.root))
    assert odd in census.from_tensors(taken.tensors()).names


def overwrite(root: Path) -> None:
    (root / "disc" / "0001.jpg").write_bytes(b"other")


def turn_a_bit(root: Path) -> None:
    path = root / "disc" / "0001.jpg"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)


def remove(root: Path) -> None:
    (root / "disc" / "0001.jpg").unlink()


def add(root: Path) -> None:
    (root / "disc" / "0009.jpg").write_bytes(b"new")


def relabel(root: Path) -> None:
    (root / "disc").rename(root / "aside")
    (root / "cross").rename(root / "disc")
    (root / "aside").rename(root / "cross")


def touch(root: Path) -> None:
    for path in root.rglob("*.jpg"):
        os.utime(path, ns=(1, 1))


CHANGES: list[tuple[Callable[[Path], None], str]] = [
    (overwrite, "1 altered (disc/0001.jpg)"),
    (turn_a_bit, "1 altered (disc/0001.jpg)"),
    (remove, "1 missing (disc/0001.jpg)"),
    (add, "1 new (disc/0009.jpg)"),
    (relabel, "6 altered (cross/0000.jpg, cross/0001.jpg, cross/0002.jpg, and 3 more)"),
    (touch, ""),
]


@pytest.mark.parametrize(
    ("change", "text"), CHANGES, ids=lambda each: getattr(each, "__name__", "-")
)
def test_every_change_is_found_and_named(
    listing: Listing, change: Callable[[Path], None], text: str
) -> None:
    taken = take(listing)
    change(listing.root)
    changes = census.compare([taken], [list_folder(listing.root)])
    assert changes.describe() == text
    assert bool(changes) == bool(text)


def test_a_picture_that_moved_to_another_part_is_the_same(listing: Listing) -> None:
    whole = take(listing)
    halves = [
        Listing(listing.root, listing.classes, listing.paths[part], listing.labels[part])
        for part in (slice(4), slice(4, None))
    ]
    assert not census.compare([take(half) for half in halves], [listing])
    assert not census.compare([whole], halves)


def test_a_file_of_the_same_length_and_time_is_not_read(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take(listing)
    monkeypatch.setattr(census, "read_file", lambda path: pytest.fail(f"read {path}"))
    assert not census.compare([taken], [listing])


def test_changes_that_are_known_are_left_out() -> None:
    changes = Changes(["a", "b"], ["c", "d"], ["e", "f"])
    assert (
        changes.without({"a", "c", "e"}).describe() == "1 missing (d), 1 altered (f), 2 new (a, b)"
    )


# ---- Reading under watch ------------------------------------------------------------------------


def test_an_unchanged_picture_is_read_as_ever(listing: Listing) -> None:
    watched = census.watch(listing, take(listing))
    assert (watched.paths, watched.labels) == (listing.paths, listing.labels)
    assert (watched.classes, watched.notes, len(watched)) == (listing.classes, listing.notes, 9)
    expected = listing.pixels(4, at_least=16)
    np.testing.assert_array_equal(watched.pixels(4, at_least=16), expected, strict=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove, "is missing since the run began"),
        (overwrite, r"has changed since the run began: [\d,]+ bytes, now 5 bytes of other content"),
        (turn_a_bit, r"has changed since the run began: ([\d,]+) bytes, now \1 bytes of other"),
    ],
)
def test_a_picture_that_changes_is_refused_when_it_is_read(
    listing: Listing, change: Callable[[Path], None], message: str
) -> None:
    watched = census.watch(listing, take(listing))
    index = listing.paths.index("disc/0001.jpg")
    before = (listing.root / "disc" / "0001.jpg").stat().st_mtime_ns
    change(listing.root)
    if change is turn_a_bit:  # hidden from who looks at length and time
        os.utime(listing.root / "disc" / "0001.jpg", ns=(before, before))
        assert not census.compare([take(listing)], [listing])
    with pytest.raises(ImageError, match=message):
        watched.pixels(index, at_least=16)
    watched.pixels((index + 1) % 9, at_least=16)


def test_what_could_not_be_read_and_now_can_has_changed(listing: Listing) -> None:
    path = listing.root / listing.paths[0]
    data = path.read_bytes()
    path.unlink()
    watched = census.watch(listing, take(listing))
    path.write_bytes(data)
    with pytest.raises(ImageError, match="since the run began: it could not be read, now"):
        watched.pixels(0, at_least=16)


# ---- Forms where many pictures lie in one file --------------------------------------------------


def test_of_shards_the_digests_are_those_of_the_index(listing: Listing, tmp_path: Path) -> None:
    pack(listing.root, tmp_path / "shards")
    shards = open_parts(tmp_path / "shards")["train"]
    taken = take(shards)
    assert sorted(taken.digests) == sorted(take(listing).digests)  # both of the files' SHA-256
    assert taken.stamps.tolist() == [[-1, -1]] * 9
    assert census.watch(shards, taken) is shards
    assert census.as_before(shards, taken) is shards
    assert not census.compare([taken], [shards])


def test_of_arrays_the_digests_are_those_of_the_pixels(tmp_path: Path) -> None:
    test_idx.write(tmp_path / "idx")
    pictures = open_idx(tmp_path / "idx", fraction=0.1).train
    taken = take(pictures)
    expected = hashlib.sha256(pictures.pixels(3, at_least=1).tobytes()).digest()[:8]
    assert taken.digests[3].tobytes() == expected
    path = tmp_path / "idx" / "train-images-idx3-ubyte"
    data = bytearray(path.read_bytes())
    data[16 + 3 * 20] ^= 1
    path.write_bytes(data)
    again = open_idx(tmp_path / "idx", fraction=0.1).train
    changes = census.compare([taken], [again])
    assert changes.describe() == f"1 altered ({pictures.paths[3]})"


def test_as_before_is_the_listing_with_what_is_gone(listing: Listing) -> None:
    taken = take(listing)
    remove(listing.root)
    now = list_folder(listing.root)
    back = census.as_before(now, taken)
    assert (len(now), back) == (8, listing)
    assert census.as_before(listing, taken) is listing
