"""`alexnet features` and `alexnet similar` as a user meets them."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from alexnet.cli import run
from alexnet.model import open_model, save_model
from tests.cli.conftest import Capture, refused
from tests.conftest import make_pictures
from tests.data.packed import pack
from tests.inspection.test_features import model_of

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("photos"), per_class=4, size=72)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_net: str) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(model_of(tiny_net), folder)
    return folder


def read(capsys: Capture, *words: object) -> str:
    code = run([str(word) for word in words])
    found = capsys.readouterr()
    assert code == 0, found.err
    return found.out


def refuses(capsys: Capture, words: Sequence[object], *, code: int, message: str) -> None:
    refused(run([str(word) for word in words]), capsys, expected=code, message=message)


def test_features_of_three_worlds_names_stand_in_one_file_and_are_explained(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "f.safetensors"
    names = "fc7,relu7,fc7:before,classifier.4,conv5"
    text = read(capsys, "features", model, photos, "--layers", names, "--out", out)
    assert "fc7: output of relu7, after ReLU: 32 numbers of each picture" in text
    assert "classifier.4: output of fc7, before ReLU (relu7 follows): 32 numbers" in text
    assert "conv5: output of relu5, after ReLU: 16 x 3 x 3 numbers" in text
    assert f"12 pictures -> {out}" in text
    found = load_file(out)
    np.testing.assert_array_equal(found["fc7"], found["relu7"])
    np.testing.assert_array_equal(found["fc7"], found["classifier.4"].clip(0))
    np.testing.assert_array_equal(found["classifier.4"], found["fc7:before"])
    assert found["conv5"].shape == (12, 16 * 9)
    assert found["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_the_logits_of_features_and_the_labels_of_predict_agree(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "f.csv"
    folder = photos / "disc"
    text = read(capsys, "features", model, folder, "--layers", "fc8", "--out", out)
    assert "fc8: output of fc8, no activation function follows" in text
    answers = json.loads(read(capsys, "predict", model, folder, "--json"))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["picture"] for row in rows] == [answer["picture"] for answer in answers]
    for row, answer in zip(rows, answers, strict=True):
        logits = torch.tensor([float(row[f"fc8.{i}"]) for i in range(3)])
        wanted = {each["class"]: each["probability"] for each in answer["labels"]}
        for number, p in enumerate(logits.softmax(0).tolist()):
            assert wanted[f"class {number}"] == pytest.approx(p, rel=1e-3, abs=1e-6)


def test_shards_and_single_pictures_give_the_rows_of_the_folder(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    shards = tmp_path / "shards"
    pack(photos, shards)
    pictures = sorted((photos / "square").glob("*"))
    rows = {}
    sources = {"folder": [photos], "shards": [shards], "files": pictures[:2]}
    for name, source in sources.items():
        out = tmp_path / f"{name}.npy"
        text = read(capsys, "features", model, *source, "--out", out, "--views", 10)
        rows[name] = np.load(out)
        assert "means of 10 views" in text
    with (tmp_path / "folder.csv").open(newline="") as file:
        names = [row["picture"] for row in csv.DictReader(file)]
    with (tmp_path / "shards.csv").open(newline="") as file:
        packed = [row["picture"] for row in csv.DictReader(file)]
    assert sorted(packed) == sorted(names)
    order = [names.index(name) for name in packed]
    np.testing.assert_allclose(rows["shards"], rows["folder"][order], rtol=1e-4, atol=1e-5)
    places = [names.index(str(path.relative_to(photos))) for path in pictures[:2]]
    np.testing.assert_allclose(rows["files"], rows["folder"][places], rtol=1e-4, atol=1e-5)


def test_a_bad_picture_is_skipped_and_named(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"rubbish")
    good = photos / "disc" / "0000.jpg"
    words = ["features", model, bad, good, "--out", tmp_path / "f.npy"]
    assert run([str(word) for word in words]) == 0
    found = capsys.readouterr()
    assert f"skipped {bad}: this is no known picture" in found.err
    assert "1 picture -> " in found.out
    assert np.load(tmp_path / "f.npy").shape == (1, 32)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.jpg", "f.csv", "f.npy"]


def distances(model: Path, image: Path, others: Sequence[Path]) -> dict[str, float]:
    """Return Euclidean distances in fc7 from the net alone, by the names of the pictures."""
    opened = open_model(model)
    rows = []
    for path in (image, *others):
        with Image.open(path) as picture:
            pixels = torch.from_numpy(np.array(picture)).double()
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 + 2 for length in pixels.shape[:2])  # 72 -> 67
        x = (pixels[top : top + 67, left : left + 67] - torch.tensor([110.0, 100, 90])) / 64
        with torch.no_grad():
            rows.append(opened.net(x.permute(2, 0, 1).float()[None], upto="relu7")[0])
    return {
        f"{p.parent.name}/{p.name}": float((row - rows[0]).norm())
        for p, row in zip(others, rows[1:], strict=True)
    }


def test_similar_ranks_by_distance_in_fc7_and_leaves_the_picture_itself_out(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = photos / "disc" / "0001.jpg"
    others = [path for path in sorted(photos.glob("*/*.jpg")) if path != image]
    wanted = distances(model, image, others)
    found = json.loads(read(capsys, "similar", model, image, photos, "--json", "--top", 12))
    assert (found["searched"], found["layer"], found["says"]) == (12, "relu7", "after ReLU")
    nearest = found["nearest"]
    assert sorted(each["picture"] for each in nearest) == sorted(wanted)
    assert [each["distance"] for each in nearest] == sorted(each["distance"] for each in nearest)
    for each in nearest:
        assert each["distance"] == pytest.approx(wanted[each["picture"]], rel=0.02, abs=1e-3)
        assert each["class"] == each["picture"].split("/")[0]

    kept = tmp_path / "f.safetensors"
    read(capsys, "features", model, photos, "--out", kept)
    again = json.loads(
        read(capsys, "similar", model, image, "--features", kept, "--json", "--top", 12)
    )
    assert [each["picture"] for each in again["nearest"]] == [n["picture"] for n in nearest]


def test_similar_prints_a_table_and_draws_a_page(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    image, page = photos / "disc" / "0000.jpg", tmp_path / "page.png"
    words = ("similar", model, image, photos, "--metric", "cosine", "--out", page)
    text = read(capsys, *words, "--top", 2)
    assert text.startswith("fc7: output of relu7, after ReLU; cosine distance to each of 12 pict")
    assert [line.split()[0] for line in text.splitlines()[4:6]] == ["1", "2"]
    assert f"drawn in {page}" in text
    with Image.open(page) as sheet:
        assert sheet.width == 3 * 192 + 4 * 12


def test_a_picture_in_a_folder_without_classes_is_compared_too(
    model: Path, photos: Path, capsys: Capture
) -> None:
    folder = photos / "disc"
    image = folder / "0002.jpg"
    found = json.loads(read(capsys, "similar", model, image, folder, "--json"))
    names = sorted(each["picture"] for each in found["nearest"])
    assert names == [str(folder / f"000{number}.jpg") for number in (0, 1, 3)]
    assert {each["class"] for each in found["nearest"]} == {""}


def test_odd_input_is_answered_clearly(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    image = photos / "disc" / "0000.jpg"
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"rubbish")
    out = ("--out", tmp_path / "f.npy")
    start = ("features", model)
    for code, message, words in (
        (2, "no pictures given; name a data set", start),
        (2, r"no layer is called 'fc9' \(did you", (*start, photos, "--layers", "fc9", *out)),
        (2, "suffix '.txt' is none of", (*start, photos, "--out", "f.txt")),
        (2, "--weights int8 is for answers", (*start, photos, "--weights", "int8", *out)),
        (3, "gone does not exist", (*start, photos / "gone", *out)),
        (3, "bad.jpg: this is no known picture .*no picture is left", (*start, bad, *out)),
        (2, "no DATA given; name the pictures", ("similar", model, image)),
        (2, "top is 0; it must be at least 1", ("similar", model, image, photos, "--top", "0")),
        (3, "gone.jpg does not exist", ("similar", model, photos / "gone.jpg", photos)),
        (3, "bad.jpg: this is no known picture", ("similar", model, bad, photos)),
        (2, "none of .png", ("similar", model, image, photos, "--out", "page.gif")),
    ):
        refuses(capsys, words, code=code, message=message)


def test_features_that_do_not_fit_the_question_are_refused(
    model: Path, photos: Path, tmp_path: Path, capsys: Capture, tiny_net: str
) -> None:
    image = photos / "disc" / "0000.jpg"
    kept = tmp_path / "f.safetensors"
    read(capsys, "features", model, photos, "--out", kept)
    start = ("similar", model, image, "--features", kept)
    message = r"has no features of 'fc6' \(did you mean 'fc7'\?\); it has fc7; choose with --layer"
    refuses(capsys, (*start, "--layer", "fc6"), code=2, message=message)
    other = tmp_path / "other"
    save_model(model_of(tiny_net, classes=2), other)
    words = ("similar", other, image, "--features", kept)
    refuses(capsys, words, code=3, message="has features of another model")
    drawn = ("similar", model, image, photos / "disc", "--features", kept, "--out", "page.png")
    refuses(capsys, drawn, code=3, message="the data have no picture .*which the features are of")
