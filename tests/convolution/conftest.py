"""What the tests of swapped layers share."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from alexnet.convolution.algorithms import ALGORITHMS
from alexnet.convolution.choose import forget


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test find nothing remembered."""
    monkeypatch.setenv("ALEXNET_CACHE", str(tmp_path / "own"))
    forget()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what im2col is asked for."""
    made: list[str] = []
    im2col = ALGORITHMS["im2col"]

    def noted(name: str, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*given: Any) -> Tensor:
            made.append(name)
            return run(*given)

        return call

    counted = replace(
        im2col,
        forward=noted("forward", im2col.forward),
        input_gradient=noted("input_gradient", im2col.input_gradient),
        weight_gradient=noted("weight_gradient", im2col.weight_gradient),
    )
    monkeypatch.setitem(ALGORITHMS, "im2col", counted)
    return made
