"""`python -m alexnet` is the command."""

import runpy
import sys

import pytest


def test_the_module_runs_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["alexnet", "compare", "alexnet", "alexnet"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("alexnet", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out == "alexnet and alexnet are the same\n"


def test_its_exit_code_is_that_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["alexnet", "compare", "alexnet"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("alexnet", run_name="__main__")
    assert end.value.code == 2
    assert "--second requires an argument" in capsys.readouterr().err
