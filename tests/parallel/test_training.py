"""Several processes train as one does: pictures, augmentation, dropout, update, validation.

Float64: with everything random on, weights and velocities after some updates are the same but for
the order of sums.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from alexnet import store
from alexnet.data.augment import Preprocessing, cut
from alexnet.evaluation import evaluate
from alexnet.model import Model, create
from alexnet.native.stages import Windows
from alexnet.nets import NETS
from alexnet.parallel.layout import Layout
from alexnet.parallel.mesh import join
from alexnet.parallel.team import Team
from alexnet.training import loop, setup
from alexnet.training.interrupt import Interrupted
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


def exact_cut(pictures: Tensor, windows: Windows, preprocessing: Preprocessing) -> Tensor:
    return cut(pictures, windows, preprocessing).double()


class Stop:
    """A request to stop that comes after some updates."""

    def __init__(self, after: int) -> None:
        self._left = after

    @property
    def reason(self) -> str:
        """Count the updates; the loop asks once in each."""
        self._left -= 1
        return "SIGTERM" if self._left == 0 else ""


def train(
    recipe: Recipe,
    folder: Path,
    layout: Layout | None = None,
    *,
    resumes: bool = False,
    stops_after: int = 0,
    dtype: torch.dtype = torch.float64,
) -> str:
    """Train as `alexnet train` does, by default in float64; return why it was interrupted."""
    chosen, exact = layout or Layout(), dtype == torch.float64
    with (
        mock.patch.dict(NETS, tiny=TINY),
        mock.patch.object(setup, "choose_dtype", return_value=dtype),
        mock.patch.object(setup, "create", exact_model if exact else create),
        mock.patch.object(evaluate, "cut", exact_cut if exact else cut),
        mock.patch.object(loop, "stop_requests", return_value=nullcontext(Stop(stops_after))),
        join(chosen.columns) as mesh,
    ):
        team = Team(mesh, chosen)
        run = setup.resume(folder, team) if resumes else setup.start(recipe, folder, team)
        try:
            loop.train(run)
        except Interrupted as interrupted:
            return str(interrupted)
    return ""


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
        for name in ("kind", "files"):
            assert line.pop(name, None) == expected_line.pop(name, None)
        assert line == pytest.approx(expected_line, rel=1e-6)  # losses are kept in float32


LAYOUTS: list[tuple[int, Layout]] = [
    (2, Layout()),
    (4, Layout()),
    (2, Layout(columns=2)),
    (4, Layout(columns=2)),
    (2, Layout(hybrid="a")),
    (4, Layout(hybrid="b")),
    (4, Layout(hybrid="c")),
]


@pytest.mark.parametrize(("ranks", "layout"), LAYOUTS, ids=str)
def test_a_run_of_several_processes_is_that_of_one(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path, ranks: int, layout: Layout
) -> None:
    train(recipe, tmp_path / "one")
    on_ranks(pool, ranks, train, recipe, tmp_path / "several", layout)
    same(tmp_path / "several", tmp_path / "one")
    records = [
        json.loads((tmp_path / name / "model" / "manifest.json").read_text())["record"]
        for name in ("one", "several")
    ]
    confusions = [record["validation"]["confusion"] for record in records]
    assert confusions[0] == confusions[1]
    assert sum(map(sum, confusions[0])) == 6


def largest_error(found: Path, wanted: Path) -> float:
    """Return the largest difference of a tensor of weights, as a share of its norm."""
    (_, tensors, _), (_, expected, _) = result(found), result(wanted)
    weights = [name for name in expected if not name.endswith("velocity")]
    return max(float((tensors[n] - expected[n]).norm() / expected[n].norm()) for n in weights)


@pytest.mark.parametrize(
    "rounding",
    [
        (torch.float32, 1e-6),  # six updates of sums in another order, each off by 2^-24 or so
        (torch.bfloat16, 0.03),  # the same by 2^-9, also in the sums of gradients between copies
    ],
    ids=str,
)
@pytest.mark.parametrize(("ranks", "layout"), [LAYOUTS[0], LAYOUTS[3], LAYOUTS[5]], ids=str)
def test_in_less_exact_arithmetic_only_rounding_differs(
    pool: ProcessPoolExecutor,
    recipe: Recipe,
    tmp_path: Path,
    *,
    ranks: int,
    layout: Layout,
    rounding: tuple[torch.dtype, float],
) -> None:
    dtype, bound = rounding
    train(recipe, tmp_path / "one", dtype=dtype)
    on_ranks(pool, ranks, train, recipe, tmp_path / "several", layout, dtype=dtype)
    found = largest_error(tmp_path / "several", tmp_path / "one")
    assert 0 < found < bound


CHANGES: list[dict[str, Any]] = [
    {"optimizer": "lars", "trust": 0.02, "weight_decay": 0.01, "bias_lr": 2.0},
    {"clip_norm": 0.5, "label_smoothing": 0.2, "lr_batch": 4, "warmup_epochs": 1.0},
    {"crop": "random-resized", "subtract": "mean-value", "batch": 16, "schedule": "cosine"},
    {"layer_lr": {"conv2": 0.0, "fc6.bias": 3.0}, "minutes": 1000.0, "batch": 4},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda each: next(iter(each)))
@pytest.mark.parametrize(("ranks", "layout"), [LAYOUTS[3], LAYOUTS[5]], ids=["2 x 2", "hybrid"])
def test_whatever_the_recipe_asks_for_is_the_same_in_several_processes(
    pool: ProcessPoolExecutor,
    recipe: Recipe,
    tmp_path: Path,
    *,
    ranks: int,
    layout: Layout,
    changes: dict[str, Any],
) -> None:
    changed = replace(recipe, epochs=1, **changes)
    train(changed, tmp_path / "one")
    on_ranks(pool, ranks, train, changed, tmp_path / "several", layout)
    same(tmp_path / "several", tmp_path / "one")


def test_a_batch_in_parts_in_several_processes_is_the_whole_batch(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path
) -> None:
    train(recipe, tmp_path / "one")
    parts = replace(recipe, accumulate=3)  # dropout draws for the whole batch
    on_ranks(pool, 2, train, parts, tmp_path / "several", Layout())
    same(tmp_path / "several", tmp_path / "one")


@pytest.mark.parametrize(("ranks", "layout"), [LAYOUTS[1], LAYOUTS[3], LAYOUTS[6]], ids=str)
def test_pictures_that_cannot_be_read_are_missed_alike(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path, ranks: int, layout: Layout
) -> None:
    broken = sorted(Path(recipe.data).rglob("*.jpg"))[13]
    broken.write_bytes(b"no picture")
    train(recipe, tmp_path / "one")
    on_ranks(pool, ranks, train, recipe, tmp_path / "several", layout)
    same(tmp_path / "several", tmp_path / "one")
    lines = read_journal(tmp_path / "several" / "journal.jsonl")
    assert [line["bad_pictures"] for line in lines if line["kind"] == "validation"] == [1, 1]


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_variable_batch_does_not_depend_on_the_processes(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path, ranks: int
) -> None:
    varied = replace(recipe, fc_batch=2, lr_batch=8)
    train(varied, tmp_path / "one", Layout(hybrid="b"))
    on_ranks(pool, ranks, train, varied, tmp_path / "several", Layout(hybrid="b"))
    same(tmp_path / "several", tmp_path / "one")
    train(recipe, tmp_path / "plain")
    with pytest.raises(AssertionError):  # and it is another training than without
        same(tmp_path / "several", tmp_path / "plain")


def test_a_run_goes_on_in_any_other_layout(
    pool: ProcessPoolExecutor, recipe: Recipe, tmp_path: Path
) -> None:
    longer = replace(recipe, epochs=3, report_every=2)
    train(longer, tmp_path / "whole")
    folder = tmp_path / "changing"
    stages: list[tuple[int, Layout]] = [
        (1, Layout()),
        (2, Layout(columns=2)),
        (4, Layout(columns=2)),
        (2, Layout(hybrid="a")),
        (4, Layout()),
    ]
    for number, (ranks, layout) in enumerate(stages):
        stops = 2 if number < 4 else 0
        if ranks == 1:
            said = [train(longer, folder, layout, stops_after=stops)]
        else:
            go_on = partial(train, resumes=True, stops_after=stops)
            said = on_ranks(pool, ranks, go_on, longer, folder, layout)
        for each in said:
            assert ("saved at update" in each) == (stops > 0)
    same(folder, tmp_path / "whole")
