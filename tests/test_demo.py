"""The demo end to end, with a few digits and a tiny net."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet import demo
from alexnet.nets import NETS
from alexnet.training.recipes import DIGITS
from tests.conftest import TINY


def write_few_digits(folder: Path) -> None:
    """Write six bars for each of ten "digits": n and its picture are one and the same."""
    random = np.random.default_rng(0)
    for digit in range(10):
        for number in range(18):
            pixels = random.integers(0, 40, (28, 28)).astype(np.uint8)
            pixels[2 + 2 * digit : 6 + 2 * digit] += 200
            part = folder / ("val" if number % 3 == 0 else "train") / str(digit)
            part.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / f"{number:03d}.png")


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo train a tiny net without dropout on 120 drawings."""
    monkeypatch.setitem(NETS, "tiny", replace(TINY, dropout_rate=0.0))
    recipe = replace(
        DIGITS,
        net="tiny",
        picture_size=72,
        epochs=12,
        batch=8,
        lr=0.01,
        device="cpu",
        precision="fp32",
    )
    monkeypatch.setattr(demo, "DIGITS", recipe)
    monkeypatch.setattr(demo, "write_digits", write_few_digits)


@pytest.mark.usefixtures("few_digits")
def test_it_trains_tests_and_predicts(tmp_path: Path) -> None:
    counts, answers = demo.run_demo(tmp_path / "demo")
    assert counts.classes == tuple("0123456789")
    assert counts.confusion.sum(1).tolist() == [6] * 10
    assert counts.top1_errors < 30  # chance leaves 54 of 60 wrong
    assert len(answers) == demo.SHOWN
    for digit, answer in enumerate(answers):
        assert Path(answer.source).parent == tmp_path / "demo" / "digits" / "val" / str(digit)
        assert len(answer.labels) == 3
    assert (tmp_path / "demo" / "run" / "model" / "manifest.json").is_file()


@pytest.mark.parametrize("occupy", [Path.touch, Path.mkdir])
def test_a_folder_that_is_not_empty_is_refused(
    tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    occupy(tmp_path / "something")
    with pytest.raises(ValueError, match="is not empty; choose another --out, or remove it"):
        demo.run_demo(tmp_path)
