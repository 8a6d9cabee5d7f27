"""`alexnet convolution`: its tables, its JSON, its reasons, its refusals."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.bench import convolutions, machine
from alexnet.bench.convolutions import Comparison, Plan
from alexnet.cli import run
from alexnet.cli.convolution import parse_size
from alexnet.inspection import panels
from tests.bench.laboratory import comparison_of, row_of
from tests.cli.conftest import Capture, refused

LAYER = "4,6,3,3 @ 9"
SMALL = ["convolution", "--layer", LAYER, "--batch", "2", "--repeats", "1", "--threads", "1"]
FEW = ["--algorithm", "im2col", "--algorithm", "fft"]


@pytest.fixture(autouse=True)
def small_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what is timed small, and leave threads and memory of the process as they are."""
    monkeypatch.setattr(convolutions, "TURN_SECONDS", 1e-4)
    monkeypatch.setattr(machine, "GEMM_SIZES", (64,))
    monkeypatch.setattr(machine, "COPIED_BYTES", 2**20)
    monkeypatch.setattr("alexnet.device.keep_pages", lambda: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def printed_json(words: list[str], capsys: Capture) -> Any:
    assert run([*words, "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return json.loads(shown.out)


def test_a_table_stands_for_each_layer_and_direction(capsys: Capture) -> None:
    assert run([*SMALL, *FEW, "--layer", "6,6,5 @ 20 stride 2", "--direction", "all"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == "2 layers: fp32, batch 2, 1 thread, workspace 64M"
    headings = [line for line in lines if line.endswith(" GFLOP")]
    work = 2 * 2 * 6 * 9 * 9 * 4 * 9 / 1e9
    assert headings[0] == f"4,6,3,3 @ 9 pad 1, forward, {work:.3g} GFLOP"
    assert [heading.split(", ")[-2] for heading in headings] == [
        *("forward", "input gradient", "weight gradient")
    ] * 2
    assert headings[3].startswith("6,6,5 @ 20 stride 2 pad 2, forward")
    rows = [line.split() for line in lines if line.startswith(("native", "im2col", "fft"))]
    assert len([row for row in rows if len(row) == 12]) == 6 * 3
    assert sum(line.startswith("auto takes ") for line in lines) == 6
    assert "all of it, each layer as often as the net has it" in shown.out
    assert "at kernels 3 wide: on the layer 4,6,3,3 @ 9" in shown.out
    assert "Nothing is said of depthwise layers" in shown.out
    assert lines[-2].startswith("machine: ")


def test_json_has_the_same_figures(capsys: Capture) -> None:
    found = printed_json([*SMALL, *FEW, "--workspace", "1M", "--precision", "fp64"], capsys)
    assert (found["precision"], found["threads"], found["workspace"]) == ("fp64", 1, 2**20)
    (comparison,) = found["comparisons"]
    assert (comparison["layer"], comparison["direction"]) == (LAYER, "forward")
    rows = {row["algorithm"]: row for row in comparison["rows"]}
    assert {"native", "im2col", "fft", comparison["auto"]} == set(rows)
    assert rows["native"]["largest_error"] == 0
    assert rows["fft"]["largest_error"] < 1e-13  # float64 has 53 bits
    assert found["total_ms"]["native"] == pytest.approx(rows["native"]["median_ms"])
    assert len(found["reasons"]) == 3


def test_the_layers_of_a_net_stand_by_name_and_shape(capsys: Capture) -> None:
    words = ["convolution", "--net", "lenet", "--batch", "1", "--repeats", "1"]
    assert run([*words, "--algorithm", "im2col"]) == 0
    shown = capsys.readouterr().out
    assert "lenet: fp32, batch 1" in shown
    assert "conv1: 1,20,5,5 @ 28 pad 0, forward" in shown
    assert "conv2: 20,50,5,5 @ 12 pad 0, forward" in shown


def test_a_net_and_a_layer_stand_together(capsys: Capture) -> None:
    words = [*SMALL, "--net", "lenet", "--algorithm", "native", "--precision", "bf16"]
    found = printed_json(words, capsys)
    assert [each["layer"] for each in found["comparisons"]] == ["conv1", "conv2", LAYER]
    assert found["precision"] == "bf16"


def test_the_nets_input_can_be_larger(capsys: Capture) -> None:
    words = ["convolution", "--net", "lenet", "--input-size", "32", "--batch", "1"]
    found = printed_json([*words, "--repeats", "1", "--algorithm", "native"], capsys)
    assert found["comparisons"][0]["shape"] == "1,20,5,5 @ 32 pad 0"


def test_a_refusal_and_a_better_one_than_autos_are_told(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = comparison_of(LAYER, row_of("native", 2.0), row_of("fft", 0.5))
    monkeypatch.setattr(convolutions, "measure", lambda *_: found)
    assert run(SMALL) == 0
    shown = capsys.readouterr().out
    assert "lazy cannot do it: it is Sunday" in shown
    assert "auto takes native; the quickest here was fft, 4.00 x native" in shown
    taken = comparison_of(LAYER, row_of("native", 2.0), row_of("fft", 0.5), auto="fft")
    monkeypatch.setattr(convolutions, "measure", lambda *_: taken)
    assert run(SMALL) == 0
    assert "auto takes fft, 4.00 x native\n" in capsys.readouterr().out


def test_what_was_measured_is_there_when_the_rest_is_interrupted(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = convolutions.measure
    done: list[object] = []

    def once(*words: Any) -> Comparison:
        if done:
            raise KeyboardInterrupt
        done.append(words)
        return real(*words)

    monkeypatch.setattr(convolutions, "measure", once)
    with pytest.raises(SystemExit) as stop:  # cyclopts makes it of the interrupt
        run([*SMALL, *FEW, "--direction", "all"])
    assert stop.value.code == 130
    shown = capsys.readouterr().out
    assert "4,6,3,3 @ 9 pad 1, forward" in shown
    assert "auto takes " in shown
    assert "machine: " not in shown


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs matplotlib")
def test_a_figure_is_drawn(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    assert run([*SMALL, *FEW, "--figure", str(path)]) == 0
    assert f"drawn: {path}" in capsys.readouterr().out
    assert "<!-- 4,6,3,3 @ 9: fp32, batch 2, 1 thread -->" in path.read_text()


def test_without_matplotlib_nothing_is_measured_before_it_is_said(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda _: None)
    code = run([*SMALL, "--figure", str(tmp_path / "figure.svg")])
    refused(code, capsys, expected=4, message=r"pip install 'alexnet\[figures\]'")


def test_all_algorithms_are_measured_unless_some_are_named(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def keep(layer: object, direction: object, plan: Plan) -> Comparison:
        plans.append(plan)
        return comparison_of(LAYER, row_of("native", 1.0))

    monkeypatch.setattr(convolutions, "measure", keep)
    assert run(["convolution", "--layer", LAYER]) == 0
    assert run(["convolution", "--layer", LAYER, "--workspace", "512k", "--repeats", "9"]) == 0
    assert plans[0] == Plan(convolutions.measured_by_default())
    assert (plans[1].workspace, plans[1].repeats) == (512 * 1024, 9)


def test_sizes_are_read_with_and_without_units() -> None:
    assert [parse_size(text) for text in ("0", "65536", "2K", "64M", "1g")] == [
        *(0, 65536, 2048, 64 * 2**20, 2**30)
    ]


REFUSED = [
    (["--workspace", "64MB"], "workspace is '64MB'; it must be a number of bytes, or one with K"),
    (["--layer", "64,64 @ 224"], "layer '64,64 @ 224' is not understood; write channels"),
    (["--batch", "0"], "batch is 0; it must be at least 1"),
    (["--repeats", "0"], "repeats is 0; it must be at least 1"),
    (["--threads", "-1"], "threads is -1; it must be at least 1, or 0 for torch's"),
    (["--algorithm", "im2cool"], "no algorithm is called 'im2cool'"),
    (["--net", "vgg166"], r"no net is called 'vgg166' \(did you mean 'vgg16'\?\)"),
    (
        ["--net", "alexnet", "--input-size", "9"],
        "input size 9 leaves no pixel at pool5; the smallest size",
    ),
    (["--figure", "figure.gif"], "figure is 'figure.gif'; its name must end in one of .svg"),
    (["--direction", "sideways"], "direction"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_is_refused(words: list[str], message: str, capsys: Capture) -> None:
    refused(run(["convolution", *words]), capsys, expected=2, message=message)
