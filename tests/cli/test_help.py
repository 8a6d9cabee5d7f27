"""Help on the terminal."""

import pytest

from alexnet.cli import run


def test_lines_of_docstrings_are_joined(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ablate", "--help"]) == 0
    shown = [line.strip(" \u2502") for line in capsys.readouterr().out.splitlines()]
    first = next(number for number, line in enumerate(shown) if "--rows" in line)
    joined = " ".join(line.partition("STR...")[2] or line for line in shown[first : first + 3])
    assert "apart, tanh, dropout, crops, lighting; or all." in joined
    assert not any("  lighting" in line for line in shown)
