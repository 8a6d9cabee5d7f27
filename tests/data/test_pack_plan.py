from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.data.folder import DataError, Listing, list_folder
from alexnet.data.loader import epoch_order
from alexnet.data.pack_options import PackOptions
from alexnet.data.pack_plan import FolderFiles, parts_of_folder, plan_shards
from tests.conftest import MakePictures
from tests.data.packed import SMALL, plan_of


def test_each_picture_is_in_one_shard_of_the_wanted_size(pictures: MakePictures) -> None:
    root = pictures(per_class=10)
    plan = plan_of(root)
    order = [position for shard in plan.shards for position in shard.positions]
    assert sorted(order) == list(range(30))
    assert order == epoch_order(30, 0, 0).tolist()
    files = plan.parts["train"]
    for shard in plan.shards:
        padded = [-(-files.size(i) // 512) * 512 for i in shard.positions]
        assert shard.size == sum(padded) + 1536 * len(padded) + 1024
        assert shard.size <= 20_000
    assert [shard.name for shard in plan.shards[:2]] == ["train-000000.tar", "train-000001.tar"]
    assert plan.count == 30


def test_a_picture_larger_than_a_shard_gets_its_own(pictures: MakePictures) -> None:
    plan = plan_of(pictures(per_class=1), replace(SMALL, shard_mb=0.001))
    assert [len(shard.positions) for shard in plan.shards] == [1, 1, 1]


def test_the_order_of_the_folder_can_be_kept(pictures: MakePictures) -> None:
    plan = plan_of(pictures(per_class=2), PackOptions(shuffle_seed=-1))
    assert plan.shards[0].positions == (0, 1, 2, 3, 4, 5)


def test_train_and_val_are_parts_of_the_same_classes(pictures: MakePictures) -> None:
    pictures("set/train", per_class=2)
    root = pictures("set/val", per_class=1, seed=1).parent
    parts = parts_of_folder(root)
    assert {name: len(files.paths) for name, files in parts.items()} == {"train": 6, "val": 3}
    names = [shard.name for shard in plan_of(root, PackOptions()).shards]
    assert names == ["train-000000.tar", "val-000000.tar"]
    assert list(parts_of_folder(root / "val")) == ["train"]


def test_the_digest_tells_one_packing_from_another(pictures: MakePictures) -> None:
    root = pictures(per_class=2)
    digest = plan_of(root).digest
    assert plan_of(root).digest == digest
    assert plan_of(root, replace(SMALL, on_bad_image="stop")).digest == digest
    others = [replace(SMALL, size=32), replace(SMALL, quality=90), replace(SMALL, shuffle_seed=1)]
    assert len({digest, *(plan_of(root, options).digest for options in others)}) == 4
    (root / "disc" / "0000.jpg").write_bytes(b"changed")
    assert plan_of(root).digest != digest


def test_names_have_no_dots_and_stay_apart(tmp_path: Path) -> None:
    paths = ("a/x.jpg", "a/x.png", "a/y.z.jpg", "a/y_z.jpg", "b.c/x\n.jpg", "b.c/\udcff.jpg")
    listing = Listing(tmp_path, ("a", "b.c"), paths, (0, 0, 0, 0, 1, 1))
    plan = plan_shards({"train": FolderFiles(listing)}, SMALL)
    assert plan.keys["train"] == ("a/x", "a/x_2", "a/y_z", "a/y_z_2", "b.c/x_", "b.c/?")
    assert FolderFiles(listing).size(0) == 0  # no such file; named when its turn comes


def test_parts_of_different_classes_are_refused(pictures: MakePictures) -> None:
    one = FolderFiles(list_folder(pictures("one", classes=["a", "b"])))
    other = FolderFiles(list_folder(pictures("other", classes=["a", "c"])))
    with pytest.raises(DataError, match="the classes of val are not those of train"):
        plan_shards({"train": one, "val": other}, SMALL)
