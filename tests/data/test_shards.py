"""Shards as a set of pictures: the same as their folder, and nothing damaged passes."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alexnet.data import shards
from alexnet.data.folder import DataError, list_folder, split_folder
from alexnet.data.image import ImageError
from alexnet.data.loader import Loader
from alexnet.data.pack_options import PackOptions
from alexnet.data.pictures import Pictures
from alexnet.data.shard_index import INDEX
from alexnet.data.shards import PACKING, is_shards, open_parts, open_shards, select
from alexnet.data.tar_file import END, member_bytes
from tests.conftest import MakePictures
from tests.data.packed import SMALL, flip, pack


@pytest.fixture
def folder(pictures: MakePictures) -> Path:
    """Make 21 pictures of three classes."""
    return pictures(per_class=7, size=24)


@pytest.fixture
def packed(folder: Path) -> Path:
    """Pack them into shards."""
    out = folder.parent / "packed"
    pack(folder, out, PackOptions(shard_mb=0.01))
    return out


def test_shards_train_a_net_just_as_their_folder(folder: Path, packed: Path) -> None:
    listing = list_folder(folder)
    offered: Pictures = open_parts(packed)["train"]
    assert len(list(packed.glob("*.tar"))) > 3
    assert (offered.classes, offered.paths) == (listing.classes, listing.paths)
    assert (offered.labels, offered.notes) == (listing.labels, ())
    assert len(offered) == 21
    for one, other in zip(
        Loader(listing, 5, 16, workers=1).epoch(1, seed=3),
        Loader(offered, 5, 16, workers=4, cache_bytes=0).epoch(1, seed=3),
        strict=True,
    ):
        assert torch.equal(one.pictures, other.pictures)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.indices, other.indices)


def test_shards_are_split_just_as_their_folder(folder: Path, packed: Path) -> None:
    os.link(folder / "disc" / "0001.jpg", folder / "cross" / "same.jpg")
    again = folder.parent / "again"
    pack(folder, again)
    wanted = split_folder(folder, fraction=0.3)
    found = open_shards(again, fraction=0.3)
    assert (found.rule, found.notes) == (wanted.rule, wanted.notes)
    assert found.notes == ("1 pictures stand in several classes",)
    assert found.train.paths == wanted.train.paths
    assert found.validation.paths == wanted.validation.paths
    assert found.validation.labels == wanted.validation.labels


def test_parts_of_train_and_val_are_kept_apart(pictures: MakePictures) -> None:
    pictures("set/train", per_class=3)
    root = pictures("set/val", classes=["disc", "cross"], per_class=2, seed=1).parent
    pack(root, root.parent / "packed")
    split = open_shards(root.parent / "packed")
    assert split.rule == "the shards' parts train and val"
    assert (len(split.train), len(split.validation)) == (9, 4)
    assert split.validation.classes == split.train.classes == ("cross", "disc", "square")
    assert split.notes == ("validation lacks 'square'",)
    wanted = list_folder(root / "val", classes=split.train.classes)
    assert split.validation.paths == wanted.paths
    first = split.validation.data(0)
    assert first == (root / "val" / wanted.paths[0]).read_bytes()
    assert split.validation.size(0) == len(first)


def test_any_thread_may_read_any_picture(
    folder: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MOST_MAPS", 2)
    offered = open_parts(packed)["train"]
    wanted = [(folder / path).read_bytes() for path in offered.paths]
    places = np.random.default_rng(0).integers(0, 21, 500).tolist()
    with ThreadPoolExecutor(8) as pool:  # more threads than shards, and than maps
        found = list(pool.map(offered.data, places))
    assert found == [wanted[place] for place in places]
    assert len(offered.maps._maps) <= 2


def test_every_flip_in_a_picture_is_found_when_it_is_read(packed: Path) -> None:
    offered = open_parts(packed)["train"]
    row = offered.rows[4]
    path = packed / offered.maps.names[int(row["shard"])]
    first, length = int(row["offset"]), int(row["length"])
    for position in range(first, first + length, 7):
        flip(path, position, position % 8)
        with pytest.raises(ImageError, match=rf"damaged in {path.name} at byte {first}: its check"):
            offered.pixels(4, at_least=16)
        flip(path, position, position % 8)
    assert offered.pixels(4, at_least=16).shape[2] == 3


def test_a_shard_that_is_cut_or_goes_while_it_is_read_is_named(packed: Path) -> None:
    offered = open_parts(packed)["train"]
    offered.data(0)
    name = offered.maps.names[int(offered.rows["shard"][0])]
    os.truncate(packed / name, 600)
    with pytest.raises(ImageError, match=f"{name} ends before byte"):
        offered.data(0)
    fresh = select(offered, np.arange(21) == 1)
    other = offered.maps.names[int(fresh.rows["shard"][0])]
    fresh.maps._maps.clear()
    (packed / other).unlink()
    with pytest.raises(ImageError, match=f"{other} cannot be read: .*No such file"):
        fresh.data(0)


def test_the_loader_passes_over_a_damaged_picture_and_names_it(packed: Path) -> None:
    offered = open_parts(packed)["train"]
    shard, offset = int(offered.rows["shard"][7]), int(offered.rows["offset"][7])
    flip(packed / offered.maps.names[shard], offset + 20)
    loader = Loader(offered, 8, 16, workers=2)
    assert sum(len(batch.labels) for batch in loader.epoch(0, seed=0)) == 20
    assert list(loader.bad) == [offered.paths[7]]


def test_places_with_shards_are_known(folder: Path, packed: Path, tmp_path: Path) -> None:
    assert is_shards(packed)
    assert is_shards(packed / "train-000000.tar")
    (tmp_path / "begun" / PACKING).mkdir(parents=True)
    assert is_shards(tmp_path / "begun")
    (packed / "train-000000.tar").rename(folder / "photos.tar")  # the archive it came from
    assert not any(map(is_shards, (folder, tmp_path / "nowhere", packed / INDEX)))


def remove(packed: Path) -> None:
    (packed / "train-000001.tar").unlink()


def add(packed: Path) -> None:
    (packed / "train-000077.tar").write_bytes(END)


def empty(packed: Path) -> None:
    (packed / "train-000001.tar").write_bytes(b"")


def cut(packed: Path) -> None:
    path = packed / "train-000001.tar"
    os.truncate(path, path.stat().st_size - 512)


def exchange(packed: Path) -> None:
    path = packed / "train-000001.tar"
    data = member_bytes("a.jpg", b"x" * 600) + member_bytes("a.cls", b"0")
    path.write_bytes(data + bytes(path.stat().st_size - len(data)))


def unfinish(packed: Path) -> None:
    (packed / INDEX).unlink()
    (packed / PACKING).mkdir()


def clear(packed: Path) -> None:
    for path in packed.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            remove,
            r"train-000001.tar is missing; bring it back, run the same 'alexnet data pack' ag",
        ),
        (add, r"train-000077.tar is not in index.shards; it belongs to another set: take it away"),
        (empty, r"train-000001.tar is empty; remove it and pack again"),
        (
            cut,
            r"has [\d,]+ bytes and index.shards says [\d,]+: the shard is cut, or the index is old",
        ),
        (exchange, r"train-000001.tar is another tar than index.shards was made of; bring back"),
        (unfinish, "the packing was not finished; run the same 'alexnet data pack' again"),
        (clear, r"packed has no index.shards and no tar files; give a folder of shards"),
    ],
)
def test_shards_that_are_not_those_of_the_index_are_refused(
    packed: Path, change: Callable[[Path], None], message: str
) -> None:
    change(packed)
    with pytest.raises(DataError, match=message):
        open_shards(packed)


def test_a_fraction_and_parts_that_make_no_split_are_refused(
    packed: Path, pictures: MakePictures
) -> None:
    with pytest.raises(ValueError, match=r"fraction 1.0 is not between 0 and 1"):
        open_shards(packed, fraction=1.0)
    (packed / "train-000000.tar").rename(packed / "val-0.tar")
    (packed / "train-000001.tar").rename(packed / "test-0.tar")
    for path in [packed / INDEX, *packed.glob("train*")]:
        path.unlink()
    with pytest.raises(DataError, match="has the parts val, test and no train; name one so"):
        open_shards(packed)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_flipped_shards_give_the_right_pictures_or_an_error(
    folder: Path, packed: Path, data: st.DataObject
) -> None:
    tars = sorted(packed.glob("*.tar"))
    path = tars[data.draw(st.integers(0, len(tars) - 1))]
    position = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, position)
    offered = open_parts(packed)["train"]  # one flipped bit makes no other tar
    refused = 0
    for index, name in enumerate(offered.paths):
        try:
            assert offered.data(index) == (folder / name).read_bytes()
        except ImageError:
            refused += 1
    assert refused <= 1
    flip(path, position)


def test_pictures_that_were_not_packed_are_noted(folder: Path, tmp_path: Path) -> None:
    (folder / "disc" / "0003.jpg").write_bytes(b"no picture")
    pack(folder, tmp_path / "out", SMALL)
    split = open_shards(tmp_path / "out")
    assert len(split.train) + len(split.validation) == 20
    (said,) = split.notes
    assert said.startswith("of the pictures, 1 could not be read or packed: disc/0003.jpg: this is")
