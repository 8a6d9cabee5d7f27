"""Several processes train as one does: pictures, augmentation, dropout, update, validation."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from alexnet import store
from alexnet.data.augment import cut
from alexnet.evaluation import evaluate
from alexnet.model import Model, create
from alexnet.nets import NETS
from alexnet.parallel.layout import Layout
from alexnet.parallel.mesh import join
from alexnet.parallel.team import Team
from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from tests.conftest import TINY, MakePictures, tiny_recipe
from tests.parallel.ranks import on_ranks

TOLERANCE = 1e-12  # float64; sums over pictures and kernels are taken in another order


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    """Three classes, 24 pictures to train on in batches of 8; everything random is on."""
    return replace(tiny_recipe(pictures(per_class=10)), epochs=2, lighting=0.5)


def exact_model(*args: Any, seed: int) -> Model:
    model = create(*args, seed=seed)
    model.net.double()
    return model


def exact_cut(*args: Any, **named: Any) -> Tensor:
    return cut(*args, **named).double()


def train(
    recipe: Recipe, folder: Path, layout: Layout | None = None, *, resumes: bool = False
) -> None:
    """Train as `alexnet train` does, in float64."""
    chosen = layout or Layout()
    with (
        mock.patch.dict(NETS, tiny=TINY),
        mock.patch.object(setup, "choose_dtype", return_value=torch.float64),
        mock.patch.object(setup, "create", exact_model),
        mock.patch.object(evaluate, "cut", exact_cut),
        join(chosen.columns) as mesh,
    ):
        team = Team(mesh, chosen)
        if resumes:
            loop.train(setup.resume(folder, team))
        else:
            loop.train(setup.start(recipe, folder, team))


def result(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[dict[str, Any]]]:
    """Return position, weights and velocities, and the journal of a run."""
    content, groups = store.read(max((folder / "checkpoints").glob("step-*")))
    position = content["position"]
    del position["seconds"]
    both = groups["weights"] | {f"{n}.velocity": v for n, v in groups["velocities"].items()}
    lines = read_journal(folder / "journal.jsonl")
    for line in lines:
        for name in ("images_per_second", "wait_share"):
            line.pop(name, None)
    return position, both, lines


def same(found: Path, wanted: Path, *, tolerance: float = TOLERANCE) -> None:
    position, tensors, lines = result(found)
    expected_position, expected, expected_lines = result(wanted)
    assert position == expected_position
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=tolerance, atol=tolerance)
    assert len(lines) == len(expected_lines)
    for line, expected_line in zip(lines, expected_lines, strict=True):
        assert line.pop("kind") == expected_line.pop("kind")
        assert line == pytest.approx(expected_line, rel=1e-6)  # losses are kept in float32


@pytest.mark.parametrize(
    ("ranks", "layout"),
    [
        (2, Layout()),
        (4, Layout()),
        (2, Layout(columns=2)),
        (4, Layout(columns=2)),
        (2, Layout(hybrid="a")),
        (4, Layout(hybrid="b")),
        (4, Layout(hybrid="c")),
    ],
    ids=str,
)
def test_a_run_of_several_processes_is_that_of_one(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path, ranks: int, layout: Layout
) -> None:
    train(recipe, tmp_path / "one")
    on_ranks(pool, ranks, train, recipe, tmp_path / "several", layout)
    same(tmp_path / "several", tmp_path / "one")
    one, several = (
        json.loads((tmp_path / n / "model" / "manifest.json").read_text())
        for n in ("one", "several")
    )
    assert one["record"].keys() == several["record"].keys()
    assert one["record"]["validation"]["confusion"] == several["record"]["validation"]["confusion"]
