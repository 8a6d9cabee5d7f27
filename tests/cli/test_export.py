"""`alexnet export`, and `alexnet predict` from what it wrote."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.cli import run
from alexnet.export import runtimes
from alexnet.training import loop, setup
from tests.cli.conftest import Capture, refused
from tests.conftest import SHAPES, make_pictures, tiny_recipe

PICTURES = 10


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("photos"), classes=SHAPES[:3], per_class=10)


@pytest.fixture(scope="module")
def once(photos: Path, tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> Path:
    recipe = replace(tiny_recipe(photos), net=tiny_net)
    folder = tmp_path_factory.mktemp("runs") / "photos-1"
    loop.train(setup.start(recipe, folder))
    return folder


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """Copy the run, so that a test may write beside its model."""
    return Path(shutil.copytree(once, tmp_path / "run"))


def call(*words: object) -> int:
    return run([str(word) for word in words])


def exported(capsys: Capture, *words: object) -> dict[str, Any]:
    assert call("export", *words, "--pictures", PICTURES, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def labels(capsys: Capture, *words: object) -> list[dict[str, Any]]:
    assert call("predict", *words, "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("inside", ["outside", "inside"])
def test_a_picture_has_the_same_probabilities_by_command_and_onnx(
    trained: Path, photos: Path, capsys: Capture, inside: str
) -> None:
    exported(capsys, trained, "--to", "onnx", "--preprocessing", inside)
    ours = labels(capsys, trained, photos)
    for words in ((trained, "--runtime", "onnx"), (trained / "model.onnx",)):
        theirs = labels(capsys, *words, photos)
        for a, b in zip(ours, theirs, strict=True):
            assert a["picture"] == b["picture"]
            wanted = {each["class"]: each["probability"] for each in a["labels"]}
            found = {each["class"]: each["probability"] for each in b["labels"]}
            assert found == pytest.approx(wanted, abs=1e-5)


def test_what_is_written_is_said_with_its_difference_and_the_next_step(
    trained: Path, capsys: Capture
) -> None:
    assert call("export", trained, "--to", "onnx", "--pictures", PICTURES) == 0
    path = trained / "model.onnx"
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == f"{path}: {path.stat().st_size / 1e6:.1f} MB"
    assert second.startswith("compared on 6 pictures: the largest difference of a probability is ")
    assert ", 6 first answers are the same (held out of " in second
    assert third == f"try: alexnet predict {trained} --runtime onnx PICTURE"


def test_rounded_weights_say_their_errors_on_labelled_pictures(
    trained: Path, photos: Path, capsys: Capture
) -> None:
    words = ["export", str(trained), "--to", "onnx", "--weights", "int8", "--data", str(photos)]
    assert run(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{trained / 'model-int8.onnx'}: ")
    assert lines[2].startswith("what the rounded weights change: up to ")
    assert lines[3].startswith("errors of 6 pictures: ")
    assert lines[4].endswith("--runtime onnx --weights int8 PICTURE")
    answers = labels(capsys, trained, "--runtime", "onnx", "--weights", "int8", photos)
    assert len(answers) == 30
    found = exported(capsys, trained, "--to", "onnx", "--weights", "bf16", "--data", photos)
    wrong = json.loads(json.dumps(found["cost_of_weights"]))
    assert call("eval", trained, photos, "--json") == 0
    counted = json.loads(capsys.readouterr().out)["top1_errors"]
    assert wrong["errors_before"] == counted
    assert 0 <= wrong["errors_after"] <= 6


@pytest.mark.parametrize(
    ("to", "names"),
    [
        ("safetensors", ["model.safetensors"]),
        ("torch", ["model.pth"]),
        ("onnx", ["model.onnx"]),
    ],
)
def test_every_form_lies_beside_the_model(
    trained: Path, capsys: Capture, to: str, names: list[str]
) -> None:
    found = exported(capsys, trained, "--to", to)
    assert [Path(name).name for name in found["files"]] == names
    assert all((trained / name).is_file() for name in names)
    assert found["largest_difference"] < 1e-5
    assert (found["pictures"], found["same_first_answers"]) == (6, 6)
    assert found["cost_of_weights"] is None


def test_generated_pictures_stand_in_for_those_that_are_gone(
    trained: Path, capsys: Capture
) -> None:
    (trained / "recipe.toml").unlink()
    assert call("export", trained, "--to", "safetensors", "--pictures", 3) == 0
    found = capsys.readouterr()
    assert "comparing on generated ones; see --data" in found.err
    assert "compared on 3 pictures" in found.out
    assert "(generated)" in found.out
    assert "read it with its own program" in found.out


def test_a_file_that_was_named_is_not_overwritten_and_one_beside_the_model_is(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    for _ in range(2):
        exported(capsys, trained, "--to", "onnx")
    out = tmp_path / "net.onnx"
    exported(capsys, trained, "--to", "onnx", "--out", out)
    code = call("export", trained, "--to", "onnx", "--out", out)
    refused(code, capsys, expected=2, message="exists already; give another --out, or remove it")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onnx", "--pictures", "0"], "pictures is 0; compare on at least 1"),
        (["--to", "onnx", "--out", "net.bin"], r"net.bin does not end in .onnx; name it net.onnx"),
        (["--to", "onnx", "--out", "none/net.onnx"], "none is no folder; make it first"),
        (["--to", "torch", "--weights", "int8"], "--to torch has no int8 weights"),
        (["--to", "caffe", "--preprocessing", "inside"], "--to caffe holds weights alone"),
        (["--to", "onix"], "onix"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    trained: Path, capsys: Capture, words: list[str], message: str
) -> None:
    refused(call("export", trained, *words), capsys, expected=2, message=message)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    code = call("export", trained, "--to", "safetensors", "--out", closed / "net.safetensors")
    refused(code, capsys, expected=4, message="closed.*permission denied")


def test_a_package_that_is_missing_is_the_environments_fault(
    trained: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    code = call("export", trained, "--to", "onnx")
    refused(code, capsys, expected=4, message=r"not installed; pip install 'alexnet\[onnx\]'")
    code = call("predict", trained, "--runtime", "onnx", trained / "recipe.toml")
    refused(code, capsys, expected=3, message="run has no model.onnx; make it with: alexnet export")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--views", "10"], "--views 10 is for torch; leave it out, or use --runtime torch"),
        (["--precision", "bf16"], "--precision bf16 is for torch"),
        (["--convolution", "fft"], "--convolution fft is for torch"),
        (["--device", "cuda"], "--device cuda is for torch"),
    ],
)
def test_options_of_torch_are_refused_elsewhere(
    trained: Path, capsys: Capture, words: list[str], message: str
) -> None:
    code = call("predict", trained, trained / "recipe.toml", "--runtime", "onnx", *words)
    refused(code, capsys, expected=2, message=message)


def test_damage_and_weights_of_another_training_are_refused(
    trained: Path, photos: Path, capsys: Capture
) -> None:
    exported(capsys, trained, "--to", "onnx")
    file = trained / "model.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    code = call("predict", file, photos)
    refused(code, capsys, expected=3, message="is no ONNX file, or a damaged one")
    file.write_bytes(whole)
    manifest = trained / "model" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"digest": "', '"digest": "0'))
    code = call("predict", trained, "--runtime", "onnx", photos)
    refused(code, capsys, expected=3, message="was made of other weights than .* has now")


def test_a_picture_that_cannot_be_read_is_named_and_the_others_answered(
    trained: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    exported(capsys, trained, "--to", "onnx")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8")
    good = next(photos.rglob("*.jpg"))
    assert call("predict", trained / "model.onnx", broken, good, "--csv") == 3
    found = capsys.readouterr()
    assert f"alexnet: {broken}: the JPEG is damaged" in found.err
    assert found.out.splitlines()[1].startswith(f"{good},1,")


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
def test_openvino_answers_from_the_run_and_from_its_file(
    trained: Path, photos: Path, capsys: Capture
) -> None:
    pytest.importorskip("openvino")
    found = exported(capsys, trained, "--to", "openvino")
    assert [Path(name).name for name in found["files"]] == ["model.xml", "model.bin"]
    ours = labels(capsys, trained, photos)
    for words in ((trained, "--runtime", "openvino"), (trained / "model.xml",)):
        theirs = labels(capsys, *words, photos)
        assert [a["labels"][0]["class"] for a in ours] == [b["labels"][0]["class"] for b in theirs]


def test_a_folder_for_hugging_face_answers_as_the_run_and_has_its_card(
    trained: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "my.model"
    found = exported(capsys, trained, "--to", "huggingface", "--out", out)
    assert (found["files"], found["largest_difference"]) == ([str(out)], 0)
    assert found["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert labels(capsys, out, photos) == labels(capsys, trained, photos)
    assert "model-index:" in (out / "README.md").read_text()
    assert call("export", trained, "--to", "huggingface", "--pictures", 3) == 0
    usual = trained / "model-huggingface"
    assert f"try: alexnet predict {usual} PICTURE" in capsys.readouterr().out
    code = call("export", trained, "--to", "huggingface")
    refused(code, capsys, expected=2, message="model-huggingface exists already; give another --o")
