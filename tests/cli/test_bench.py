"""`alexnet bench`: its tables, its JSON, its refusals."""

import json
from typing import Any

import pytest
import torch

from alexnet.bench import case, data, machine
from alexnet.cli import run
from tests.bench.conftest import make_nets_small
from tests.cli.conftest import Capture, refused
from tests.conftest import MakePictures

SMALL = ["--input-size", "67", "--classes", "3", "--batch", "2", "--repeats", "2"]


@pytest.fixture(autouse=True)
def small_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make nets and products small, and leave threads and memory of the process as they are."""
    make_nets_small(monkeypatch)
    monkeypatch.setattr(machine, "GEMM_SIZES", (64,))
    monkeypatch.setattr("alexnet.device.keep_pages", lambda: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def printed_json(words: list[str], capsys: Capture) -> Any:
    assert run(["bench", *words, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


@pytest.mark.parametrize("work", ["train", "infer"])
def test_json_has_a_row_for_each(work: str, capsys: Capture) -> None:
    words = [work, *SMALL, "--precision", "fp32", "--against", "torch", "--threads", "1"]
    found = printed_json(words, capsys)
    assert (found["work"], found["net"], found["batch"], found["threads"]) == (
        *(work, "alexnet"),
        *(2, 1),
    )
    assert [row["name"] for row in found["rows"]] == ["ours", "torch:fp32"]
    for row in found["rows"]:
        assert row["n"] == 2
        assert row["images_per_second"] == pytest.approx(2e3 / row["median_ms"])
        assert row["least_ms"] <= row["median_ms"]
    assert found["gemm_ceilings"]["fp32"] > 0


def test_the_table_has_the_figures_and_says_what_differs(capsys: Capture) -> None:
    assert run(["bench", "infer", *SMALL, "--precision", "fp32", "--against", "torch"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].startswith("an answer of alexnet, batch 2, 67 pixels, 3 classes, ")
    assert lines[2].split()[:3] == ["who", "precision", "images/s"]
    assert [line.split()[0] for line in lines[4:6]] == ["ours", "torch"]
    assert "ceiling: fp32 " in shown.out
    assert "note: norms of the others run across the edge of a column" in shown.out
    assert "timing ours, torch:fp32 in turn, 2 times" in shown.err


def test_layers_add_up(capsys: Capture) -> None:
    found = printed_json(["layers", *SMALL, "--precision", "fp32"], capsys)
    assert [row["name"] for row in found["rows"]][:2] == ["conv1", "relu1+norm1+pool1"]
    assert run(["bench", "layers", *SMALL, "--precision", "fp32"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    operations = sum(row["forward_flop"] for row in found["rows"])
    assert f"{operations / 1e9:.2f}" in rows["sum"].split()
    assert "convolution" in rows["conv1"]


def test_data_reads_a_folder(pictures: MakePictures, capsys: Capture) -> None:
    root = pictures(per_class=4)
    words = ["data", "--data", str(root), "--input-size", "67", "--batch", "4", "--repeats", "1"]
    found = printed_json(words, capsys)
    assert [row["name"].partition(":")[0] for row in found["rows"]] == ["ours"] * 3
    assert found["crop"] == 67
    assert run(["bench", *words]) == 0
    assert "ours: whole path" in capsys.readouterr().out


def test_data_draws_pictures_where_no_folder_is_given(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "PICTURES", 2)
    words = ["data", "--input-size", "67", "--batch", "2", "--repeats", "1"]
    assert "drawn JPEG files" in printed_json(words, capsys)["source"]


REFUSED = [
    (["train", "--against", "tourch"], 2, r"'tourch' \(did you mean 'torch'\?\)"),
    (["train", "--against", "openvino"], 2, "openvino does not train"),
    (["train", "--net", "alexnt"], 2, r"no net is called 'alexnt' \(did you mean 'alexnet'\?\)"),
    (["infer", "--batch", "0"], 2, "batch is 0; it must be at least 1"),
    (["infer", "--repeats", "0"], 2, "repeats is 0; it must be at least 1"),
    (["infer", "--threads", "-1"], 2, "threads is -1; it must be at least 1, or 0 for torch's"),
    (["infer", "--precision", "fp8"], 2, "precision"),
    (["data", "--against", "keras"], 2, "against"),
    (["data", "--data", "no-such-folder"], 3, "no-such-folder"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED)
def test_what_cannot_be_is_refused(
    words: list[str], code: int, message: str, capsys: Capture
) -> None:
    refused(run(["bench", *words]), capsys, expected=code, message=message)


def test_a_peer_that_is_not_installed_exits_4_and_is_named(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "find_spec", lambda _: None)
    code = run(["bench", "infer", *SMALL, "--against", "openvino"])
    message = "openvino needs openvino onnx, not installed here; pip install openvino onnx"
    refused(code, capsys, expected=4, message=message)
