"""Options that several commands share."""

from pathlib import Path

import pytest

from alexnet.cli.options import new_folder


def test_a_new_folder_has_the_first_number_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert new_folder("cats") == Path("runs/cats-1")
    for name in ("cats-1", "cats-2", "cats-4", "dogs-1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert new_folder("cats") == Path("runs/cats-3")
