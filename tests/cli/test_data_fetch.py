"""`alexnet data fetch`: what it prints, its exit codes, and its progress."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from alexnet.cli import data_fetch, run
from alexnet.cli.data_fetch import Progress
from alexnet.data import sources
from alexnet.data.sources import DataSet
from tests.cli.conftest import Capture, refused
from tests.data import test_idx
from tests.data.test_fetch import published


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish digits in a folder, with and without digests."""
    test_idx.write(tmp_path / "site", zipped=True)
    monkeypatch.chdir(tmp_path)
    table = {
        name: DataSet(
            "Digits, few",
            "free",
            tuple(published(path, known=known) for path in sorted((tmp_path / "site").iterdir())),
            packed=False,
        )
        for name, known in (("digits", True), ("loose", False))
    }
    monkeypatch.setattr(sources, "DATA_SETS", table)
    return tmp_path / "site"


def test_it_says_where_the_set_is_and_what_to_type_next(site: Path, capsys: Capture) -> None:
    assert run(["data", "fetch", "digits", "--mirror", str(site)]) == 0
    printed = capsys.readouterr()
    size = sum(path.stat().st_size for path in site.iterdir()) / 1e6
    assert printed.out == (
        f"digits is in digits: 4 files, {size:.1f} MB. What to type next:\n\n"
        f"  alexnet train digits\n"
    )
    assert printed.err.splitlines()[0] == "Digits, few; terms: free"
    assert run(["data", "fetch", "digits", "--mirror", str(site)]) == 0
    assert capsys.readouterr().out.startswith("digits was in digits already: 4 files")


def test_a_digest_that_is_not_published_is_printed(site: Path, capsys: Capture) -> None:
    assert run(["data", "fetch", "loose", "out", "--mirror", str(site)]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = sorted(site.iterdir())[0]
    digest = published(first).sha256
    assert lines[0] == f"{first.name}: no digest is published; its SHA-256 is {digest}"


def test_json_tells_the_same(site: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(["data", "fetch", "digits", "out", "--mirror", str(site), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["folder"], told["new"], told["files"]) == ("digits", "out", True, 4)
    assert told["downloaded"][0]["sha256"] == published(sorted(site.iterdir())[0]).sha256
    assert told["bytes"] == sum(path.stat().st_size for path in site.iterdir())


def test_without_a_name_all_are_listed(capsys: Capture) -> None:
    assert run(["data", "fetch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(sources.DATA_SETS)
    assert lines[2].split()[-2:] == ["1,557", "SHA-256"]
    assert next(line for line in lines if line.startswith("imagewoof ")).split()[-2:] == [
        "?",
        "unknown",
    ]
    assert run(["data", "fetch", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cifar10"]["files"][0]["url"] == (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    )


def test_exit_codes_tell_usage_data_and_environment_apart(site: Path, capsys: Capture) -> None:
    code = run(["data", "fetch", "digit"])
    refused(code, capsys, expected=2, message=r"'digit' is not known \(did you mean 'digits'\?\)")
    code = run(["data", "fetch", "digits", "--mirror", "nowhere"])
    refused(code, capsys, expected=4, message="nowhere/t10k-images-idx3-ubyte.gz does not exist")
    path = sorted(site.iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    code = run(["data", "fetch", "digits", "--mirror", str(site)])
    refused(code, capsys, expected=3, message="has the SHA-256 .*; it was removed; try again or")


def test_progress_into_a_file_is_a_line_each_tenth(capsys: Capture) -> None:
    progress = Progress()
    for count in range(0, 2_000_001, 10_000):
        progress.show("a.tgz", count, 2_000_000)
    progress.show("b", 5, None)
    progress.show("files of a.tgz", 1, 1000)
    progress.end()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[1] == "a.tgz  0.2 of 2.0 MB   10%"
    assert lines[-1] == "files of a.tgz  1 of 1,000    0%"


def test_progress_on_a_terminal_is_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.1, 0.3, 0.35, 0.4])
    monkeypatch.setattr(data_fetch, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress()
    for count in (1, 2, 3, 4, 5):
        progress.show("files of a", count, 5)
    progress.end()
    progress.end()
    shown = capsys.readouterr().err
    assert (
        shown
        == "".join(
            f"\rfiles of a  {count} of 5  {share:>4}\x1b[K"
            for count, share in ((3, "60%"), (5, "100%"))
        )
        + "\n"
    )
