"""`alexnet completion`: scripts, and what bash makes of its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from alexnet.cli import app, run
from alexnet.cli.completion import script
from tests.cli.conftest import Capture, refused

ASK = """
source "$1"
shift
COMP_WORDS=(alexnet "$@")
COMP_CWORD=$#
COMPREPLY=()
_alexnet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "alexnet.bash"
    path.write_text(script("bash"))
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tra"], ["train"]),
        (["ex"], ["export", "explain"]),
        (["caffe", "dev"], ["device_query"]),
        (["data", "f"], ["fetch"]),
        (["train", "--moment"], ["--momentum"]),
        (["train", "photos", "--precision", "b"], ["bf16"]),
        (["export", "run", "--to", "open"], ["openvino"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["train", "pho"], [""]),  # bash itself then offers files
    ],
)
def test_bash_completes(bash_script: Path, words: list[str], offered: list[str]) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", str(bash_script), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == offered
    assert done.stderr == ""


def test_bash_offers_files_where_there_are_no_words(bash_script: Path) -> None:
    text = bash_script.read_text()
    assert "complete -o bashdefault -o default -F _alexnet alexnet" in text
    assert "compgen" not in text


def test_zsh_knows_every_command_and_offers_files() -> None:
    text = script("zsh")
    assert text.startswith("#compdef alexnet\n# in this shell:")
    names = [name for name in app if not name.startswith("-")]
    assert all(f"\n        '{name}:" in text for name in names)
    assert "            '1:Folder of pictures.:_files' \\" in text
    assert text.endswith("compdef _cyclopts_alexnet alexnet\nfi")


def test_fish_knows_every_command() -> None:
    text = script("fish")
    assert "alexnet completion fish | source" in text
    assert all(f" -a '{name}' " in text for name in app if not name.startswith("-"))


def test_the_command_prints_the_script_and_knows_three_shells(
    bash_script: Path, capsys: Capture
) -> None:
    assert run(["completion", "bash"]) == 0
    assert capsys.readouterr().out == bash_script.read_text() + "\n"
    message = 'Invalid value "tcsh" for SHELL. Choose from: "bash", "zsh", "fish"'
    refused(run(["completion", "tcsh"]), capsys, expected=2, message=message)
