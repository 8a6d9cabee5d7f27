"""torchvision's published weights, from a server on 127.0.0.1 and from a folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alexnet.data.folder import DataError
from alexnet.data.transfer import FetchError
from alexnet.export import published
from alexnet.export.published import FILES, PREFIX, fetch, net_of
from alexnet.export.torchvision import ARCHITECTURES
from tests.data.server import Server, serving

CONTENT = b"weights" * 1000
FILE = f"alexnet-owt-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Publish a file under the name that its digest gives it."""
    pytest.importorskip("pooch", reason="the extra data")
    monkeypatch.setitem(FILES, "alexnet", FILE)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with serving() as running:
        running.files[f"/{FILE}"] = CONTENT
        yield running


def test_every_file_carries_a_digest_and_is_of_a_net_that_we_have() -> None:
    assert FILES["alexnet"] == "alexnet-owt-7be5be79.pth"
    assert net_of("torchvision:alexnet") == "torchvision"
    for name, file in FILES.items():
        assert ARCHITECTURES[net_of(PREFIX + name)] == name
        assert len(published._wanted(file)) == 8
        assert file.startswith(name)


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    path = fetch("torchvision:alexnet", mirror=server.url)
    assert path == tmp_path / "hub" / "checkpoints" / FILE
    assert path.read_bytes() == CONTENT
    assert fetch("torchvision:alexnet", mirror=server.url) == path
    assert len(server.asked) == 1
    assert [each.name for each in path.parent.iterdir()] == [FILE]


def test_a_file_that_was_damaged_here_is_fetched_anew(server: Server) -> None:
    path = fetch("torchvision:alexnet", mirror=server.url)
    path.write_bytes(CONTENT[:-1])
    assert fetch("torchvision:alexnet", mirror=server.url + "/").read_bytes() == CONTENT


def test_a_file_with_another_digest_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.files[f"/{FILE}"] = CONTENT + b"!"
    with pytest.raises(DataError, match=r"has the SHA-256 [0-9a-f]{64}, which should begin with"):
        fetch("torchvision:alexnet", mirror=server.url)
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


def test_a_server_or_folder_without_it_is_named(server: Server, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(FetchError, match="the server answers 404"):
        fetch("torchvision:alexnet", mirror=server.url)
    with pytest.raises(FetchError, match=r"pth does not exist; a mirror is the address of a serv"):
        fetch("torchvision:alexnet", mirror=str(tmp_path))


def test_a_folder_serves_as_well(server: Server, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(CONTENT)
    assert fetch("torchvision:alexnet", mirror=str(tmp_path)).read_bytes() == CONTENT
    assert server.asked == []


def test_a_name_that_is_unknown_names_the_nearest() -> None:
    message = r"no weights of torchvision's are known as 'alexnt' \(did you mean 'alexnet'\?\)"
    with pytest.raises(ValueError, match=message):
        fetch("torchvision:alexnt")
