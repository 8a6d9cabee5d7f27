"""`alexnet train`: what it prints and leaves, and every bad input with its message."""

import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from alexnet.cli import run
from alexnet.convolution.algorithms import ALGORITHMS
from alexnet.convolution.problem import Problem
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe, load
from tests.cli.conftest import Capture, Train, refused
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")
RULE = "the first 20% of each class by SHA-256 of the file to validation"


def test_it_says_what_it_trains_on_and_what_to_type_next(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    data = pictures(per_class=10)
    assert train(data) == 0
    shown = capsys.readouterr()
    assert f"training tiny on {data}; the run is {tmp_path / 'run'}\n" in shown.err
    assert f"24 pictures to train on, 6 to validate ({RULE}), 3 classes; cpu in" in shown.err
    last = read_journal(tmp_path / "run" / "journal.jsonl")[-1]
    first_line = f"6 validation pictures: top-1 error {last['top1_error']:.2%}, top-5 error 0.00%"
    assert shown.out.splitlines() == [
        first_line,
        f"next: alexnet eval {tmp_path / 'run'} {data} --views 10",
        f"      alexnet predict {tmp_path / 'run'} PICTURE ...",
    ]


def test_options_replace_fields_of_the_recipe(
    train: Train, pictures: MakePictures, tmp_path: Path, tiny: Path
) -> None:
    data = pictures()
    words = "--steps 1 --layer-lr conv1=0 --layer-lr fc8.bias=2 --milestones 1 --milestones 2.5"
    assert train(data, *words.split(), "--no-flip", "--subtract", "mean-value") == 0
    assert load(tmp_path / "run" / "recipe.toml") == replace(
        load(tiny),
        data=str(data),
        steps=1,
        layer_lr={"conv1": 0.0, "fc8.bias": 2.0},
        milestones=(1.0, 2.5),
        flip=False,
        subtract="mean-value",
    )


def test_the_algorithm_of_the_convolutions_is_kept_and_gone_on_with(
    train: Train, pictures: MakePictures, tmp_path: Path
) -> None:
    assert train(pictures(), "--convolution", "im2col", "--steps", "2") == 0
    assert load(tmp_path / "run" / "recipe.toml").convolution == "im2col"


def test_layers_that_keep_torchs_convolution_are_named(
    train: Train, pictures: MakePictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(problem: Problem) -> str:
        return "the kernel is large" if problem.kernel == (11, 11) else ""

    monkeypatch.setitem(ALGORITHMS, "im2col", replace(ALGORITHMS["im2col"], refusal=refuse))
    assert train(pictures(), "--convolution", "im2col", "--steps", "1") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "convolution" in line]
    assert said == ["note: conv1 keeps torch's own convolution: the kernel is large"]


def test_without_out_runs_are_numbered(
    tiny: Path, pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = pictures("photos")
    for _ in range(2):
        assert run(["train", str(data), "--recipe", str(tiny), "--steps", "1"]) == 0
    found = sorted(p.name for p in (tmp_path / "runs").iterdir())
    assert found == ["photos-tiny-1", "photos-tiny-2"]


def test_the_recipe_of_a_run_runs_again_with_its_data(
    train: Train, pictures: MakePictures, tmp_path: Path
) -> None:
    assert train(pictures(), "--steps", "2") == 0
    recipe = tmp_path / "run" / "recipe.toml"
    assert run(["train", "--recipe", str(recipe), "--out", str(tmp_path / "again")]) == 0
    losses = [
        [line.get("loss") for line in read_journal(tmp_path / name / "journal.jsonl")]
        for name in ("run", "again")
    ]
    assert losses[0] == losses[1]


# ---- Words ------------------------------------------------------------------------------------

WORDS = [
    (["--recipe", "papper"], r"no recipe is called 'papper' \(did you mean 'paper'\?\)"),
    (["--recipe", "gone.toml"], r"recipe file gone\.toml does not exist"),
    (["--net", "alexnt"], r"no net is called 'alexnt' \(did you mean 'alexnet'\?\)"),
    (["--schedule", "cosin"], r'Invalid value "cosin" for --schedule.*Did you mean "cosine"\?'),
    (["--batch", "many"], r'Invalid value for --batch: unable to convert "many" into int'),
    (["--epochs", "0"], r"epochs is 0; it must be at least 1"),
    (["--convolution", "im2cal"], r"no algorithm is called 'im2cal' \(did you mean 'im2col'\?\)"),
    (["--convolution", "winograd-40"], r"winograd-40 has tiles of 40 outputs; they must be 1 to"),
    (["--lr", "nan"], r"lr holds nan; it must be a finite number"),
    (["--layer-lr", "conv1=slow"], r"layer_lr is 'conv1=slow'; write LAYER=FACTOR, such as conv1"),
    (["--layer-lr", "conv9=1"], r"layer_lr names 'conv9', which the net has not; its layers are"),
    (
        ["--crop", "random-resized"],
        r"subtract is 'mean-image'; it must be mean-value or none where",
    ),
    (["--input-size", "66"], r"input size 66 leaves no pixel at pool5; the smallest size"),
    (["--pattience", "3"], r"Unknown option: --pattience\. Did you mean --patience\?"),
]


@pytest.mark.parametrize(("words", "message"), WORDS)
def test_a_wrong_word_exits_2_and_names_the_way_out(
    train: Train, pictures: MakePictures, capsys: Capture, words: list[str], message: str
) -> None:
    refused(train(pictures(), *words), capsys, expected=2, message=message)


def test_no_data_at_all_exits_2(tiny: Path, capsys: Capture) -> None:
    code = run(["train", "--recipe", str(tiny)])
    refused(code, capsys, expected=2, message="no data given; name a folder of pictures")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("momentun = 0.9", r"bad\.toml: unknown key 'momentun' \(did you mean 'momentum'\?\)"),
        ("lr = = 2", r"bad\.toml is not TOML: .*line 1, column 6"),
        ("epochs = '3'", r"bad\.toml: epochs is '3'; it must be of type int"),
    ],
)
def test_a_bad_recipe_file_exits_2(
    pictures: MakePictures, tmp_path: Path, capsys: Capture, text: str, message: str
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    code = run(["train", str(pictures()), "--recipe", str(tmp_path / "bad.toml")])
    refused(code, capsys, expected=2, message=message)


def test_the_recipe_that_is_taken_when_none_is_given_is_in_the_help(capsys: Capture) -> None:
    assert run(["train", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "quick (the default" in shown
    options = {name.replace("_", "-") for name in Recipe.__dataclass_fields__} - {"data"}
    assert [name for name in options if f"--{name}" not in shown] == []


def test_a_folder_that_is_not_empty_exits_2(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("all my work")
    code = train(pictures())
    refused(code, capsys, expected=2, message=r"is not empty; go on with --resume .*/run, or choo")
    assert (tmp_path / "run" / "thesis.txt").read_text() == "all my work"


# ---- Data -------------------------------------------------------------------------------------


def test_a_missing_folder_names_the_nearest(
    train: Train, pictures: MakePictures, capsys: Capture
) -> None:
    data = pictures("photos")
    code = train(data.with_name("fotos"))
    message = r"fotos does not exist; .* has no 'fotos' \(did you mean 'photos'\?\)"
    refused(code, capsys, expected=3, message=message)


def test_an_empty_folder_says_how_pictures_are_laid_out(
    train: Train, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "empty").mkdir()
    message = r"empty has no class folders .* is a folder with a sub-folder of pictures for each c"
    refused(train(tmp_path / "empty"), capsys, expected=3, message=message)


def test_one_class_only_exits_3(train: Train, pictures: MakePictures, capsys: Capture) -> None:
    code = train(pictures(classes=["cat"]))
    refused(code, capsys, expected=3, message="has one class only, 'cat': there is nothing to tell")


def test_a_class_that_train_lacks_exits_3(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    pictures("data/train", classes=("disc", "square"))
    pictures("data/val", classes=("disc", "squares"))
    message = r"class 'squares' is not among 'disc', 'square' \(did you mean 'square'\?\)"
    refused(train(tmp_path / "data"), capsys, expected=3, message=message)


def header_of(side: int) -> bytes:
    """Return a JPEG that says it is `side` x `side` pixels."""
    frame = struct.pack(">HBHHB", 17, 8, side, side, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda" + struct.pack(">H", 2) + bytes(100)


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda jpeg: jpeg[: len(jpeg) // 2], "the JPEG is damaged: "),
    "a letter": (lambda _: b"Dear reader, ...", r"this is no known picture \(it starts with"),
    "empty": (lambda _: b"", "the file is empty"),
    "far too large": (
        lambda _: header_of(65500),
        "the header says 65500 x 65500 pixels; the limit is 20000 a side",
    ),
}


def data_with_bad(pictures: MakePictures, kind: str, names: list[str]) -> Path:
    """Return train/ and val/, where some pictures of train/ are bad."""
    root = pictures("data/train", per_class=10).parent
    pictures("data/val", per_class=2, seed=1)
    for name in names:
        path = root / "train" / name
        path.write_bytes(BAD[kind][0](path.read_bytes()))
    return root


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_skipped_named_and_counted(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture, kind: str
) -> None:
    assert train(data_with_bad(pictures, kind, ["disc/0003.jpg"])) == 0
    errors = capsys.readouterr().err
    assert re.search(rf"^skipped disc/0003\.jpg: {BAD[kind][1]}", errors, re.MULTILINE), errors
    lines = read_journal(tmp_path / "run" / "journal.jsonl")
    assert [line["bad_pictures"] for line in lines if line["kind"] == "validation"] == [1, 1]


def test_on_bad_image_stop_exits_3(train: Train, pictures: MakePictures, capsys: Capture) -> None:
    data = data_with_bad(pictures, "cut short", ["disc/0003.jpg"])
    message = r"disc/0003\.jpg: the JPEG is damaged: .*; remove the file, or go on with --on-bad"
    code = train(data, "--on-bad-image", "stop")
    refused(code, capsys, expected=3, message=message)


def test_more_than_one_bad_picture_in_a_hundred_exits_3(
    train: Train, pictures: MakePictures, capsys: Capture
) -> None:
    data = data_with_bad(pictures, "a letter", ["disc/0003.jpg", "square/0001.jpg"])
    message = r"2 of 30 pictures cannot be read, more than 1 %: .*disc/0003\.jpg: .*; repair or rem"
    refused(train(data), capsys, expected=3, message=message)


# ---- Machine ----------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_exits_4(
    tiny: Path, pictures: MakePictures, capsys: Capture
) -> None:
    out = str(tiny / "run")  # below a regular file
    code = run(["train", str(pictures()), "--recipe", str(tiny), "--out", out])
    refused(code, capsys, expected=4, message=r"tiny\.toml/run: not a directory")


def test_no_permission_exits_4(
    train: Train, pictures: MakePictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    data = pictures()
    monkeypatch.setattr(Path, "mkdir", forbidden)
    refused(train(data), capsys, expected=4, message=r"/run: permission denied")


def test_a_full_disk_exits_4(
    train: Train, pictures: MakePictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    message = r"has 0 MB free; two checkpoints need 0 MB; free some space or choose another --out"
    refused(train(pictures()), capsys, expected=4, message=message)


def test_a_device_that_is_not_there_exits_4(
    train: Train, pictures: MakePictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code = train(pictures(), "--device", "cuda")
    refused(code, capsys, expected=4, message="torch finds no CUDA device; use --device cpu")


def test_weights_that_run_away_exit_5(
    train: Train, pictures: MakePictures, capsys: Capture
) -> None:
    words = ["--lr", "10", "--bias-lr", "1000000000", "--epochs", "20", "--schedule", "constant"]
    message = r"the loss is (nan|inf) at update \d+: the weights have run away; .*lower --lr"
    refused(train(pictures(), *words), capsys, expected=5, message=message)
