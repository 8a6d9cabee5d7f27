"""`alexnet eval` with several nets and scales, calibration, mistakes and a submission."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.cli import run
from alexnet.data.augment import cut, same_windows
from alexnet.data.folder import list_folder
from alexnet.data.image import fit_square
from alexnet.model import Model, create, open_model, save_model
from alexnet.nets import NETS
from alexnet.predict import dense
from alexnet.training import loop, setup
from tests.cli.conftest import Capture
from tests.conftest import SHAPES, TINY, make_pictures, tiny_recipe


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("photos"), classes=SHAPES, per_class=6)


@pytest.fixture(scope="module")
def runs(photos: Path, tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> list[Path]:
    """Train a net; the second run has its weights with noise."""
    recipe = replace(tiny_recipe(photos), epochs=6, net=tiny_net, schedule="constant")
    folder = tmp_path_factory.mktemp("runs")
    loop.train(setup.start(recipe, folder / "one"))
    model = open_model(folder / "one")
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.net.parameters():
            p.add_(torch.randn_like(p) * p.std() / 3)
    save_model(model, folder / "two")
    return [folder / "one", folder / "two"]


def read(capsys: Capture, words: Sequence[object]) -> str:
    assert run([str(word) for word in words]) == 0
    return capsys.readouterr().out


def counts(capsys: Capture, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        read(capsys, ["eval", *words, "--json", "--part", "all", "--precision", "fp32"])
    )
    return found


def refused(capsys: Capture, words: Sequence[object], *, code: int, message: str) -> None:
    assert run([str(word) for word in ["eval", *words]]) == code
    assert message in capsys.readouterr().err


def by_hand(model: Model, photos: Path, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probabilities of the centre crops at a scale, and the labels."""
    listing, found = list_folder(photos), []
    preprocessing = replace(model.preprocessing, picture_size=size)
    if size != model.preprocessing.picture_size:
        preprocessing = replace(preprocessing, subtract="mean-value")
    place = preprocessing.border // 2
    for i in range(len(listing)):
        picture = torch.from_numpy(fit_square(listing.pixels(i, at_least=size), size))[None]
        x = cut(picture, same_windows(1, place, place), preprocessing)
        with torch.inference_mode():
            found.append(model.net(x).softmax(1))
    return torch.cat(found), torch.tensor(listing.labels)


def test_runs_and_scales_are_averaged(photos: Path, runs: list[Path], capsys: Capture) -> None:
    found = counts(capsys, *runs, photos, "--scales", "72,80")
    models = [open_model(each) for each in runs]
    p = torch.stack([by_hand(model, photos, size)[0] for model in models for size in (72, 80)])
    labels = by_hand(models[0], photos, 72)[1]
    own = p.mean(0).double()[torch.arange(36), labels]
    assert found["loss"] == pytest.approx(-float(own.log().mean()), rel=1e-4)
    assert found["top1_errors"] == int((p.mean(0).argmax(1) != labels).sum())
    assert (found["weights"], found["scales"]) == ([0.5, 0.5], [72, 80])
    assert found["runs"] == list(map(str, runs))


def test_a_run_with_its_classes_in_another_order_joins_in(
    photos: Path, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    model = open_model(runs[1])
    order = [3, 1, 5, 0, 2, 4]
    model.classes = tuple(model.classes[i] for i in order)
    last = model.net.get_submodule("fc8")
    with torch.no_grad():
        for p in last.parameters():
            p.copy_(p[order].clone())
    save_model(model, tmp_path / "turned")
    found, wanted = (
        counts(capsys, runs[0], each, photos) for each in (tmp_path / "turned", runs[1])
    )
    assert found["confusion"] == wanted["confusion"]
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-6)


def test_dense_answers_are_means_over_places_and_mirror_images(
    photos: Path, runs: list[Path], capsys: Capture
) -> None:
    found = counts(capsys, runs[0], photos, "--views", "dense", "--scales", "131")
    model = open_model(runs[0])
    net, listing, total = dense(model), list_folder(photos), 0.0
    preprocessing = replace(
        model.preprocessing, picture_size=131, crop_size=131, subtract="mean-value"
    )
    for i, label in enumerate(listing.labels):
        picture = torch.from_numpy(fit_square(listing.pixels(i, at_least=131), 131))[None]
        x = cut(picture, same_windows(1, 0, 0), preprocessing)
        with torch.inference_mode():
            p = [net(each).softmax(1) for each in (x, x.flip(3))]
        total -= float((p[0] + p[1])[0, label].div(2).log())
    assert found["loss"] == pytest.approx(total / 36, rel=1e-4)
    assert found["views"] == "dense"
    shown = read(capsys, ["eval", runs[0], photos, "--views", "dense", "--scales", "131"])
    assert "the whole of each, at 131 pixels" in shown


def test_calibration_weights_and_mistakes_are_shown_as_the_json_has_them(
    photos: Path, runs: list[Path], capsys: Capture
) -> None:
    words = [*runs, photos, "--fit-weights", "--calibration", "--mistakes", "3"]
    found = counts(capsys, *words)
    shown = read(capsys, ["eval", *words, "--part", "all", "--precision", "fp32"])
    calibration, mistakes = found["calibration"], found["mistakes"]
    assert f"calibration error {calibration['error']:.2%}, loss {found['loss']:.4f}" in shown
    assert f"temperature {calibration['temperature']:.3f}" in shown
    assert sum(each["pictures"] for each in calibration["bins"]) == 36
    assert sum(found["weights"]) == pytest.approx(1)
    assert [each["probability"] for each in mistakes] == sorted(
        (each["probability"] for each in mistakes), reverse=True
    )
    for each in mistakes:
        assert each["picture"].startswith(each["truth"])
        assert each["answer"] != each["truth"]
        assert f"{each['probability']:.1%}" in shown
    for path, weight in zip(runs, found["weights"], strict=True):
        assert [str(path), f"{weight:.3f}"] in [line.split() for line in shown.splitlines()]


def test_a_picture_that_cannot_be_read_is_left_out_of_everything(
    photos: Path, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    shutil.copytree(photos, tmp_path / "some")
    (tmp_path / "some" / "disc" / "0002.jpg").write_text("a letter")
    assert run(["eval", str(runs[0]), str(tmp_path / "some"), "--json", "--calibration"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["pictures"] == sum(b["pictures"] for b in found["calibration"]["bins"]) == 35
    assert list(found["skipped"]) == ["disc/0002.jpg"]
    assert shown.err.startswith("skipped disc/0002.jpg: ")


# ---- A submission -------------------------------------------------------------------------------


def classes_file(folder: Path, names: Sequence[str]) -> None:
    rows = [
        {
            "label": i,
            "wnid": n,
            "words": n,
            "ilsvrc_id": 100 - i,
            "num_train_images": 1,
            "gloss": "",
        }
        for i, n in enumerate(names)
    ]
    (folder / "classes.json").write_text(json.dumps({"classes": rows}))


def test_a_submission_has_the_ids_of_the_five_first_answers(
    photos: Path, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    for number, path in enumerate(sorted(data.glob("*/*.jpg"), key=lambda p: p.name)):
        path.rename(path.with_name(f"ILSVRC2012_val_{number:08d}.jpg"))
    names = sorted(SHAPES)
    classes_file(data, names)
    file = tmp_path / "labels.txt"
    read(capsys, ["eval", runs[0], data, "--submission", file, "--precision", "fp32"])
    answers = json.loads(read(capsys, ["predict", runs[0], data, "--json"]))
    answers.sort(key=lambda each: Path(each["picture"]).name)
    expected = [
        " ".join(str(100 - names.index(label["class"])) for label in each["labels"])
        for each in answers
    ]
    assert file.read_text().splitlines() == expected
    (data / "disc" / "new.jpg").write_text("a letter")
    words = [runs[0], data, "--submission", file]
    message = "new.jpg was not read, and a submission needs a line for every picture"
    refused(capsys, words, code=3, message=message)


def test_what_cannot_be_done_is_refused(
    photos: Path, runs: list[Path], tmp_path: Path, capsys: Capture
) -> None:
    one = [runs[0], photos]
    refused(capsys, [runs[0]], code=2, message="no pictures given; alexnet eval")
    refused(capsys, [*one, "--mistakes", "-1"], code=2, message="mistakes is -1; give the number")
    refused(capsys, [*one, "--fit-weights"], code=2, message="weights are fitted for several runs")
    refused(capsys, [*one, "--scales", "60"], code=2, message="scale 60 is smaller than the net's")
    message = "has no classes.json, which tells the ILSVRC IDs of a submission"
    refused(capsys, [*one, "--submission", tmp_path / "x"], code=2, message=message)
    message = "dense testing has no int8 weights; leave --weights out"
    refused(capsys, [*one, "--views", "dense", "--weights", "int8"], code=2, message=message)
    other = create("tiny", ("a", "b"), open_model(runs[0]).preprocessing, seed=0)
    save_model(other, tmp_path / "other")
    message = "run 2 has other classes than run 1, 'a' among them"
    refused(capsys, [runs[0], tmp_path / "other", photos], code=2, message=message)


def test_a_net_with_branches_has_no_dense_form(runs: list[Path]) -> None:
    model = open_model(runs[0])
    model.net.branches = True
    with pytest.raises(ValueError, match=r"^a net from a text with branches has no dense form; "):
        dense(model)
    assert NETS["tiny"] is TINY
