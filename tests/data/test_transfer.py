"""One file from a server that does its part, and from servers that do not."""

import errno
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import transfer
from alexnet.data.digits import PackageMissing
from alexnet.data.folder import DataError
from alexnet.data.sources import Source
from alexnet.data.transfer import FetchError, download
from tests.data.server import Server, serving

CONTENT = np.random.default_rng(0).bytes(600_000)
KNOWN = Source("a.tgz", "http://x", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
UNKNOWN = Source("a.tgz", "http://x")
AGAIN = "; run the command again, it goes on from there"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "TIMEOUT_SECONDS", 5)
    with serving() as server:
        server.files["/a.tgz"] = CONTENT
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a.tgz.part"


def get(server: Server, part: Path, source: Source = KNOWN) -> list[tuple[str, int, int | None]]:
    shown: list[tuple[str, int, int | None]] = []
    download(source, f"{server.url}/a.tgz", part, lambda *each: shown.append(each))
    return shown


def refused(
    server: Server,
    part: Path,
    message: str,
    *,
    kind: type[Exception] = FetchError,
    source: Source = KNOWN,
) -> None:
    with pytest.raises(kind, match=message):
        get(server, part, source)


@pytest.mark.parametrize("source", [KNOWN, UNKNOWN])
def test_a_file_arrives_whole_and_its_progress_is_shown(
    server: Server, part: Path, source: Source
) -> None:
    shown = get(server, part, source)
    assert part.read_bytes() == CONTENT
    assert shown[0] == ("a.tgz", transfer.CHUNK_BYTES, len(CONTENT))
    assert shown[-1] == ("a.tgz", len(CONTENT), len(CONTENT))
    assert [count for _, count, _ in shown] == sorted(count for _, count, _ in shown)
    assert server.asked == [("/a.tgz", None)]


def test_a_connection_that_breaks_goes_on_where_it_was(server: Server, part: Path) -> None:
    server.cut_at, server.cuts = 250_000, 2
    get(server, part)
    assert part.read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.asked]
    assert (ranges[0], len(ranges)) == (None, 3)
    assert all(wanted and wanted.startswith("bytes=") for wanted in ranges[1:])


def test_what_an_earlier_call_brought_is_gone_on_with(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:123_456])
    get(server, part)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("/a.tgz", "bytes=123456-")]
    get(server, part)  # whole already
    assert len(server.asked) == 1
    part.write_bytes(CONTENT + b"more")
    get(server, part)
    assert part.read_bytes() == CONTENT


def test_a_server_without_parts_sends_all_of_it_again(server: Server, part: Path) -> None:
    server.ranges = False
    part.write_bytes(b"x" * 1000)
    get(server, part)
    assert part.read_bytes() == CONTENT


def test_a_file_without_a_digest_is_never_put_together_of_parts(server: Server, part: Path) -> None:
    part.write_bytes(b"x" * 1000)
    get(server, part, UNKNOWN)
    assert part.read_bytes() == CONTENT
    assert server.asked == [("/a.tgz", None)]


def test_a_connection_that_always_breaks_at_one_place_is_given_up(
    server: Server, part: Path
) -> None:
    server.cut_at, server.ranges = 300_000, False
    refused(server, part, rf"the connection broke after 262,144 bytes .*{AGAIN}")
    assert part.stat().st_size == 262_144
    assert len(server.asked) == 2
    server.cut_at, server.ranges = None, True
    get(server, part)
    assert part.read_bytes() == CONTENT


def test_a_server_that_is_not_there_is_named(part: Path) -> None:
    with serving() as gone:
        pass
    refused(gone, part, rf"{gone.url}/a.tgz: nothing arrived \(.*refused\); look after the")


def test_a_file_that_the_server_has_not_is_named(server: Server, part: Path) -> None:
    del server.files["/a.tgz"]
    refused(server, part, "a.tgz: the server answers 404 Not Found; give --mirror another server")


def test_a_file_of_another_length_is_refused_before_it_is_brought(
    server: Server, part: Path
) -> None:
    server.files["/a.tgz"] = CONTENT[:-1]
    message = "a.tgz has 599,999 bytes, the published file 600,000; try another --mirror"
    refused(server, part, message, kind=DataError)
    assert part.stat().st_size == 0


def test_a_server_that_says_no_length_may_not_send_more_or_less(
    server: Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says_length = None
    get(server, part)
    assert part.read_bytes() == CONTENT
    part.unlink()
    server.surplus = b"x"
    refused(server, part, "sends more than 600,000 bytes; it is not the published", kind=DataError)
    monkeypatch.setattr(transfer, "MOST_BYTES", 599_999)
    refused(server, part, "sends more than 599,999 bytes", kind=DataError, source=UNKNOWN)
    server.surplus, server.cut_at = b"", 1000
    server.ranges = False
    part.unlink()
    refused(server, part, r"broke after 1,000 bytes \(the server ended it\)" + AGAIN)


def test_a_length_that_is_a_lie_is_a_broken_connection(server: Server, part: Path) -> None:
    server.says_length = len(CONTENT) + 5
    refused(server, part, "broke after 589,824 bytes", source=UNKNOWN)


def test_an_answer_with_another_part_is_refused(server: Server, part: Path) -> None:
    part.write_bytes(CONTENT[:1000])
    server.wrong_range = True
    refused(server, part, "answers 'bytes 1001-599999/600000' to bytes from 1000; .* starts anew")
    assert part.stat().st_size == 0


def test_another_server_is_followed_to_only_if_the_digest_is_known(
    server: Server, part: Path
) -> None:
    with serving() as other:
        other.files["/b.tgz"] = CONTENT
        server.leads_to = other.url.replace("127.0.0.1", "localhost") + "/b.tgz"
        get(server, part)
        assert part.read_bytes() == CONTENT
        part.unlink()
        refused(server, part, "leads to another server, http://localhost:", source=UNKNOWN)
        server.leads_to = other.url + "/b.tgz"  # the same host
        get(server, part, UNKNOWN)
        assert part.read_bytes() == CONTENT


def test_an_address_that_is_no_web_address_is_not_followed(server: Server, part: Path) -> None:
    server.leads_to = "file:///etc/passwd"
    refused(server, part, "leads to file:///etc/passwd, which is no web address")


def test_a_circle_of_addresses_ends(server: Server, part: Path) -> None:
    server.leads_to = "/a.tgz"
    refused(server, part, r"nothing arrived \(Exceeded 30 redirects")


def test_a_full_disk_is_told_as_such(
    server: Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: transfer.Transfer, _: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(transfer.Transfer, "update", full)
    refused(server, part, "No space left", kind=OSError)
    assert len(server.asked) == 1


def test_without_pooch_the_way_out_is_named(
    server: Server, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "find_spec", lambda name: None)
    message = r"pip install 'alexnet\[data\]', or give --mirror a folder that has the files"
    refused(server, part, message, kind=PackageMissing)
    assert importlib.util.find_spec("pooch") is not None
