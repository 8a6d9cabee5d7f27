"""Who may ask: the rules of a server, its token; what requests break is in test_http_cases.py."""

from pathlib import Path

import pytest
from starlette.types import Scope

from alexnet.serve.answers import Refused
from alexnet.serve.guard import (
    Rules,
    asked_with_token,
    check,
    is_loopback,
    read_token,
    rules_for,
)
from tests.serve.live import SECRET


def secret(folder: Path, text: str = SECRET + "\n", mode: int = 0o600) -> Path:
    """Write a token's file."""
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_loopback_is_what_no_other_machine_reaches() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "::", "10.0.0.5", "localhost.evil", "box"):
        assert not is_loopback(host), host


def test_outside_loopback_a_token_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"host is 0\.0\.0\.0, which other machines reach; give"):
        rules_for("0.0.0.0", None)
    rules = rules_for("0.0.0.0", secret(tmp_path), ("Box", "box.example"))
    assert rules.token == SECRET
    assert rules.any_address
    assert {"box", "box.example", "localhost"} <= rules.names
    assert rules_for("127.0.0.1", None) == Rules()
    assert rules_for("127.0.0.1", secret(tmp_path)).token == SECRET


def test_a_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o620, 0o777):
        with pytest.raises(ValueError, match=rf"may be read by others \(mode {mode:04o}\); make"):
            read_token(secret(tmp_path, mode=mode))
    assert read_token(secret(tmp_path, mode=0o400)) == SECRET


def test_a_token_that_is_short_or_strange_is_refused(tmp_path: Path) -> None:
    for text in ("", "short", "x" * 15, "\u00e9" * 20):
        with pytest.raises(ValueError, match="it must have at least 16 of ASCII, such as openssl"):
            read_token(secret(tmp_path, text))
    with pytest.raises(FileNotFoundError):
        read_token(tmp_path / "none")


def scope(path: str = "/api/models", query: bytes = b"", **headers: str) -> Scope:
    """Return the scope of a GET."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "http_version": "1.1",
        "headers": raw,
    }


def test_any_address_will_do_outside_loopback_and_no_foreign_name() -> None:
    rules = Rules(frozenset({"box"}), any_address=True, token=SECRET)
    for host in ("10.0.0.5:8000", "[fe80::1]", "box", "BOX:80"):
        check(scope(host=host, authorization=f"Bearer {SECRET}"), rules)
    with pytest.raises(Refused, match=r"does not go by the name 'evil\.example'"):
        check(scope(host="evil.example", authorization=f"Bearer {SECRET}"), rules)


def test_cookies_that_are_broken_are_no_token() -> None:
    rules = Rules(token=SECRET)
    for cookie in ("=", ";;;", "alexnet-token", f"other={SECRET}", "alexnet-token=x; a@b=[]"):
        with pytest.raises(Refused, match="the server asks for its token"):
            check(scope(host="localhost", cookie=cookie), rules)
    check(scope(host="localhost", cookie=f"a=b; alexnet-token={SECRET}"), rules)


def test_the_token_of_an_address_counts_for_the_page_alone() -> None:
    rules = Rules(token=SECRET)
    query = f"token={SECRET}".encode()
    check(scope("/", query, host="localhost"), rules)
    with pytest.raises(Refused, match="the server asks for its token"):
        check(scope("/api/models", query, host="localhost"), rules)
    assert asked_with_token(b"a=1&token=abc") == "abc"
    assert asked_with_token(b"") == asked_with_token({}) == ""
