"""One picture, five ways to its probabilities: as in training, command, Python, page, ONNX."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from alexnet.cli import run
from alexnet.data.folder import list_folder
from alexnet.data.loader import Loader
from alexnet.evaluation.evaluate import evaluate
from alexnet.evaluation.metrics import Counts
from alexnet.model import open_model
from alexnet.predict import predict
from tests.serve.browser import visit
from tests.serve.live import CLASSES, Live

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Answers = dict[str, float]


class Seen(Counts):
    """Counts that keep the probabilities."""

    def add(self, probabilities: Tensor, labels: Tensor) -> None:
        super().add(probabilities, labels)
        self.probabilities = probabilities


def as_in_training(folder: Path, data: Path) -> Answers:
    model = open_model(folder)
    loader = Loader(list_folder(data), 1, model.preprocessing.picture_size, workers=1)
    seen = Seen(model.classes)
    with torch.inference_mode():
        evaluate(model.net, loader.epoch(0, seed=None), model.preprocessing, seen)
    return dict(zip(model.classes, seen.probabilities[-1].tolist(), strict=True))


def by_command(capsys: pytest.CaptureFixture[str], *words: object) -> Answers:
    assert run(["predict", *map(str, words), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    return {label["class"]: label["probability"] for label in answer["labels"]}


def by_page(browser: "Browser", served: Live, picture: Path) -> Answers:
    with visit(browser, served.port, "#/classify?model=one") as page:
        page.locator("input[type=file]:not([webkitdirectory])").set_input_files(picture)
        with page.expect_download() as waited:
            page.get_by_role("button", name="Save as CSV").click()
        text = Path(waited.value.path()).read_bytes().decode()
    (row,) = csv.DictReader(io.StringIO(text))
    return {row[f"answer_{place}"]: float(row[f"probability_{place}"]) for place in (1, 2, 3)}


def test_a_picture_has_the_same_probabilities_five_ways(
    served: Live,
    browser: "Browser",
    runs_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("onnxruntime")
    data, one, graph = runs_folder.parent / "data", runs_folder / "one", tmp_path / "one.onnx"
    picture = sorted((data / "square").iterdir())[-1]  # the last of the folder
    (answer,) = predict(open_model(one), [str(picture)])
    in_python = dict(answer.labels)
    assert sorted(in_python) == sorted(CLASSES)
    assert sum(in_python.values()) == pytest.approx(1)
    assert max(in_python.values()) < 0.999  # or all ways would agree on anything
    assert run(["export", str(one), "--to", "onnx", "--out", str(graph), "--data", str(data)]) == 0
    capsys.readouterr()
    ways = {
        "as in training": as_in_training(one, data),
        "by command": by_command(capsys, one, picture, "--precision", "fp32"),
        "by page": by_page(browser, served, picture),
        "by ONNX": by_command(capsys, graph, picture),
    }
    for way, found in ways.items():
        assert found == pytest.approx(in_python, abs=1e-5), way
