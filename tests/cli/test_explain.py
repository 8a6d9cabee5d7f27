"""`alexnet explain`: in words, in a table, in JSON."""

import json

import pytest

from alexnet.cli import run
from alexnet.cli.exit_codes import EXIT_CODES
from tests.cli.conftest import Capture, refused


def test_a_code_is_said_with_causes_and_what_to_do(capsys: Capture) -> None:
    assert run(["explain", "75"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "75: asked to stop, can resume"
    assert lines[1].startswith("The run was asked to stop; it finished its update and saved")
    assert lines[3] == "likely:"
    assert "  alexnet train --resume RUN goes on bit for bit" in lines[lines.index("to do:") :]


@pytest.mark.parametrize("written", ["137", "-9", "SIGKILL", "sigkill"])
def test_a_signal_is_said_however_it_is_written(written: str, capsys: Capture) -> None:
    assert run(["explain", written]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("137: ended by SIGKILL\n")
    assert "out-of-memory killer" in shown


def test_without_a_code_all_are_listed(capsys: Capture) -> None:
    assert run(["explain"]) == 0
    shown = capsys.readouterr().out
    assert [int(line.split()[0]) for line in shown.splitlines()[2:-2]] == list(EXIT_CODES)
    assert all(each.meaning in shown for each in EXIT_CODES.values())


def test_json_has_the_same(capsys: Capture) -> None:
    assert run(["explain", "5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["code"] == 5
    assert found["causes"] == list(EXIT_CODES[5].causes)
    assert run(["explain", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in every] == list(EXIT_CODES)
    assert every[5]["advice"] == found["advice"]


def test_what_is_no_code_is_refused(capsys: Capture) -> None:
    refused(run(["explain", "77"]), capsys, expected=2, message="alexnet never ends with 77; its")
