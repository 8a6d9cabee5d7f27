"""The loader: its order, its positions, its cache, and pictures that cannot be read."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from alexnet.data.folder import DataError, Listing, list_folder
from alexnet.data.image import Picture, decode_file, fit_square
from alexnet.data.loader import Batch, Loader, Share, batch_bounds, derive_seed, epoch_order
from tests.conftest import MakePictures

SIDE = 16


@pytest.fixture
def listing(pictures: MakePictures) -> Listing:
    """Make 21 small pictures of three classes."""
    return list_folder(pictures(per_class=7, size=24))


def loader_of(
    listing: Listing, batch_size: int = 5, *, workers: int = 2, cache_bytes: int = 2**20
) -> Loader:
    return Loader(listing, batch_size, SIDE, workers=workers, cache_bytes=cache_bytes)


def break_files(listing: Listing, positions: Sequence[int]) -> list[str]:
    """Overwrite pictures with text and return their paths."""
    for position in positions:
        (listing.root / listing.paths[position]).write_bytes(b"no picture")
    return [listing.paths[position] for position in positions]


def same(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.pictures.equal(b.pictures)
        and a.labels.equal(b.labels)
        and a.indices.equal(b.indices)
        and a.end == b.end
        for a, b in zip(one, other, strict=True)
    )


def indices_of(batches: Sequence[Batch]) -> list[int]:
    return torch.cat([batch.indices for batch in batches]).tolist()


# ---- Order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_batches_depend_on_seed_and_epoch_and_not_on_threads_or_memory(
    listing: Listing, workers: int, cache_bytes: int
) -> None:
    expected = list(loader_of(listing).epoch(2, seed=9))
    loader = loader_of(listing, workers=workers, cache_bytes=cache_bytes)
    assert same(list(loader.epoch(2, seed=9)), expected)
    assert indices_of(expected) == epoch_order(21, 2, 9).tolist()
    torch.manual_seed(3)
    assert same(list(loader.epoch(2, seed=9)), expected)  # again, from memory or from disk


def test_other_seeds_and_other_epochs_have_other_orders() -> None:
    orders = {tuple(epoch_order(30, epoch, seed).tolist()) for epoch in range(5) for seed in (0, 1)}
    assert len(orders) == 10
    assert all(sorted(order) == list(range(30)) for order in orders)


def test_an_order_is_the_same_on_every_machine() -> None:
    # A change of these numbers would change every training that is resumed.
    assert (
        derive_seed(0, "order", 0)
        == int.from_bytes(bytes.fromhex("6dcae06b2febca6e"), "little") >> 1
    )
    assert epoch_order(8, 0, 0).tolist() == [5, 1, 7, 0, 3, 6, 2, 4]


def test_seeds_of_different_uses_differ_and_are_no_negative_numbers() -> None:
    uses = [("order", 0), ("order", 1), ("crops", 0), ("order", "1", 0), ("order", 10)]
    seeds = [derive_seed(seed, *use) for seed in (0, 1) for use in uses]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_picture_comes_once_with_its_own_pixels_and_label(listing: Listing) -> None:
    batches = list(loader_of(listing).epoch(0, seed=1))
    assert sorted(indices_of(batches)) == list(range(21))
    for batch in batches:
        assert batch.pictures.dtype == torch.uint8
        for picture, label, index in zip(
            batch.pictures, batch.labels.tolist(), batch.indices.tolist(), strict=True
        ):
            path = listing.root / listing.paths[index]
            expected = fit_square(decode_file(path, at_least=SIDE), SIDE)
            assert picture.equal(torch.from_numpy(expected))
            assert label == listing.labels[index]


def test_without_a_seed_the_order_is_that_of_the_listing(listing: Listing) -> None:
    for epoch in (0, 3):
        batches = list(loader_of(listing).epoch(epoch, seed=None))
        assert indices_of(batches) == list(range(21))
        assert [batch.end for batch in batches] == [4, 8, 12, 16, 21]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 129, 1000])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 128, 5000])
def test_batches_are_as_few_as_possible_and_differ_by_one_picture_at_most(
    count: int, batch_size: int
) -> None:
    bounds = batch_bounds(count, batch_size)
    sizes = [end - begin for begin, end in bounds]
    assert [i for begin, end in bounds for i in range(begin, end)] == list(range(count))
    assert max(sizes, default=0) <= batch_size
    assert (len(sizes) - 1) * batch_size < count or count == 0
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


def test_the_last_batch_is_whole_and_ends_the_epoch(listing: Listing) -> None:
    batches = list(loader_of(listing, 20).epoch(0, seed=1))
    assert [len(batch.labels) for batch in batches] == [10, 11]
    assert [batch.end for batch in batches] == [10, 21]


# ---- Position -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_an_epoch_goes_on_from_any_batch_as_if_it_had_not_stopped(
    listing: Listing, cache_bytes: int
) -> None:
    whole = list(loader_of(listing).epoch(4, seed=2))
    for done, batch in enumerate(whole, start=1):
        loader = loader_of(listing, workers=1, cache_bytes=cache_bytes)
        assert same(list(loader.epoch(4, seed=2, start=batch.end)), whole[done:])


def test_a_position_inside_a_batch_leaves_the_rest_of_it(listing: Listing) -> None:
    whole = list(loader_of(listing).epoch(0, seed=2))
    batches = list(loader_of(listing).epoch(0, seed=2, start=whole[0].end + 2))
    assert indices_of(batches) == indices_of(whole)[whole[0].end + 2 :]
    assert batches[0].end == whole[1].end
    assert same(batches[1:], whole[2:])


def test_an_epoch_that_is_left_early_can_be_read_again(listing: Listing) -> None:
    loader = loader_of(listing)
    expected = list(loader_of(listing).epoch(0, seed=1))
    batches = loader.epoch(0, seed=1)
    assert same([next(batches)], expected[:1])
    batches.close()  # type: ignore[attr-defined]
    assert same(list(loader.epoch(0, seed=1)), expected)


# ---- Memory -------------------------------------------------------------------------------------


def test_pictures_are_kept_only_if_all_of_them_fit(listing: Listing) -> None:
    needed = 21 * SIDE * SIDE * 3
    kept, not_kept = (loader_of(listing, cache_bytes=n) for n in (needed, needed - 1))
    assert (kept.keeps_pictures, kept.cached_bytes) == (True, needed)
    assert (not_kept.keeps_pictures, not_kept.cached_bytes) == (False, 0)


def test_kept_pictures_are_not_read_from_disk_again(listing: Listing) -> None:
    kept, not_kept = (loader_of(listing, cache_bytes=n) for n in (2**20, 0))
    first = [list(loader.epoch(0, seed=1)) for loader in (kept, not_kept)]
    for path in listing.paths:
        (listing.root / path).unlink()
    assert same(list(kept.epoch(0, seed=1)), first[0])
    assert not kept.bad
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(not_kept.epoch(0, seed=1))


def test_a_batch_may_be_changed_without_changing_what_is_kept(listing: Listing) -> None:
    loader = loader_of(listing)
    for batch in loader.epoch(0, seed=1):
        batch.pictures.zero_()
    assert same(list(loader.epoch(0, seed=1)), list(loader_of(listing).epoch(0, seed=1)))


# ---- Pictures that cannot be read ---------------------------------------------------------------


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_bad_picture_is_named_skipped_and_still_counted_in_the_position(
    listing: Listing, cache_bytes: int
) -> None:
    whole = list(loader_of(listing).epoch(0, seed=1))
    (path,) = break_files(listing, [8])
    loader = loader_of(listing, cache_bytes=cache_bytes)
    for _ in range(2):  # the second time it is known
        batches = list(loader.epoch(0, seed=1))
        assert indices_of(batches) == [i for i in indices_of(whole) if i != 8]
        assert [batch.end for batch in batches] == [batch.end for batch in whole]
        for batch, before in zip(batches, whole, strict=True):
            good = before.indices != 8
            assert batch.pictures.equal(before.pictures[good])
            assert batch.labels.equal(before.labels[good])
        assert list(loader.bad) == [path]
        assert loader.bad[path].startswith("this is no known picture")


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_batch_of_bad_pictures_is_empty_and_still_moves_on(
    listing: Listing, cache_bytes: int
) -> None:
    break_files(listing, [3])
    loader = loader_of(listing, batch_size=1, cache_bytes=cache_bytes)
    batches = list(loader.epoch(0, seed=None))
    assert [len(batch.labels) for batch in batches] == [1, 1, 1, 0] + [1] * 17
    assert [batch.end for batch in batches] == list(range(1, 22))
    empty = batches[3].pictures
    assert (tuple(empty.shape), empty.dtype) == ((0, SIDE, SIDE, 3), torch.uint8)


def test_the_second_bad_picture_of_a_small_set_stops_and_names_both(listing: Listing) -> None:
    paths = break_files(listing, [8, 15])
    loader = loader_of(listing, workers=1)
    with pytest.raises(DataError, match="2 of 21 pictures cannot be read, more than 1 %") as caught:
        list(loader.epoch(0, seed=None))
    for path in paths:
        assert f"{path}: this is no known picture" in str(caught.value)
    assert str(caught.value).endswith("; repair or remove them")


@pytest.mark.parametrize(("count", "bad", "stops"), [(200, 2, False), (200, 3, True)])
def test_more_than_one_percent_of_bad_pictures_stop(
    listing: Listing, tmp_path: Path, count: int, bad: int, stops: bool
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    good = str((listing.root / listing.paths[0]).relative_to(tmp_path))
    (tmp_path / "more").mkdir()
    names = [f"more/{number}.jpg" for number in range(bad)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    many = replace(
        listing,
        root=tmp_path,
        paths=(*names, *[good] * (count - bad)),
        labels=(0,) * count,
    )
    loader = loader_of(many, 50)
    if stops:
        with pytest.raises(DataError, match=f"{bad} of 200 pictures cannot be read, more than 1 %"):
            list(loader.epoch(0, seed=0))
    else:
        assert len(indices_of(list(loader.epoch(0, seed=0)))) == count - bad
    assert loader.bad == dict.fromkeys(names, "the file is empty")


def test_only_five_of_many_bad_pictures_are_named(listing: Listing) -> None:
    loader = loader_of(listing)
    loader.bad.update({f"known/{number}.jpg": "torn" for number in range(9)})
    break_files(listing, [0])
    with pytest.raises(DataError, match="10 of 21 pictures") as caught:
        list(loader.epoch(0, seed=None))
    assert re.findall(r"known/\d.jpg: torn", str(caught.value)) == [
        f"known/{number}.jpg: torn" for number in range(5)
    ]


def test_asked_to_stop_the_first_bad_picture_stops(listing: Listing) -> None:
    (path,) = break_files(listing, [8])
    loader = replace(loader_of(listing), on_bad_image="stop", bad={})
    with pytest.raises(DataError) as caught:
        list(loader.epoch(0, seed=1))
    assert str(caught.value).startswith(f"{path}: this is no known picture")
    assert str(caught.value).endswith("; remove the file, or go on with --on-bad-image skip")


def test_a_file_that_is_gone_is_a_bad_picture(listing: Listing) -> None:
    (listing.root / listing.paths[0]).unlink()
    loader = loader_of(listing)
    assert len(indices_of(list(loader.epoch(0, seed=1)))) == 20
    assert loader.bad == {listing.paths[0]: "cannot be read: No such file or directory"}


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("out of threads"), MemoryError()])
def test_a_fault_that_is_not_the_pictures_stops_and_names_it(
    listing: Listing, monkeypatch: pytest.MonkeyPatch, error: Exception, workers: int
) -> None:
    real = Listing.pixels

    def pixels(self: Listing, index: int, *, at_least: int) -> Picture:
        if index == 11:
            raise error
        return real(self, index, at_least=at_least)

    monkeypatch.setattr(Listing, "pixels", pixels)
    loader = loader_of(listing, workers=workers)
    batches = loader.epoch(0, seed=None)
    assert len(next(batches).labels) == 4
    message = f"{listing.paths[11]} was not read, for a reason that is none of the picture's: "
    with pytest.raises(RuntimeError, match=re.escape(message + type(error).__name__)):
        list(batches)
    assert not loader.bad  # the picture is not blamed


def test_labels_are_those_of_the_listing(listing: Listing) -> None:
    labels: list[Tensor] = [batch.labels for batch in loader_of(listing).epoch(0, seed=None)]
    assert torch.cat(labels).tolist() == [0] * 7 + [1] * 7 + [2] * 7


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_shares_side_by_side_are_the_whole_batches(listing: Listing, parts: int) -> None:
    whole = list(loader_of(listing).epoch(1, seed=3, start=5))
    shares = [
        list(replace(loader_of(listing), share=Share(part, parts)).epoch(1, seed=3, start=5))
        for part in range(parts)
    ]
    for batch, *own in zip(whole, *shares, strict=True):
        assert [each.end for each in own] == [batch.end] * parts
        assert torch.equal(torch.cat([each.indices for each in own]), batch.indices)
        assert torch.equal(torch.cat([each.pictures for each in own]), batch.pictures)
        counts = [len(each.labels) for each in own]
        assert max(counts) - min(counts) <= 1
