"""Recipes: what a file may hold, what is refused, and that file and command line agree."""

import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.cli.train import Options
from alexnet.training.recipe import Recipe, field_help, load, override

# No field here has its default value, so that a field that is lost on the way shows.
UNUSUAL = Recipe(
    data="photos of \u00fcber-things",
    net="caffenet",
    init="normalised",
    epochs=7,
    steps=99,
    minutes=2.5,
    batch=12,
    fc_batch=6,
    lr=0.25,
    lr_batch=256,
    schedule="steps",
    warmup_epochs=1.5,
    patience=2,
    drops=1,
    milestones=(2, 4.5),
    lr_factor=10.0,
    lr_steps=3,
    power=0.5,
    early_stop=6,
    optimizer="lars",
    trust=0.02,
    momentum=0.5,
    weight_decay=0.01,
    bias_lr=2.0,
    bias_decay=0.0,
    layer_lr={"conv1": 0.0, "fc8.bias": 2.5},
    clip_norm=3.0,
    accumulate=4,
    label_smoothing=0.1,
    crop="random-resized",
    smallest_area=0.08,
    flip=False,
    lighting=0.0,
    subtract="mean-value",
    divide_by=64.0,
    picture_size=128,
    input_size=99,
    validation_share=0.25,
    validate_on="training",
    target_error=0.1,
    keep_model="last",
    precision="fp32",
    convolution="winograd",
    device="cpu",
    seed=11,
    workers=3,
    cache_gib=0.5,
    on_bad_image="stop",
    on_nan="stop",
    validate_every=2,
    report_every=5,
    checkpoint_minutes=0.5,
    disk_wait_minutes=1.5,
    stuck_after=10,
)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_comes_back_equal_from_its_file(tmp_path: Path) -> None:
    same = [f.name for f in fields(Recipe) if getattr(UNUSUAL, f.name) == getattr(Recipe(), f.name)]
    assert same == []
    assert load(written(tmp_path, UNUSUAL.to_toml())) == UNUSUAL


def test_the_default_recipe_comes_back_equal_from_its_file(tmp_path: Path) -> None:
    assert load(written(tmp_path, Recipe().to_toml())) == Recipe()


def test_a_file_may_leave_out_what_is_the_papers(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs = 3\nlr = 1\nmilestones = [1, 2.5]\n[layer_lr]\nconv1 = 0\n")
    expected = Recipe(epochs=3, lr=1.0, milestones=(1, 2.5), layer_lr={"conv1": 0})
    assert load(path) == expected


def test_an_error_of_toml_names_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "epochs = 3\nlr = = 2\n")
    with pytest.raises(ValueError, match=r"recipe\.toml is not TOML: .*line 2, column 6"):
        load(path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"net = '\xff'")
    with pytest.raises(ValueError, match=r"is not UTF-8 text: invalid start byte at byte 7"):
        load(path)


def test_an_unknown_key_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "momentun = 0.9")
    message = r"recipe\.toml: unknown key 'momentun' \(did you mean 'momentum'\?\)"
    with pytest.raises(ValueError, match=message):
        load(path)


WRONG_TYPES = [
    ("epochs", 2.0, "epochs is 2.0; it must be of type int"),
    ("epochs", True, "epochs is True; it must be of type int"),
    ("batch", "64", "batch is '64'; it must be of type int"),
    ("lr", "fast", "lr is 'fast'; it must be of type float"),
    ("lr", False, "lr is False; it must be of type float"),
    ("lr", math.nan, "lr holds nan; it must be a finite number"),
    ("clip_norm", math.inf, "clip_norm holds inf; it must be a finite number"),
    ("flip", 1, "flip is 1; it must be of type bool"),
    ("net", 7, "net is 7; it must be of type str"),
    ("milestones", 3, "milestones is 3; it must be of type tuple"),
    ("milestones", [1, "2"], "milestones holds '2'; it must be a finite number"),
    ("layer_lr", [1], r"layer_lr is \[1\]; it must be of type dict"),
    ("layer_lr", {"conv1": True}, "layer_lr holds True; it must be a finite number"),
    ("schedule", "cosin", r"schedule is 'cosin' \(did you mean 'cosine'\?\); it must be one of"),
    (
        "optimizer",
        "lar",
        r"optimizer is 'lar' \(did you mean 'lars'\?\); it must be one of sgd, lars",
    ),
    ("precision", 16, r"precision is 16 .*; it must be one of auto, bf16, fp32"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(Recipe(), {name: value})


OUT_OF_RANGE: list[tuple[str, Any, str]] = [
    ("epochs", 0, "epochs is 0; it must be at least 1"),
    ("steps", -1, "steps is -1; it must be 0 or more"),
    ("minutes", -1.0, "minutes is -1.0; it must be 0 or more"),
    ("batch", 0, "batch is 0; it must be at least 1"),
    ("fc_batch", 48, "fc_batch is 48; it must be 0 or a divisor of the batch, 128"),
    ("fc_batch", -64, "fc_batch is -64; it must be 0 or a divisor of the batch, 128"),
    ("lr", 0.0, "lr is 0.0; it must be above 0 and at most 10"),
    ("lr", 10.5, "lr is 10.5; it must be above 0 and at most 10"),
    ("lr_batch", -1, "lr_batch is -1; it must be 0 or more"),
    ("warmup_epochs", -0.5, "warmup_epochs is -0.5; it must be 0 or more"),
    ("patience", 0, "patience is 0; it must be at least 1"),
    ("drops", -1, "drops is -1; it must be 0 or more"),
    ("lr_factor", 0.5, "lr_factor is 0.5; it must be at least 1"),
    ("lr_steps", 0, "lr_steps is 0; it must be at least 1"),
    ("power", -1.0, "power is -1.0; it must be 0 or more"),
    ("early_stop", -1, "early_stop is -1; it must be 0 or more"),
    ("target_error", 1.0, "target_error is 1.0; it must be at least 0 and below 1"),
    ("trust", 0.0, "trust is 0.0; it must be above 0"),
    ("momentum", 1.0, "momentum is 1.0; it must be at least 0 and below 1"),
    ("weight_decay", -0.1, "weight_decay is -0.1; it must be at least 0 and below 1"),
    ("bias_lr", -2.0, "bias_lr is -2.0; it must be 0 or more"),
    ("bias_decay", -2.0, "bias_decay is -2.0; it must be 0 or more"),
    ("layer_lr", {"conv1": -1}, "layer_lr is {'conv1': -1}; it must be 0 or more for each"),
    ("clip_norm", -1.0, "clip_norm is -1.0; it must be 0 or more"),
    ("accumulate", 129, "accumulate is 129; it must be from 1 to the batch"),
    ("label_smoothing", 1.0, "label_smoothing is 1.0; it must be at least 0 and below 1"),
    ("smallest_area", 0.0, "smallest_area is 0.0; it must be above 0 and at most 1"),
    ("lighting", -0.1, "lighting is -0.1; it must be 0 or more"),
    ("crop", "random-resized", "subtract is 'mean-image'; it must be mean-value or none where"),
    ("divide_by", 0.0, "divide_by is 0.0; it must be above 0"),
    ("input_size", 300, "picture_size is 256; it must be at least 1 and the input size"),
    ("picture_size", 0, "picture_size is 0; it must be at least 1 and the input size"),
    ("input_size", -1, "input_size is -1; it must be 0 or more"),
    ("validation_share", 1.0, "validation_share is 1.0; it must be above 0 and below 1"),
    ("workers", -1, "workers is -1; it must be 0 or more"),
    ("cache_gib", -1.0, "cache_gib is -1.0; it must be 0 or more"),
    ("validate_every", 0, "validate_every is 0; it must be at least 1"),
    ("report_every", 0, "report_every is 0; it must be at least 1"),
    ("disk_wait_minutes", -1.0, "disk_wait_minutes is -1.0; it must be 0 or more"),
    ("checkpoint_minutes", 0.0, "checkpoint_minutes is 0.0; it must be above 0"),
    ("stuck_after", -1, "stuck_after is -1; it must be 0 or more"),
]


@pytest.mark.parametrize(("name", "value", "message"), OUT_OF_RANGE)
def test_a_value_out_of_range_names_the_rule(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(Recipe(), {name: value})


def test_rates_of_lars_may_be_higher() -> None:
    assert Recipe(optimizer="lars", lr=29.0).lr == 29
    with pytest.raises(ValueError, match=r"lr is 101\.0; it must be above 0 and at most 100"):
        Recipe(optimizer="lars", lr=101.0)


def test_every_rule_is_broken_by_a_test() -> None:
    ruled = {name for name, _, _ in Recipe()._rules()}
    assert ruled == {message.split(" is ")[0] for _, _, message in OUT_OF_RANGE}


def test_a_file_with_a_broken_rule_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"recipe\.toml: epochs is 0; it must be at least 1"):
        load(written(tmp_path, "epochs = 0"))


def test_override_leaves_the_other_fields() -> None:
    assert override(UNUSUAL, {"lr": 0.125}) == replace(UNUSUAL, lr=0.125)


def test_every_field_has_a_help_text_of_its_own() -> None:
    texts = field_help()
    assert list(texts) == [f.name for f in fields(Recipe)]
    assert all(len(text) > 10 and text.endswith(".") for text in texts.values())
    assert len(set(texts.values())) == len(texts)


def test_the_options_of_the_command_line_are_the_fields_but_for_the_data() -> None:
    options = [f.name for f in fields(Options)]
    assert options == [name for name in asdict(Recipe()) if name != "data"]
