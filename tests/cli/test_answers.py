"""`alexnet eval` and `alexnet predict`: counts that agree with one another, and refusals."""

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alexnet.cli import run
from alexnet.cli.answers import PREDICT_OPTIONS
from alexnet.data.folder import split_folder
from alexnet.training import loop, setup
from tests.cli.conftest import Capture
from tests.conftest import SHAPES, make_pictures, tiny_recipe
from tests.data.packed import pack

FOUR = ("disc", "ring", "square", "triangle")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six classes of ten pictures."""
    return make_pictures(tmp_path_factory.mktemp("photos"), classes=SHAPES, per_class=10)


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> Path:
    """Train long enough for answers that are neither all right nor all wrong."""
    recipe = replace(tiny_recipe(photos), epochs=8, net=tiny_net, schedule="constant")
    folder = tmp_path_factory.mktemp("runs") / "photos-1"
    loop.train(setup.start(recipe, folder))
    return folder


def read(capsys: Capture, words: Sequence[object]) -> str:
    """Run a command that succeeds and return what it prints."""
    assert run([str(word) for word in words]) == 0
    return capsys.readouterr().out


def counts(capsys: Capture, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read(capsys, ["eval", *words, "--json"]))
    return found


def refused(capsys: Capture, words: Sequence[object], *, code: int, message: str) -> None:
    assert run([str(word) for word in words]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_another_arithmetic_of_convolutions_gives_the_same_counts_and_answers(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    wanted = counts(capsys, trained, photos)
    picture = next((photos / FOUR[0]).iterdir())
    labels = json.loads(read(capsys, ["predict", trained, picture, "--json"]))[0]["labels"]
    for algorithm in ("im2col", "auto", "winograd"):
        assert counts(capsys, trained, photos, "--convolution", algorithm) == {
            **wanted,
            "loss": pytest.approx(wanted["loss"], rel=1e-3),  # Winograd's float32 roundings
        }
        words = ["predict", trained, picture, "--json", "--convolution", algorithm]
        for ours, theirs in zip(json.loads(read(capsys, words))[0]["labels"], labels, strict=True):
            assert ours["class"] == theirs["class"]
            assert ours["probability"] == pytest.approx(theirs["probability"], rel=1e-3)


def test_an_arithmetic_that_is_none_is_refused(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    picture = next((photos / FOUR[0]).iterdir())
    for words in (["eval", trained, photos], ["predict", trained, picture]):
        words += ["--convolution", "im2cal"]
        message = "no algorithm is called 'im2cal' (did you mean 'im2col'?); choose one of"
        refused(capsys, words, code=2, message=message)


def test_the_table_has_the_counts_of_the_json(photos: Path, trained: Path, capsys: Capture) -> None:
    found = counts(capsys, trained, photos, "--part", "all")
    table = rows(read(capsys, ["eval", trained, photos, "--part", "all"]))
    wrong, wrong5 = found["top1_errors"], found["top5_errors"]
    assert found["pictures"] == 60
    assert 0 < wrong < 60
    assert ["top-1", str(wrong), f"{wrong / 60:.2%}"] in table
    assert ["top-5", str(wrong5), f"{wrong5 / 60:.2%}"] in table
    for name, row in zip(sorted(SHAPES), found["confusion"], strict=True):
        errors = found["per_class"][name]["top1_errors"]
        assert [name, "10", str(errors), f"{errors / 10:.1%}"] in table
        assert [name, *map(str, row)] in table
        assert sum(row) - row[sorted(SHAPES).index(name)] == errors


@pytest.mark.parametrize("views", ["1", "10", "dense"])
def test_eval_counts_what_predict_answers(
    photos: Path, trained: Path, capsys: Capture, views: str
) -> None:
    found = counts(capsys, trained, photos, "--part", "all", "--views", views)
    printed = read(capsys, ["predict", trained, photos, "--json", "--views", views])
    answers = json.loads(printed)
    truth = [Path(each["picture"]).parent.name for each in answers]
    named = [[label["class"] for label in each["labels"]] for each in answers]
    assert len(answers) == 60
    pairs = list(zip(truth, named, strict=True))
    assert found["top1_errors"] == sum(t != n[0] for t, n in pairs)
    assert found["top5_errors"] == sum(t not in n[:5] for t, n in pairs)
    assert str(found["views"]) == views


def test_ten_views_are_not_one(photos: Path, trained: Path, capsys: Capture) -> None:
    losses = [counts(capsys, trained, photos, "--views", n)["loss"] for n in ("1", "10")]
    assert losses[0] != losses[1]


def test_weights_of_few_bytes_change_few_answers(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    same, rough = (
        counts(capsys, trained, photos, "--part", "all", "--weights", weights)
        for weights in ("same", "int8")
    )
    assert rough["loss"] != same["loss"]
    assert rough["loss"] == pytest.approx(same["loss"], rel=0.05)
    assert abs(rough["top1_errors"] - same["top1_errors"]) <= 3


def test_by_default_only_what_training_held_out_is_used(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    held_out = split_folder(photos, fraction=0.2).validation
    found = counts(capsys, trained, photos)
    assert (found["pictures"], found["used"]) == (len(held_out), f"held out of {photos}")
    assert len(held_out) == 12
    last = json.loads((trained / "journal.jsonl").read_text().splitlines()[-1])
    best = json.loads((trained / "model" / "manifest.json").read_text())["record"]
    assert found["top1_errors"] == best["validation"]["top1_errors"]
    assert last["kind"] == "validation"


def test_other_pictures_are_all_used_unless_a_part_is_asked_for(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = make_pictures(tmp_path / "other", classes=SHAPES, per_class=5, seed=1)
    for part, used in (("auto", 30), ("all", 30), ("validation", 6)):
        assert counts(capsys, trained, other, "--part", part)["pictures"] == used


def test_of_train_and_val_the_latter_is_used(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    make_pictures(tmp_path / "sets" / "train", classes=SHAPES, per_class=2)
    make_pictures(tmp_path / "sets" / "val", classes=SHAPES, per_class=3, seed=1)
    found = counts(capsys, trained, tmp_path / "sets")
    assert (found["pictures"], found["used"]) == (18, f"val/ of {tmp_path / 'sets'}")
    both = counts(capsys, trained, tmp_path / "sets", "--part", "all")
    assert (both["pictures"], both["used"]) == (30, f"train/ and val/ of {tmp_path / 'sets'}")


def test_shards_are_tested_on_as_folders_are(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    shards, other = tmp_path / "shards", tmp_path / "other"
    pack(photos, shards)
    found = counts(capsys, trained, shards)
    assert (found["pictures"], found["used"]) == (60, f"all of {shards}")
    expected = counts(capsys, trained, photos, "--part", "all")
    assert found["confusion"] == expected["confusion"]
    part = counts(capsys, trained, shards, "--part", "validation")
    assert (part["pictures"], part["used"]) == (12, f"held out of {shards}")
    make_pictures(other / "train", classes=SHAPES, per_class=2)
    make_pictures(other / "val", classes=SHAPES, per_class=3, seed=1)
    pack(other, tmp_path / "parts")
    found = counts(capsys, trained, tmp_path / "parts")
    assert (found["pictures"], found["used"]) == (
        18,
        f"the validation part of {tmp_path / 'parts'}",
    )


def test_the_model_of_a_run_also_knows_what_was_held_out(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    assert counts(capsys, trained / "model", photos)["used"] == f"held out of {photos}"


def test_classes_are_matched_by_name_when_folders_are_fewer(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    for name in FOUR:
        shutil.copytree(photos / name, tmp_path / "four" / name)
    whole = counts(capsys, trained, photos, "--part", "all")
    found = counts(capsys, trained, tmp_path / "four")
    assert found["pictures"] == 40
    for index, name in enumerate(sorted(SHAPES)):
        row = whole["confusion"][index] if name in FOUR else [0] * 6
        assert found["confusion"][index] == row
    assert ["cross", "0", "0", "-"] in rows(read(capsys, ["eval", trained, tmp_path / "four"]))


def test_a_class_that_the_net_has_not_is_named(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    make_pictures(tmp_path / "odd", classes=("disc", "squares"), per_class=2)
    message = "class 'squares' is not among 'cross', 'disc', 'ring', 'square', 'stripes' and 1 more"
    refused(capsys, ["eval", trained, tmp_path / "odd"], code=3, message=message)


def test_a_bad_picture_is_named_and_not_counted(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "disc" / "0004.jpg").write_text("a letter")
    assert run(["eval", str(trained), str(tmp_path / "some"), "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith("skipped disc/0004.jpg: this is no known picture")
    found = json.loads(shown.out)
    assert found["pictures"] == 59
    assert list(found["skipped"]) == ["disc/0004.jpg"]


# ---- predict ------------------------------------------------------------------------------------


def test_table_csv_and_json_have_the_same_answers(
    photos: Path, trained: Path, capsys: Capture
) -> None:
    words = ["predict", trained, photos / "disc" / "0001.jpg", photos / "ring", "--top", "3"]
    answers = json.loads(read(capsys, [*words, "--json"]))
    assert [len(each["labels"]) for each in answers] == [3] * 11
    expected_csv, expected_table = [], []
    for each in answers:
        labels = [(label["class"], label["probability"]) for label in each["labels"]]
        assert [p for _, p in labels] == sorted((p for _, p in labels), reverse=True)
        for rank, (name, p) in enumerate(labels, start=1):
            expected_csv.append([each["picture"], str(rank), name, f"{p:.6f}"])
        expected_table.append(
            [each["picture"], *(cell for name, p in labels for cell in (name, f"{p:.1%}"))]
        )
    found = list(csv.reader(io.StringIO(read(capsys, [*words, "--csv"]))))
    assert found == [["picture", "rank", "class", "probability"], *expected_csv]
    assert rows(read(capsys, words))[2:] == expected_table


def test_a_model_folder_answers_as_its_run(photos: Path, trained: Path, capsys: Capture) -> None:
    picture = photos / "cross" / "0000.jpg"
    answers = [read(capsys, ["predict", f, picture]) for f in (trained, trained / "model")]
    assert answers[0] == answers[1]


def test_a_picture_comes_from_standard_input(
    photos: Path, trained: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photos / "cross" / "0000.jpg"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(picture.read_bytes())))
    piped = json.loads(read(capsys, ["predict", trained, "-", "--json"]))
    named = json.loads(read(capsys, ["predict", trained, picture, "--json"]))
    assert piped[0]["picture"] == "-"
    assert piped[0]["labels"] == named[0]["labels"]


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_a_bad_picture_exits_3_and_the_others_are_answered(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture, form: list[str]
) -> None:
    bad, good = tmp_path / "bad.jpg", photos / "disc" / "0000.jpg"
    bad.write_bytes(good.read_bytes()[:900])
    assert run(["predict", str(trained), str(bad), str(good), *form]) == 3
    shown = capsys.readouterr()
    assert shown.err.startswith(f"alexnet: {bad}: the JPEG is damaged: ")
    assert len(shown.err.splitlines()) == 1
    assert str(good) in shown.out
    assert (str(bad) in shown.out) == (form == ["--json"])
    if form == ["--json"]:
        found = json.loads(shown.out)
        assert found[0]["error"].startswith("the JPEG is damaged: ")
        assert len(found[1]["labels"]) == 5


def test_bad_pictures_only_print_nothing_but_why(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    assert run(["predict", str(trained), str(tmp_path)]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"alexnet: {tmp_path / 'bad.jpg'}: the file is empty\n"


def test_what_is_missing_is_named_with_the_nearest(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["predict", trained, photos / "disc" / "0007.jpeg"]
    refused(capsys, words, code=3, message="0007.jpeg does not exist (did you mean '0007.jpg'?)")
    words = ["predict", trained.with_name("photo-1"), photos]
    refused(capsys, words, code=3, message="photo-1 does not exist (did you mean 'photos-1'?)")
    words = ["eval", trained, photos / "dics"]
    refused(capsys, words, code=3, message="(did you mean 'disc'?)")
    refused(capsys, ["eval", tmp_path, photos], code=3, message="holds no model (no manifest.json)")


def test_wrong_words_exit_2(photos: Path, trained: Path, capsys: Capture) -> None:
    words: list[object] = ["predict", trained]
    refused(capsys, words, code=2, message="no picture given; name files or folders, or -")
    refused(capsys, [*words, photos, "--top", 0], code=2, message="top is 0; it must be at least 1")
    message = "unknown option --jsno (did you mean '--json'?); a file of that name is ./--jsno"
    refused(capsys, [*words, photos, "--jsno"], code=2, message=message)
    words = ["eval", trained, photos]
    message = '"3" for --views. Choose from: 1, 10, "dense"'
    refused(capsys, [*words, "--views", 3], code=2, message=message)
    refused(capsys, [*words, "--part", "some"], code=2, message='Invalid value "some" for --part')


def test_the_options_of_predict_are_those_in_its_help(capsys: Capture) -> None:
    shown = read(capsys, ["predict", "--help"])
    assert {*re.findall(r"--[a-z]+", shown), "--help"} == set(PREDICT_OPTIONS)


def test_a_damaged_model_exits_3_and_names_the_tensor(
    photos: Path, trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    path = next((tmp_path / "model").glob("statistics-*.safetensors"))
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    begin = json.loads(data[8 : 8 + length])["mean_image"]["data_offsets"][0]
    data[8 + length + begin + 100] ^= 1
    path.write_bytes(data)
    message = "the digest of tensor 'mean_image' does not match; use another copy"
    refused(capsys, ["eval", tmp_path / "model", photos], code=3, message=message)
