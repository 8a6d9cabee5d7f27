"""`alexnet train --resume`: a stopped run goes on, and everything else is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.training import loop
from tests.cli.conftest import Capture, Train, refused
from tests.conftest import MakePictures
from tests.training.test_resume import same_outcome

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def interrupted(
    train: Train,
    pictures: MakePictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> Path:
    """Return a run that was stopped by a signal after its second update and said how to go on."""
    real = loop.update

    def update(*arguments: object) -> object:
        if arguments[0].position.step == 1:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", update)
        assert train(pictures("photos", per_class=10)) == 75
    assert capsys.readouterr().err.splitlines()[-1] == (
        "alexnet: SIGTERM: saved at update 2 of 6; "
        f"go on with: alexnet train --resume {tmp_path / 'run'}"
    )
    return tmp_path / "run"


def test_a_stopped_run_goes_on_with_the_command_that_it_named(
    interrupted: Path, capsys: Capture
) -> None:
    assert run(["train", "--resume", str(interrupted)]) == 0
    shown = capsys.readouterr()
    assert f"going on with {interrupted} at update 2 of 6\n" in shown.err
    assert shown.out.startswith("6 validation pictures: ")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["photos"], "data"),
        (["--recipe", "quick"], "--recipe"),
        (["--out", "x", "--batch", "3"], "--out, batch"),
        (["--no-flip"], "flip"),
    ],
)
def test_resume_refuses_other_choices(
    tmp_path: Path, capsys: Capture, words: list[str], named: str
) -> None:
    code = run(["train", "--resume", str(tmp_path), *words])
    message = rf"own data and recipe, but {named} is given; leave it out, or start a new run"
    refused(code, capsys, expected=2, message=message)


def test_a_damaged_checkpoint_exits_3_and_names_the_tensor(
    interrupted: Path, capsys: Capture
) -> None:
    path = next(interrupted.glob("checkpoints/step-00000002/velocities-*.safetensors"))
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    begin = json.loads(data[8 : 8 + length])["conv2.weight"]["data_offsets"][0]
    data[8 + length + begin] ^= 0x10
    path.write_bytes(data)
    code = run(["train", "--resume", str(interrupted)])
    message = r"is damaged: the digest of tensor 'conv2\.weight' does not match; use another copy"
    refused(code, capsys, expected=3, message=message)


def test_another_number_of_classes_exits_3(interrupted: Path, capsys: Capture) -> None:
    shutil.rmtree(interrupted.parent / "photos" / "square")
    code = run(["train", "--resume", str(interrupted)])
    message = r"was trained on 3 classes and the data have 2: missing \['square'\], new \[\]"
    refused(code, capsys, expected=3, message=message)


def test_changed_pictures_exit_3(interrupted: Path, capsys: Capture) -> None:
    (interrupted.parent / "photos" / "square" / "0001.jpg").unlink()
    code = run(["train", "--resume", str(interrupted)])
    refused(code, capsys, expected=3, message="are not those that the run began with")


def test_what_is_no_run_exits_3(tmp_path: Path, capsys: Capture) -> None:
    code = run(["train", "--resume", str(tmp_path / "gone")])
    refused(code, capsys, expected=3, message=r"gone is not a run: it has no recipe\.toml")


def test_a_finished_run_exits_2(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    assert train(pictures(), "--steps", "1") == 0
    capsys.readouterr()
    code = run(["train", "--resume", str(tmp_path / "run")])
    message = r"run has finished, at update 1; start a new run with --recipe .*recipe\.toml and mor"
    refused(code, capsys, expected=2, message=message)


DRIVER = """
import sys
from alexnet.cli import run
from alexnet.nets import NETS
from tests.conftest import TINY
NETS["tiny"] = TINY
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_gets_a_signal_saves_and_goes_on_bit_for_bit(
    tiny: Path, pictures: MakePictures, tmp_path: Path, number: signal.Signals
) -> None:
    words = ["train", str(pictures(per_class=10)), "--recipe", str(tiny), "--epochs", "15"]
    assert run([*words, "--out", str(tmp_path / "whole")]) == 0
    out = tmp_path / "cut"
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *words, "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr as errors:
        for line in errors:
            if line.startswith("update 4/45"):
                process.send_signal(number)
                break
        rest = errors.read()
    assert process.wait(timeout=60) == 75
    message = rest.splitlines()[-1]
    assert message.startswith(f"alexnet: {number.name}: saved at update ")
    assert message.endswith(f" of 45; go on with: alexnet train --resume {out}")
    assert "Traceback" not in rest
    assert run(["train", "--resume", str(out)]) == 0
    same_outcome(tmp_path / "whole", out)
