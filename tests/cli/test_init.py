"""The command line as a whole: help without torch, exit codes, tracebacks, signals, pipes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet import __version__
from alexnet.cli import app, run

Capture = pytest.CaptureFixture[str]
COMMANDS = (
    *("demo", "train", "eval", "predict", "summary", "compare", "convert", "bench"),
    *("convolution", "caffe"),
)
CAFFE = (
    *("train", "test", "time", "device_query", "upgrade"),
    *("convert_imageset", "compute_image_mean", "extract_features"),
)
HELPED = """
import sys
from alexnet.cli import run
for words in {commands!r}:
    assert run(words) == 0, words
    assert "torch" not in sys.modules, words
    assert "numpy" not in sys.modules, words
"""


def python(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run Python with the package's folder as its own, and return code, output and errors."""
    done = subprocess.run(
        [sys.executable, *words], input=stdin, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_help_of_no_command_imports_torch() -> None:
    commands = [["--help"], ["--version"], [], *([name, "--help"] for name in COMMANDS)]
    commands += [["caffe", name, "--help"] for name in CAFFE]
    code, _, errors = python("-c", HELPED.format(commands=commands))
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: Capture) -> None:
    assert run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: alexnet {command}")
    assert "--help" not in shown.splitlines()[0]


def test_help_names_every_command_and_debug(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {command} " in shown for command in COMMANDS)
    assert "--debug" in shown


@pytest.mark.parametrize("command", CAFFE)
def test_caffes_commands_have_caffes_names(command: str, capsys: Capture) -> None:
    assert run(["caffe", command, "-help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: alexnet caffe {command}")


def test_caffes_flags_are_taken_with_one_dash_and_with_two(capsys: Capture, tmp_path: Path) -> None:
    missing = tmp_path / "net.prototxt"
    for words in (["-model", str(missing)], [f"-model={missing}"], ["--model", str(missing)]):
        assert run(["caffe", "time", *words, "-iterations", "1"]) == 3
        assert f"{missing}: no such file" in capsys.readouterr().err
    assert run(["caffe", "time", "-modle", str(missing)]) == 2
    assert "Did you mean --model instead of --modle?" in capsys.readouterr().err


def test_version_is_the_packages(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_an_unknown_command_names_the_nearest_and_all(capsys: Capture) -> None:
    assert run(["trian"]) == 2
    message = capsys.readouterr().err
    assert message.startswith('alexnet: Unknown command "trian". Did you mean "train"?')
    assert all(command in message for command in COMMANDS)


def test_an_unknown_option_names_the_nearest(capsys: Capture) -> None:
    assert run(["train", "photos", "--momentun", "0.5"]) == 2
    assert capsys.readouterr().err == (
        "alexnet: Unknown option: --momentun. Did you mean --momentum?\n"
    )


def test_an_error_is_one_message_and_debug_raises_it(capsys: Capture) -> None:
    words = ["summary", "alexnt"]
    assert run(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("alexnet: no net is called 'alexnt'")
    assert "Traceback" not in shown
    with pytest.raises(ValueError, match="no net is called 'alexnt'"):
        run([*words, "--debug"])


def test_what_nobody_foresaw_exits_1_and_asks_for_debug(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("conv9")

    monkeypatch.setattr(type(app), "__call__", fail)
    assert run(["summary"]) == 1
    message = "alexnet: unexpected KeyError: 'conv9'; run the command again with --debug\n"
    assert capsys.readouterr().err == message


def test_an_error_of_the_system_names_the_file_and_exits_4(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/runs/a")

    monkeypatch.setattr(type(app), "__call__", fail)
    assert run(["summary"]) == 4
    assert capsys.readouterr().err == "alexnet: /runs/a: permission denied\n"


def test_ctrl_c_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(app), "__call__", fail)
    assert run(["summary"]) == 130


def test_a_process_has_the_exit_code_and_no_traceback_but_with_debug(tmp_path: Path) -> None:
    words = ["-m", "alexnet", "eval", str(tmp_path / "run"), str(tmp_path)]
    code, output, errors = python(*words)
    assert (code, output) == (3, "")
    assert errors == f"alexnet: {tmp_path / 'run'} does not exist\n"
    code, _, errors = python(*words, "--debug")
    assert code == 1
    assert errors.startswith("Traceback")
    assert f"StoreError: {tmp_path / 'run'} does not exist" in errors


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "alexnet", "compare", "alexnet", "keras"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
