"""The exit codes: one table for the program, for README.md and for alexnet explain."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.cli import exit_codes
from alexnet.cli.exit_codes import EXIT_CODES, explain, sentence
from alexnet.parallel import watch

ROOT = Path(__file__).parents[2]


def test_readme_has_the_sentence_of_the_table() -> None:
    assert sentence() in " ".join((ROOT / "README.md").read_text().split())


def test_every_code_of_the_program_has_words_and_a_way_out() -> None:
    names = ("DONE", "UNFORESEEN", "USAGE", "REFUSED", "ENVIRONMENT", "GUARD", "RESUMABLE")
    ours = [vars(exit_codes)[name] for name in (*names, "INTERRUPTED")]
    assert ours == [0, 1, 2, 3, 4, 5, 75, 130]
    for code in ours:
        found = EXIT_CODES[code]
        assert all([found.name, found.meaning, *found.causes, *found.advice])
    assert watch.EXIT_CODE == exit_codes.ENVIRONMENT


@pytest.mark.parametrize(
    ("written", "code", "name"),
    [
        ("0", 0, "done"),
        (" 3 ", 3, "data or model refused"),
        ("75", 75, "asked to stop, can resume"),
        ("130", 130, "interrupted"),
        ("SIGINT", 130, "interrupted"),
        ("-2", 130, "interrupted"),
        ("137", 137, "ended by SIGKILL"),
        ("-9", 137, "ended by SIGKILL"),
        ("kill", 137, "ended by SIGKILL"),
        ("SigSegv", 139, "ended by SIGSEGV"),
        ("138", 138, "ended by SIGUSR1"),
    ],
)
def test_a_code_is_known_by_number_and_by_signal(written: str, code: int, name: str) -> None:
    number, found = explain(written)
    assert (number, found.name) == (code, name)


def test_signals_with_words_of_their_own_exist() -> None:
    for name in exit_codes._SIGNALS:
        number, found = explain(name)
        assert number == 128 + signal.Signals[name]
        assert found.meaning != exit_codes._OTHER_SIGNAL[0]


def test_what_a_killed_process_returns_is_explained() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], timeout=60, check=False
    )
    assert explain(str(ended.returncode)) == explain("137")


def test_a_code_that_cannot_be_is_refused_with_those_there_are() -> None:
    message = r"alexnet never ends with 9; its codes.* are 0, 1, 2, 3, 4, 5, 75, .*128 \+ a signal"
    with pytest.raises(ValueError, match=message):
        explain("9")
    with pytest.raises(ValueError, match=r"'SIGKIL' is no exit code.*mean 'SIGKILL'"):
        explain("SIGKIL")
