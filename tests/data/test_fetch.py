"""A published data set: fetched whole or not at all, checked, and not fetched twice."""

import errno
import fcntl
import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from alexnet.data import fetch as module
from alexnet.data import sources, transfer
from alexnet.data.door import open_split
from alexnet.data.fetch import fetch
from alexnet.data.folder import DataError
from alexnet.data.sources import DataSet, Source
from alexnet.data.transfer import FetchError
from tests.conftest import MakePictures
from tests.data import test_idx, test_unpack
from tests.data.server import Server, serving


def published(path: Path, *, known: bool = True) -> Source:
    data = path.read_bytes()
    if not known:
        return Source(path.name, "http://nowhere.invalid")
    return Source(path.name, "http://nowhere.invalid", len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def site(tmp_path: Path, pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish three data sets in a folder: photos, the same without a digest, and digits."""
    site = tmp_path / "site"
    site.mkdir()
    folder = pictures("photos", per_class=2, size=16)
    files = {f"photos/{name}": data for name, data in test_unpack.contents(folder).items()}
    archive = test_unpack.archive(site / "photos.tgz", files)
    test_idx.write(site, zipped=True)
    digits = tuple(published(path) for path in sorted(site.glob("*ubyte.gz")))
    table = {
        "photos": DataSet("Photos", "free", (published(archive),)),
        "loose": DataSet("Photos of no digest", "free", (published(archive, known=False),)),
        "digits": DataSet("Digits", "free", digits, packed=False, classes=tuple("abcdefghij")),
    }
    monkeypatch.setattr(sources, "DATA_SETS", table)
    return site


@pytest.fixture
def server(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 5)
    with serving() as server:
        server.files = {f"/lab/{path.name}": path.read_bytes() for path in site.iterdir()}
        yield server


def test_an_archive_becomes_a_folder_that_opens(server: Server, tmp_path: Path) -> None:
    shown: list[tuple[str, int, int | None]] = []
    out = tmp_path / "deep" / "out"
    fetched, new = fetch(
        "photos", out, mirror=server.url + "/lab/", show=lambda *x: shown.append(x)
    )
    assert new
    assert (fetched.num_files, fetched.files[0].checked) == (6, True)
    wanted = test_unpack.contents(tmp_path / "photos")
    found = test_unpack.contents(out)
    record = json.loads(found.pop(".fetched.json"))
    assert found == wanted
    assert (record["name"], record["num_bytes"]) == ("photos", sum(map(len, wanted.values())))
    assert [each.name for each in out.parent.iterdir()] == ["out"]
    assert {what for what, _, _ in shown} == {"photos.tgz", "files of photos.tgz"}
    assert len(open_split(out).train) + len(open_split(out).validation) == 6


def test_a_second_call_uses_what_is_there(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, _ = fetch("photos", out, mirror=server.url + "/lab")
    second, new = fetch("photos", out, mirror=server.url + "/lab")
    assert not new
    assert second == first
    assert len(server.asked) == 1


def test_files_that_are_no_archives_lie_beside_their_class_names(
    site: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    fetched, _ = fetch("digits", tmp_path / "out", mirror=str(site))
    assert (fetched.num_files, len(fetched.files)) == (5, 4)
    split = open_split(tmp_path / "out")
    assert split.train.classes == tuple("abcdefghij")
    assert (len(split.train), len(split.validation)) == (20, 10)


def test_a_file_without_a_known_digest_says_the_one_it_has(site: Path, tmp_path: Path) -> None:
    fetched, _ = fetch("loose", tmp_path / "out", mirror=str(site))
    digest = hashlib.sha256((site / "photos.tgz").read_bytes()).hexdigest()
    assert (fetched.files[0].sha256, fetched.files[0].checked) == (digest, False)


def test_a_file_of_another_content_is_removed(site: Path, tmp_path: Path) -> None:
    path = site / "photos.tgz"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"photos.tgz from .*site has the SHA-256 \w+, the publis"):
        fetch("photos", tmp_path / "out", mirror=str(site))
    path.write_bytes(content + b"x")
    with pytest.raises(DataError, match=r"has [\d,]+ bytes, the published file [\d,]+; it was rem"):
        fetch("photos", tmp_path / "out", mirror=str(site))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["photos", "site"]


def test_a_connection_that_breaks_leaves_a_part_to_go_on_with(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CHUNK_BYTES", 100)
    server.cut_at, server.ranges = 1000, False
    with pytest.raises(FetchError, match=r"broke after 1,000 bytes .* it goes on from there"):
        fetch("photos", tmp_path / "out", mirror=server.url + "/lab")
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.fetching" / "photos.tgz.part").stat().st_size == 1000
    server.cut_at, server.ranges = None, True
    fetch("photos", tmp_path / "out", mirror=server.url + "/lab")
    assert server.asked[-1] == ("/lab/photos.tgz", "bytes=1000-")
    assert not (tmp_path / "out.fetching").exists()


def test_an_archive_that_was_brought_before_is_not_brought_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch("photos", tmp_path / "out", mirror=server.url + "/lab")
    work = tmp_path / "out.fetching"
    assert (work / "photos.tgz").is_file()
    (work / "new" / "half").write_text("a file that an interrupted unpacking left")
    _, new = fetch("photos", tmp_path / "out", mirror=server.url + "/lab")
    assert new
    assert len(server.asked) == 1
    assert not (tmp_path / "out" / "half").exists()


def test_a_full_disk_says_how_much_is_needed(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (site / "photos.tgz").stat().st_size

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "unpack", full)
    needed = f"{round(3.4 * size):,}"
    message = f"out.fetching: no space left on device; photos needs about {needed} bytes; make"
    with pytest.raises(FetchError, match=message):
        fetch("photos", tmp_path / "out", mirror=str(site))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5))
    with pytest.raises(FetchError, match=f"needs about {needed} bytes, and the disk of .* 5 free"):
        fetch("photos", tmp_path / "two", mirror=str(site))


def test_another_error_of_the_disk_is_left_as_it_is(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "unpack", fail)
    with pytest.raises(PermissionError, match="Permission denied"):
        fetch("photos", tmp_path / "out", mirror=str(site))


def test_a_folder_of_something_else_is_left_alone(site: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").write_text("x")
    for place in (other, other / "mine"):
        with pytest.raises(ValueError, match="holds something else; give a folder that is new or"):
            fetch("photos", place, mirror=str(site))
    fetch("digits", tmp_path / "out", mirror=str(site))
    with pytest.raises(ValueError, match="out holds digits, not photos; give another folder"):
        fetch("photos", tmp_path / "out", mirror=str(site))
    assert (other / "mine").read_text() == "x"


def test_a_data_set_that_lost_a_file_or_its_record_is_told(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    fetch("digits", out, mirror=str(site))
    (out / "labels.txt").unlink()
    with pytest.raises(DataError, match=r"has 4 files of [\d,]+ bytes, but 5 of [\d,]+ were fetch"):
        fetch("digits", out, mirror=str(site))
    for text in ("{", "{}", "[]", '{"files": [{"name": "x"}]}', '{"files": []}'):
        (out / ".fetched.json").write_text(text)
        with pytest.raises(DataError, match=r".fetched.json is damaged; remove .*out and fetch ag"):
            fetch("digits", out, mirror=str(site))


def test_two_processes_do_not_fetch_into_one_folder(site: Path, tmp_path: Path) -> None:
    (tmp_path / "out.fetching").mkdir()
    with (tmp_path / "out.fetching" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FetchError, match=r"another process is fetching into .*fetching; wait"):
            fetch("photos", tmp_path / "out", mirror=str(site))


def test_a_mirror_that_has_not_the_file_is_named(site: Path, tmp_path: Path) -> None:
    (site / "photos.tgz").unlink()
    with pytest.raises(FetchError, match=r"photos.tgz does not exist; a mirror is the address of"):
        fetch("photos", tmp_path / "out", mirror=str(site))


def test_an_archive_that_is_refused_leaves_no_folder(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site / "bad.tgz"
    path.write_bytes(gzip.compress(b"no tar at all" * 100))
    monkeypatch.setitem(sources.DATA_SETS, "bad", DataSet("Bad", "free", (published(path),)))
    with pytest.raises(DataError, match=r"bad\.tgz"):
        fetch("bad", tmp_path / "out", mirror=str(site))
    assert not (tmp_path / "out").exists()
