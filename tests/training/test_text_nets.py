"""A net from a prototxt trains, resumes, answers and is looked at as one of ours."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alexnet.cli import run
from alexnet.model import open_model, save_model
from alexnet.predict import predict
from alexnet.training import loop, setup
from alexnet.training.checkpoint import newest_checkpoint
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.setup import NET_FILE
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import same_outcome, train_stopping

CHAIN = """
name: "tiny"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { crop_size: 21 } data_param { source: "gone" batch_size: 4 } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 stride: 2
    weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "drop1" type: "Dropout" bottom: "pool1" top: "pool1" }
layer { name: "fc2" type: "InnerProduct" bottom: "pool1" top: "fc2"
  inner_product_param { num_output: 1000 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
"""
BRANCHES = CHAIN.replace('"pool1" top: "pool1"', '"norm1" top: "drop1"').replace(
    'bottom: "pool1" top: "fc2"', 'bottom: "drop1" top: "fc2"'
)
BRANCHES += """
layer { name: "aux" type: "InnerProduct" bottom: "norm1" top: "aux"
  inner_product_param { num_output: 1000 weight_filler { type: "xavier" } } }
layer { name: "aux loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux loss"
  loss_weight: 0.3 }
"""
BRANCHES = BRANCHES.replace(
    'layer { name: "drop1"',
    """layer { name: "norm1" type: "BatchNorm" bottom: "pool1" top: "norm1" }
layer { name: "scale1" type: "Scale" bottom: "norm1" top: "norm1" scale_param { bias_term: true } }
layer { name: "drop1\"""",
)
TEXTS = {
    "chain": CHAIN,
    "branches": BRANCHES,
    "grey": CHAIN.replace("_size: 21", "_size: 21 force_gray: true"),
    "multipliers": CHAIN.replace(
        'top: "conv1"\n',
        'top: "conv1" param { lr_mult: 0.5 decay_mult: 3 } param { lr_mult: 2 decay_mult: 0 }\n',
    ),
}


@pytest.fixture
def recipe(pictures: MakePictures, tmp_path: Path) -> Recipe:
    """Return a recipe of nine updates that trains the text tiny.prototxt."""
    tiny = tiny_recipe(pictures(per_class=10, size=24))
    path = tmp_path / "tiny.prototxt"
    return replace(
        tiny, net=str(path), init="source", epochs=3, picture_size=24, lr=0.01, lighting=0.5
    )


def write(recipe: Recipe, name: str) -> Path:
    path = Path(recipe.net)
    path.write_text(TEXTS[name])
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_stopped_and_without_its_file_it_ends_as_if_never_stopped(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(recipe, name)
    loop.train(setup.start(recipe, tmp_path / "whole"))
    train_stopping(setup.start(recipe, tmp_path / "cut"), 4, monkeypatch)
    path.unlink()
    assert (tmp_path / "cut" / NET_FILE).is_file()
    loop.train(setup.resume(tmp_path / "cut"))
    same_outcome(tmp_path / "whole", tmp_path / "cut")


def test_another_text_at_the_old_place_changes_nothing(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(recipe, "chain")
    train_stopping(setup.start(recipe, tmp_path / "cut"), 4, monkeypatch)
    path.write_text(CHAIN.replace("num_output: 8", "num_output: 9"))
    found = setup.resume(tmp_path / "cut")
    assert tuple(found.model.net.state_dict()["conv1.weight"].shape) == (8, 3, 5, 5)


@pytest.mark.parametrize("name", ["chain", "branches"])
def test_a_few_updates_lower_the_loss(recipe: Recipe, tmp_path: Path, name: str) -> None:
    write(recipe, name)
    loop.train(setup.start(replace(recipe, epochs=10, lr=0.02), tmp_path / "run"))
    losses = [
        line["loss"]
        for line in read_journal(tmp_path / "run" / "journal.jsonl")
        if line["kind"] == "train"
    ]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5]), losses


def test_weights_of_a_text_can_be_normalised(recipe: Recipe, tmp_path: Path) -> None:
    write(recipe, "chain")
    started = setup.start(replace(recipe, init="normalised"), tmp_path / "run")
    loop.train(started)
    write(recipe, "branches")
    message = (
        r"init is 'normalised'.* (norm1|scale1) of this net is of the kind .*use --init source"
    )
    with pytest.raises(ValueError, match=message):
        setup.start(replace(recipe, init="normalised"), tmp_path / "other")


def test_layers_of_a_text_have_rates_of_their_own(recipe: Recipe, tmp_path: Path) -> None:
    write(recipe, "chain")
    started = setup.start(replace(recipe, layer_lr={"conv1": 0.0}), tmp_path / "run")
    before = {k: v.clone() for k, v in started.model.net.state_dict().items()}
    loop.train(started)
    after = open_model(tmp_path / "run").net.state_dict()
    moved = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert moved == ["fc2.weight", "fc2.bias"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_trained_text_answers_without_its_file(recipe: Recipe, tmp_path: Path, name: str) -> None:
    path = write(recipe, name)
    run_ = setup.start(recipe, tmp_path / "run")
    loop.train(run_)
    save_model(run_.model, tmp_path / "last")  # the run's own is the best so far
    path.unlink()
    model = open_model(tmp_path / "last")
    assert model.name == str(path)
    weights, kept = model.net.state_dict(), run_.model.net.state_dict()
    assert list(weights) == list(kept)
    assert all(torch.equal(weights[key], kept[key]) for key in kept)
    assert model.preprocessing.colours == ("grey" if name == "grey" else "rgb")
    sources = sorted(map(str, Path(recipe.data).rglob("*.jpg")))[:3]
    answers = list(predict(model, sources * 15, top=3))  # more than a batch: the net is packed
    assert len(answers) == 45
    for index, answer in enumerate(answers):
        assert sum(p for _, p in answer.labels) == pytest.approx(1, abs=1e-5)
        assert [c for c, _ in answer.labels] == [c for c, _ in answers[index % 3].labels]


def test_a_run_in_bfloat16_follows_the_one_in_float32(recipe: Recipe, tmp_path: Path) -> None:
    write(recipe, "branches")
    ends = []
    for precision in ("fp32", "bf16"):
        low = replace(recipe, precision=precision, lighting=0.0)
        loop.train(setup.start(low, tmp_path / precision))
        lines = read_journal(tmp_path / precision / "journal.jsonl")
        ends.append([line["loss"] for line in lines if line["kind"] == "train"][-3:])
    assert ends[1] == pytest.approx(ends[0], rel=0.1)


def test_the_command_line_trains_and_shows_a_text(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(recipe, "chain")
    file = tmp_path / "recipe.toml"
    file.write_text(replace(recipe, data="", net="alexnet", epochs=1).to_toml())
    words = ["train", recipe.data, "--recipe", str(file), "--net", str(path)]
    assert run([*words, "--out", str(tmp_path / "run")]) == 0
    assert newest_checkpoint(tmp_path / "run" / "checkpoints").name == "step-00000003"
    capsys.readouterr()
    picture = next(Path(recipe.data).rglob("*.jpg"))
    assert run(["predict", str(tmp_path / "run"), str(picture), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["labels"]) == 3


def test_a_summary_of_a_text_counts_its_layers(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(recipe, "chain")
    assert run(["summary", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["layers"]}
    assert list(rows) == ["conv1", "relu1", "pool1", "drop1", "fc2"]
    assert rows["conv1"]["multiply_adds"] == 9 * 9 * 8 * 75
    assert (rows["pool1"]["type"], rows["fc2"]["type"]) == ("Pooling", "InnerProduct")
    assert rows["fc2"]["parameters"] == 8 * 16 * 1000 + 1000
    assert rows["fc2"]["receptive_field"] == 21
    assert found["totals"]["parameters"] == 8 * 76 + 129 * 1000
    assert (found["input_size"], found["classes"], found["channels"]) == (21, 1000, 3)
    assert run(["summary", str(path), "--classes", "2"]) == 0
    assert re.search(r"fc2 +InnerProduct", capsys.readouterr().out)


def test_a_text_is_compared_with_a_net_of_ours(
    recipe: Recipe, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(recipe, "grey")
    assert run(["compare", str(path), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []
    assert run(["compare", str(path), "lenet", "--json"]) == 0
    found = {
        d["what"]: (d["first"], d["second"])
        for d in json.loads(capsys.readouterr().out)["differences"]
    }
    assert found["input_size"] == ("21", "28")
    assert found["conv1"] == (
        "convolution 8x9x9, 208 parameters",
        "convolution 20x24x24, 520 parameters",
    )


def test_a_text_that_is_refused_is_no_traceback(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(recipe, "chain")
    path.write_text(CHAIN.replace('bottom: "conv1" top: "pool1"', 'bottom: "cnv1" top: "pool1"'))
    for words in (["summary", str(path)], ["compare", str(path), "lenet"]):
        assert run(words) != 0
        errors = capsys.readouterr().err
        assert re.search(rf"{path}:\d+:\d+: layer 'pool1': .*'cnv1'", errors), errors
        assert "Traceback" not in errors
    with pytest.raises(ValueError, match="layer 'pool1'"):
        setup.start(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
