"""Packing: WebDataset reads it, pictures and options alone decide its bytes, errors name."""

import contextlib
import errno
import io
import os
import resource
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import simplejpeg
import webdataset
from PIL import Image
from webdataset.tariterators import tar_file_expander

from alexnet.data.folder import DataError, list_folder
from alexnet.data.image import ImageError, decode, decode_file, resize_shorter_side
from alexnet.data.loader import Share
from alexnet.data.pack import Packing, store
from alexnet.data.pack_options import PackOptions
from alexnet.data.pack_plan import plan_shards
from alexnet.data.shard_index import INDEX, Index
from alexnet.data.shards import PACKING, open_parts
from alexnet.data.verify import verify_shards
from tests.conftest import MakePictures
from tests.data.packed import SMALL, content, flip, pack, plan_of


@pytest.fixture
def folder(pictures: MakePictures) -> Path:
    return pictures(per_class=5, size=24)


def test_webdataset_reads_the_shards(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out")
    tars = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    assert len(tars) > 1
    listing = list_folder(folder)
    wanted = {
        os.path.splitext(path)[0]: ((folder / path).read_bytes(), label)
        for path, label in zip(listing.paths, listing.labels, strict=True)
    }
    # What webdataset.WebDataset(tars) does, but for the files, which that leaves open.
    with contextlib.ExitStack() as stack:
        opened = [{"url": tar, "stream": stack.enter_context(open(tar, "rb"))} for tar in tars]
        samples = list(webdataset.tariterators.group_by_keys(tar_file_expander(opened)))
    assert {each["__key__"]: (each["jpg"], int(each["cls"])) for each in samples} == wanted
    decoder = webdataset.autodecode.Decoder([webdataset.autodecode.imagehandler("rgb8")])
    for each in map(decoder, samples):
        path = f"{each['__key__']}.jpg"
        assert each["cls"] == listing.labels[listing.paths.index(path)]
        assert (each["jpg"] == decode_file(folder / path)).mean() > 0.99  # by Pillow


def test_the_shards_are_plain_tars_of_class_folders(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out", PackOptions())
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        names = archive.getnames()
        assert names[1] == os.path.splitext(names[0])[0] + ".cls"
        archive.extractall(tmp_path / "copy", filter="data")
    assert list_folder(tmp_path / "copy").paths == list_folder(folder).paths


def test_bytes_depend_on_pictures_and_options_alone(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one")
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "photos")
    os.utime(copy / "disc" / "0000.jpg", (1, 1))
    for workers in (1, 3):
        out = tmp_path / f"workers{workers}"
        Packing(plan_of(copy), out, workers=workers).run()
        assert content(out) == content(tmp_path / "one")
    pack(folder, tmp_path / "other", replace(SMALL, shuffle_seed=1))
    assert content(tmp_path / "other") != content(tmp_path / "one")


@pytest.mark.parametrize("processes", [2, 3, 20])
def test_any_number_of_processes_writes_the_same_bytes(
    folder: Path, tmp_path: Path, processes: int
) -> None:
    pack(folder, tmp_path / "one")
    plan, out = plan_of(folder), tmp_path / "many"
    results: list[Index | None] = []

    def work(part: int) -> None:
        share = Share(part, processes)
        results.append(Packing(plan, out, share=share, workers=1, patience_seconds=4).run())

    first = Thread(target=work, args=(0,))  # it has to wait for the others
    first.start()
    for part in range(1, processes):
        work(part)
    first.join()
    assert content(out) == content(tmp_path / "one")
    assert sum(index is not None for index in results) == 1


def test_shards_that_do_not_come_are_named(folder: Path, tmp_path: Path) -> None:
    packing = Packing(plan_of(folder), tmp_path / "out", share=Share(0, 2), patience_seconds=0.1)
    with pytest.raises(
        DataError, match=r"shards of other processes are missing \(train-000001.tar"
    ):
        packing.run()
    assert pack(folder, tmp_path / "out").names == pack(folder, tmp_path / "whole").names
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_what_is_packed_is_not_packed_again(folder: Path, tmp_path: Path) -> None:
    told: list[str] = []
    packing = Packing(plan_of(folder), tmp_path / "out", report=told.append)
    packing.run()
    assert [line.split()[0] for line in told] == [shard.name for shard in packing.plan.shards]
    before = content(tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    told.clear()
    packing.run()
    assert told == [f"{tmp_path / 'out'}: everything is packed already"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    lost = tmp_path / "out" / "train-000001.tar"
    lost.unlink()
    told.clear()
    packing.run()
    assert [line.split()[0] for line in told] == ["train-000001.tar"]
    assert content(tmp_path / "out") == before


def test_a_process_that_comes_late_leaves_the_work_of_the_others(
    folder: Path, tmp_path: Path
) -> None:
    plan, out = plan_of(folder), tmp_path / "out"
    late = Packing(plan, out, share=Share(1, 2), workers=1)
    pack(folder, out)
    before = content(out)
    told: list[str] = []
    late.report = told.append
    assert late.run() is None
    assert len(told) == 1
    assert content(out) == before
    (out / PACKING).mkdir()  # it looked for the index before that was there
    late._old = None
    late._write_shards()
    assert len(told) == 1
    assert content(out) == before


def test_a_damaged_record_lets_its_shard_be_written_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Packing(plan_of(folder), out, share=Share(1, 2), workers=1).run()
    records = sorted((out / PACKING).glob("*.index"))
    flip(records[0], 100)
    told: list[str] = []
    Packing(plan_of(folder), out, report=told.append).run()
    assert records[0].name.removesuffix(".index") in [line.split()[0] for line in told]
    assert verify_shards(out).damages == ()


# ---- Pictures ------------------------------------------------------------------------------------


def test_larger_pictures_are_scaled_and_others_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wide = random.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    large = simplejpeg.encode_jpeg(wide, quality=95, colorspace="RGB")
    stored = store(large, PackOptions(size=32, quality=90))
    expected = resize_shorter_side(decode(large), 32)
    assert stored.suffix == "jpg"
    assert stored.data == simplejpeg.encode_jpeg(expected, 90, "RGB", "420")
    assert decode(stored.data).shape == (32, 48, 3)
    for size in (0, 60, 100):
        assert store(large, PackOptions(size=size)).data == large
    for form, suffix in {"PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp"}.items():
        buffer = io.BytesIO()
        Image.fromarray(wide).save(buffer, form)
        kept = store(buffer.getvalue(), PackOptions())
        assert (kept.suffix, kept.data) == (suffix, buffer.getvalue())
        assert store(buffer.getvalue(), PackOptions(size=32)).suffix == "jpg"
    with pytest.raises(ImageError, match="the file is empty"):
        store(b"", PackOptions())


def test_a_packed_set_can_be_packed_smaller(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "large")
    options = PackOptions(size=16)
    small = Packing(plan_shards(open_parts(tmp_path / "large"), options), tmp_path / "small").run()
    assert small is not None
    offered = open_parts(tmp_path / "small")["train"]
    assert offered.paths == list_folder(folder).paths
    for index, path in enumerate(offered.paths):
        picture = decode_file(folder / path)
        assert offered.pixels(index, at_least=16).shape == resize_shorter_side(picture, 16).shape


def test_pictures_that_cannot_be_read_are_left_out_and_listed(
    pictures: MakePictures, tmp_path: Path
) -> None:
    root = pictures(per_class=4)
    (root / "cross" / "0002.jpg").write_bytes(b"no picture")
    told: list[str] = []
    index = Packing(plan_of(root), tmp_path / "out", report=told.append).run()
    assert index is not None
    ((position, path, reason),) = [each for shard in index.shards for each in shard.skipped]
    assert (position, path) == (2, "cross/0002.jpg")
    assert reason.startswith("this is no known picture")
    assert f"skipped {path}: {reason}" in told
    assert [*list_folder(root).paths[:2], *list_folder(root).paths[3:]] == list(index.names)
    assert verify_shards(tmp_path / "out").damages == ()
    with pytest.raises(DataError, match=r"cross/0002.jpg: this is.*or go on with --on-bad-image s"):
        pack(root, tmp_path / "strict", replace(SMALL, on_bad_image="stop"))


@pytest.mark.parametrize("processes", [1, 2])
def test_too_many_bad_pictures_stop_the_packing(
    folder: Path, tmp_path: Path, processes: int
) -> None:
    for name in ("0000.jpg", "0001.jpg"):
        (folder / "disc" / name).unlink()
        (folder / "disc" / name).write_bytes(b"")
    plan, out = plan_of(folder), tmp_path / "out"
    shares = [Share(part, processes) for part in reversed(range(processes))]

    def work() -> None:
        for share in shares:
            Packing(plan, out, share=share, patience_seconds=3).run()

    with pytest.raises(DataError, match="2 of 15 pictures cannot be read, more than 1 %: disc/00"):
        work()
    assert not (out / INDEX).exists()


# ---- Refused -------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "my.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"my.tar does not belong to this packing, of \d+ shards"):
        pack(folder, out)


def test_other_pictures_or_options_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    Packing(plan_of(folder), out, share=Share(1, 2), workers=1).run()
    with pytest.raises(DataError, match=r"\.tar\.index is of other pictures or options: a file ca"):
        pack(folder, out, replace(SMALL, quality=90))
    pack(folder, out)
    with pytest.raises(DataError, match=r"index\.shards is of other pictures or options"):
        pack(folder, out, replace(SMALL, quality=90))


def test_a_second_packing_of_the_same_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    first = Packing(plan_of(folder), tmp_path / "out", workers=1)

    def again(text: str) -> None:
        with pytest.raises(DataError, match="another process is packing there; let it finish or"):
            pack(folder, tmp_path / "out")

    first.report = again
    assert first.run() is not None


@contextlib.contextmanager
def room_for(file_bytes: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as a quota would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = r"bytes more are needed for \d of \d shards and the index; what is whole stays, and the same"


@pytest.mark.parametrize("file_bytes", [0, 100, 5_000, 12_000, 17_000])
def test_a_quota_says_how_many_bytes_are_needed(
    folder: Path, tmp_path: Path, file_bytes: int
) -> None:
    out = tmp_path / "out"
    with room_for(file_bytes), pytest.raises(OSError, match="file too large; about.*" + FULL):
        pack(folder, out)
    assert not list(out.glob("*.tar.tmp"))
    pack(folder, out)
    pack(folder, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_a_full_disk_at_any_write_leaves_what_was_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(folder, tmp_path / "whole")
    sync, calls = os.fsync, 0

    def full_at(number: int) -> Callable[[int], None]:
        def refuse(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        return refuse

    for number in range(1, 100):
        out, calls = tmp_path / str(number), 0
        monkeypatch.setattr(os, "fsync", full_at(number))
        try:
            pack(folder, out)
        except OSError as error:
            said = str(error)
        else:
            break
        assert "no space left on device; about" in said
        monkeypatch.setattr(os, "fsync", sync)
        pack(folder, out)
        assert content(out) == content(tmp_path / "whole")
    assert number > 10
