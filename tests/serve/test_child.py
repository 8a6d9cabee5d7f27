"""A training's process: the same as `alexnet`, and none where the server has gone before."""

import os
import subprocess
import sys

from alexnet import __version__

COMMAND = (sys.executable, "-m", "alexnet.serve.child")


def test_it_becomes_the_program_with_its_arguments() -> None:
    done = subprocess.run(
        [*COMMAND, str(os.getpid()), "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_it_ends_at_once_where_its_parent_is_another() -> None:
    done = subprocess.run([*COMMAND, "1", "--version"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (75, b"")
