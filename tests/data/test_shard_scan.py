"""Shards that others wrote: those of WebDataset's own writer, plain tars, and wrong ones."""

import tarfile
from pathlib import Path

import pytest
import webdataset

from alexnet.data import shard_scan
from alexnet.data.folder import DataError, list_folder
from alexnet.data.image import ImageLimits
from alexnet.data.shard_scan import scan_shards
from alexnet.data.shards import open_parts, open_shards
from alexnet.data.tar_file import END, member_bytes
from tests.conftest import MakePictures

JPEG = b"\xff\xd8 no picture, but never decoded here"


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    data = b"".join(member_bytes(name, content) for name, content in members.items())
    path.write_bytes(data + END)
    return path


def test_shards_of_webdataset_are_opened(pictures: MakePictures, tmp_path: Path) -> None:
    listing = list_folder(pictures(per_class=4))
    files = [(listing.root / path).read_bytes() for path in listing.paths]
    wanted = list(zip(files, listing.labels, strict=True))
    for number in range(2):
        with webdataset.TarWriter(str(tmp_path / f"photos-{number}.tar")) as writer:
            for index, (data, label) in enumerate(wanted[6 * number : 6 * number + 6]):
                extra = {"json": {"made": "by hand"}}  # alexnet leaves what it does not know
                writer.write({"__key__": f"{index:04d}", "jpg": data, "cls": label, **extra})
    offered = open_parts(tmp_path)["train"]
    found = [(offered.data(i), label) for i, label in enumerate(offered.labels)]
    assert found == wanted
    assert offered.classes == ("0", "1", "2")
    # Keys count anew in each shard, and no two names may be the same.
    assert offered.paths[5:7] == ("photos-0.tar/0005.jpg", "photos-1.tar/0000.jpg")
    assert offered.notes == (
        f"the index was made anew; 'alexnet data index {tmp_path}' keeps it for the next time",
    )


def test_a_plain_tar_of_class_folders_is_opened(pictures: MakePictures, tmp_path: Path) -> None:
    pictures("set/train", per_class=3)
    root = pictures("set/val", per_class=2, seed=1).parent
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(root, arcname=".")
    split = open_shards(tmp_path / "set.tar")
    wanted = list_folder(root / "train")
    assert split.rule == "the shards' parts train and val"
    assert split.train.classes == wanted.classes
    assert sorted(split.train.paths) == [f"train/{path}" for path in wanted.paths]
    for index, path in enumerate(split.train.paths):
        assert split.train.data(index) == (root / path).read_bytes()
        assert wanted.classes[split.train.labels[index]] == path.split("/")[1]
    assert len(split.validation) == 6


def test_a_class_of_the_name_train_is_a_class(tmp_path: Path) -> None:
    place = write_tar(tmp_path / "a.tar", {"car/1.jpg": JPEG, "train/v1.2.jpg": JPEG})
    index = scan_shards([place])
    assert (index.classes, index.parts) == (("car", "train"), ("train",))
    assert index.names == ("car/1.jpg", "train/v1.2.jpg")


def test_parts_and_class_names_come_from_names(tmp_path: Path) -> None:
    places = [
        write_tar(tmp_path / "train_0.tar", {"dog/a.jpg": JPEG, "dog/a.cls": b"1"}),
        write_tar(tmp_path / "val_0.tar", {"cat/b.jpg": JPEG, "cat/b.cls": b"0\n"}),
        write_tar(tmp_path / "training.tar", {"cat/c.png": JPEG, "cat/c.cls": b"0"}),
    ]
    index = scan_shards(places)
    assert (index.classes, index.parts) == (("cat", "dog"), ("train", "val"))
    assert index.names == ("dog/a.jpg", "cat/c.png", "cat/b.jpg")
    assert index.rows["label"].tolist() == [1, 0, 0]
    assert index.rows["part"].tolist() == [0, 0, 1]


def test_labels_can_be_class_names(tmp_path: Path) -> None:
    members = {"1.jpg": JPEG, "1.cls": b"wolf", "2.cls": "\u00e9lan".encode(), "2.jpg": JPEG}
    index = scan_shards([write_tar(tmp_path / "a.tar", members)])
    assert index.classes == ("wolf", "\u00e9lan")
    assert index.rows["label"].tolist() == [0, 1]


def test_spans_cover_every_byte_up_to_the_end(tmp_path: Path) -> None:
    members = {"about.txt": b"x" * 600, "a/1.jpg": JPEG, "a/2.jpg": JPEG, "z.txt": b"zz"}
    place = write_tar(tmp_path / "a.tar", members)
    index = scan_shards([place])
    rows = index.rows
    assert rows["start"].tolist() == [0, int(rows["stop"][0])]
    assert rows["stop"][1] == place.stat().st_size - len(END)


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "no picture": ({"a.txt": b"x"}, r"a.tar holds no picture \(.*or, if it is one of ILSVRC's"),
    "no members": ({}, "a.tar holds no picture"),
    "a label alone": ({"a.jpg": JPEG, "b.cls": b"1"}, "sample 'b' has no picture beside its .cls"),
    "two pictures": (
        {"a.jpg": JPEG, "a.png": JPEG, "a.cls": b"1"},
        "sample 'a' has 2 pictures beside its .cls",
    ),
    "files apart": (
        {"a.jpg": JPEG, "b.jpg": JPEG, "b.cls": b"1", "a.cls": b"1"},
        "sample 'a' has no picture",
    ),
    "a label missing": (
        {"a.jpg": JPEG, "a.cls": b"1", "b.jpg": JPEG},
        "'a.jpg' has a .cls and 'b.jpg' has none beside it",
    ),
    "no class": ({"a/1.jpg": JPEG, "2.jpg": JPEG}, "'2.jpg' has no .cls and lies in no class fold"),
    "a large label": ({"a.jpg": JPEG, "a.cls": b"100000"}, "has the label 100000; the limit is 99"),
    "10,000 digits": ({"a.jpg": JPEG, "a.cls": b"1" * 900}, "the label 11111111111111111111; the"),
    "a long label": ({"a.jpg": JPEG, "a.cls": b"1" * 2000}, "'a.cls' has 2000 bytes; it should ho"),
    "an empty label": (
        {"a.jpg": JPEG, "a.cls": b" "},
        "'a.cls' holds b' '; it should hold a whole",
    ),
    "a binary label": (
        {"a.jpg": JPEG, "a.cls": b"\xff\0"},
        "it should hold a whole number or a cl",
    ),
    "a doubled name": ({"a.jpg": JPEG, "./a.jpg": JPEG}, "'a.jpg' at byte 1024 is there already"),
    "a way out": ({"../a.jpg": JPEG}, "leads out of its folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_shards_that_are_no_samples_are_refused_by_name(case: str, tmp_path: Path) -> None:
    members, message = BAD[case]
    with pytest.raises(DataError, match=message):
        scan_shards([write_tar(tmp_path / "a.tar", members)])


def test_an_archive_that_is_missing_or_a_picture_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"none.tar cannot be read: No such file"):
        scan_shards([tmp_path / "none.tar"])
    monkeypatch.setattr(shard_scan, "DEFAULT_LIMITS", ImageLimits(max_bytes=10))
    with pytest.raises(DataError, match=r"'a/1.jpg' has 37 bytes; the limit is 10"):
        scan_shards([write_tar(tmp_path / "a.tar", {"a/1.jpg": JPEG})])
