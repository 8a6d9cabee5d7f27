"""`alexnet doctor`: its lines, its JSON, its exit codes."""

import json
from pathlib import Path

import pytest

from alexnet.bench import doctor
from alexnet.bench.doctor import Problem
from alexnet.cli import run
from tests.bench.conftest import make_nets_small
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures

QUICK = ["--batch", "2", "--repeats", "1", "--workers", "1"]


@pytest.fixture(autouse=True)
def small_and_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make nets small, leave memory as it is, and have a machine without problems."""
    make_nets_small(monkeypatch)
    monkeypatch.setattr("alexnet.device.keep_pages", lambda: None)
    monkeypatch.setattr(doctor, "problems", lambda found, folder: [])


def test_a_good_machine_is_described_and_called_so(capsys: Capture) -> None:
    assert run(["doctor"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("machine     ")
    assert lines[-1] == "nothing is wrong with this machine"
    assert any(line.startswith("simplejpeg  ") for line in lines)


def test_each_problem_is_a_line_with_its_fix(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Problem("pillow 12 is old", "pip install it"), Problem("no room", "make some")]
    monkeypatch.setattr(doctor, "problems", lambda resources, folder: found)
    assert run(["doctor"]) == 4
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "problem: pillow 12 is old; pip install it",
        "problem: no room; make some",
    ]
    assert run(["doctor", "--json"]) == 4
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"][1] == {"what": "no room", "fix": "make some"}
    assert printed["data"] is None


def test_with_data_the_narrowest_part_is_named(pictures: MakePictures, capsys: Capture) -> None:
    root = pictures(per_class=4, classes=("disc", "square"))
    (root / "disc" / "0009.jpg").write_bytes(b"<html>")
    assert run(["doctor", str(root), *QUICK]) == 0
    out = capsys.readouterr().out
    for name in ("disk", "decode", "augment", "step"):
        assert f"\n{name}  " in out
    assert "\nnarrowest: " in out
    assert "n = 1 each, alone; in a training about " in out


def test_json_has_the_parts(pictures: MakePictures, capsys: Capture) -> None:
    root = pictures(per_class=4)
    assert run(["doctor", str(root), *QUICK, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [each["name"] for each in data["stages"]] == ["disk", "decode", "augment", "step"]
    assert data["narrowest"] in ("disk", "decode", "augment", "step")
    assert data["together"] < min(each["pictures_per_second"] for each in data["stages"])


def test_what_a_user_gets_wrong_is_said(tmp_path: Path, capsys: Capture) -> None:
    missing = run(["doctor", str(tmp_path / "nowhere"), *QUICK])
    refused(missing, capsys, expected=3, message="nowhere does not exist")
    none = run(["doctor", "--repeats", "0"])
    refused(none, capsys, expected=2, message="repeats is 0; it must be at least 1")
    fewer = run(["doctor", "--workers=-1"])
    refused(fewer, capsys, expected=2, message="workers is -1; it must be at least 1, or 0 for")
