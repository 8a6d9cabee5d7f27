"""Fixtures for the command line: `alexnet train` with the tiny recipe."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.cli import run
from tests.conftest import tiny_recipe

Capture = pytest.CaptureFixture[str]
Train = Callable[..., int]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Write the recipe file of the tiny net, without data."""
    path = tmp_path / "tiny.toml"
    path.write_text(replace(tiny_recipe(tmp_path), data="").to_toml())
    return path


@pytest.fixture
def train(tiny: Path, tmp_path: Path) -> Train:
    """Return a function that runs `alexnet train DATA` with the tiny recipe into run/."""

    def call(data: Path, *words: str) -> int:
        recipe = [] if "--recipe" in words else ["--recipe", str(tiny)]
        return run(["train", str(data), "--out", str(tmp_path / "run"), *recipe, *words])

    return call


def refused(code: int, capsys: Capture, *, expected: int, message: str) -> None:
    """Check exit code and message, and that there is no traceback."""
    errors = capsys.readouterr().err
    assert code == expected, errors
    assert re.search(message, errors), errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("alexnet: ")
