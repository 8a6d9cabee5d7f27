"""`alexnet plan`: its tables, its JSON, its refusals."""

import json
from pathlib import Path

import pytest

from alexnet.cli import run
from tests.cli.conftest import refused

Capture = pytest.CaptureFixture[str]

CHAIN = """
input: "data" input_dim: 10 input_dim: 3 input_dim: 24 input_dim: 24
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 8 kernel_size: 5 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f"
        inner_product_param { num_output: 16 } }
"""


def planned(capsys: Capture, *words: str) -> str:
    assert run(["plan", *words]) == 0
    return capsys.readouterr().out


def test_the_table_has_the_figures_of_the_json(capsys: Capture) -> None:
    words = ("alexnet", "--devices", "8", "--batch", "1024", "--gpu", "a100")
    table = planned(capsys, *words).splitlines()
    found = json.loads(planned(capsys, *words, "--json"))
    assert [each["name"] for each in found["arrangements"]] == [
        *("one device", "replicas", "2 columns x 4", "hybrid a", "hybrid b", "hybrid c"),
    ]
    for each in found["arrangements"]:
        row = next(line for line in table if line.startswith(each["name"] + "  "))
        assert f"{round(each['pictures_per_second']):,}" in row
        assert f"{each['sent_bytes'] / 1e6:,.1f}" in row
        assert f"{each['memory']['total'] / 1e9:.2f}" in row
        assert f"{each['step_seconds'] * 1e3:,.3f}" in row
    best = next(line for line in table if line.startswith("best: "))
    assert best.startswith(f"best: {found['best']}: torchrun --nproc-per-node 8 -m alexnet train")
    assert found["gpu_source"].startswith("A100 SXM data sheet")


def test_every_crossing_is_named_with_its_bytes(capsys: Capture) -> None:
    text = planned(
        capsys, "--gpu", "k20", "--devices", "2", "--batch", "256", "--columns", "2", "--details"
    )
    columns = text[text.index("\n2 columns: ") : text.index("\nhybrid a: ")]
    found = [line.split()[:2] for line in columns.splitlines()]
    for layer in ("conv3", "fc6", "fc7", "fc8"):
        assert [layer, "forward"] in found
        assert [layer, "backward"] in found
    assert f"{256 * 4 * 128 * 13 * 13:,}" in columns  # conv3's half of conv2's maps
    assert "hybrid b: " in text
    assert "244 MB weights" in text


def test_several_nodes_are_named_in_the_command(capsys: Capture) -> None:
    text = planned(capsys, "torchvision", "--devices", "16", "--nodes", "4")
    assert "16 x h200, 4 node(s) of 4" in text
    assert "torchrun --nnodes 4 --nproc-per-node 4 -m alexnet train" in text


def test_columns_and_crossing_of_the_best_are_in_its_command(capsys: Capture) -> None:
    words = ("--devices", "2", "--batch", "2", "--gpu", "gtx-580", "--crossing", "fp16")
    assert "--columns 2 --crossing fp16" in planned(capsys, *words)


def test_what_a_net_cannot_do_is_said(capsys: Capture) -> None:
    text = planned(capsys, "resnet18", "--devices", "2", "--batch", "64", "--fc-batch", "32")
    assert "not possible: 2 columns: bn1 cannot run in 2 columns: BatchNorm2d is not" in text
    assert "note: this net's layers form no chain" in text
    assert "bn1 and " in planned(capsys, "resnet18", "--devices", "2", "--details")


def test_nothing_fits_into_too_little_memory(capsys: Capture) -> None:
    text = planned(capsys, "--gpu", "gtx-580", "--devices", "2", "--batch", "4096")
    assert "none fits into 3.2 GB; hybrid " in text
    assert "(too much)" in text


def test_one_device_has_no_messages(capsys: Capture) -> None:
    text = planned(capsys, "--devices", "1", "--classes", "10", "--input-size", "131")
    assert "best: one device: alexnet train DATA --net alexnet --batch 1024" in text
    assert "message " not in text


def test_a_text_of_caffes_is_planned_like_any_net(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "chain.prototxt"
    path.write_text(CHAIN)
    found = json.loads(planned(capsys, str(path), "--devices", "2", "--batch", "8", "--json"))
    columns = next(each for each in found["arrangements"] if each["name"] == "2 columns")
    crossing = next(m for m in columns["messages"] if m["operation"] == "reduce_scatter")
    assert (crossing["layer"], crossing["handed_bytes"]) == ("f", 8 * 8 * 20 * 20 * 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "h20"], r"no GPU is called 'h20' \(did you mean 'h200'\?\)"),
        (["--devices", "0"], "devices is 0; it must be at least 1"),
        (["--devices-per-node", "0"], "devices_per_node is 0; it must be at least 1"),
        (["--devices", "12", "--batch", "96", "--nodes", "5"], "12 devices cannot be spread even"),
        (["--devices", "3"], "batch 1024 is not divisible by 3 devices; use 1023"),
        (["--columns", "3"], "columns is 3, which does not divide 8 devices"),
        (["--gpu", "v100", "--precision", "bf16"], "precision is bf16, for which this GPU has no"),
        (["alexnot"], r"no net is called 'alexnot' \(did you mean 'alexnet'\?\)"),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], message: str, capsys: Capture) -> None:
    refused(run(["plan", *words]), capsys, expected=2, message=message)
