"""Bad pictures and lost numbers in several processes: told alike, and as one process tells them."""

import math
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from alexnet.data import loader
from alexnet.data.folder import list_folder
from alexnet.data.loader import Batch, Loader, epoch_order
from alexnet.evaluation.metrics import Counts
from alexnet.nets import NETS
from alexnet.parallel.layout import Layout
from alexnet.parallel.mesh import join
from alexnet.parallel.team import Team
from alexnet.training import loop, setup
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.runaway import Losses, RunawayStop
from alexnet.training.setup import Run
from tests.conftest import TINY, MakePictures, tiny_recipe
from tests.parallel.ranks import on_ranks

EMPTY = "disc/0003.jpg"


def batch_of(indices: list[int]) -> Batch:
    empty = torch.empty(len(indices), 1, 1, 3, dtype=torch.uint8)
    chosen = torch.tensor(indices, dtype=torch.int64)
    return Batch(empty, torch.zeros(len(indices), dtype=torch.int64), chosen, 0)


def noted(root: Path, losses: list[list[float]]) -> str:
    """Keep losses of updates 5, 6, ... as a rank, of two pictures each; return what is said."""
    with join() as mesh:
        team = Team(mesh)
        rank = mesh.world.rank
        kept = Losses(team, Loader(list_folder(root), 4, 16))
        for step, loss in enumerate(losses[rank], start=5):
            indices = [2 * rank, 2 * rank + 1] if step % 2 else [4 + 2 * rank]
            kept.keep(step, batch_of(indices), loss)
        try:
            kept.check(team.total(sum(losses[rank])))
        except RunawayStop as stop:
            return str(stop)
        return ""


@pytest.mark.parametrize(
    ("losses", "step", "names"),
    [
        ([[1.0, 1.0, math.nan], [1.0, 1.0, 1.0]], 7, (0, 1, 2, 3)),
        ([[1.0, 1.0, math.nan], [1.0, math.inf, math.nan]], 6, (4, 6)),
    ],
)
def test_of_several_processes_the_first_update_of_all_is_named(
    pool: ProcessPoolExecutor,
    pictures: MakePictures,
    *,
    losses: list[list[float]],
    step: int,
    names: tuple[int, ...],
) -> None:
    root = pictures(per_class=3, size=16)
    paths = list_folder(root).paths
    expected = f"{len(names)} pictures: {', '.join(paths[index] for index in names)}; lower"
    said = on_ranks(pool, 2, noted, root, losses)
    assert said[0] == said[1]
    assert f"at update {step}: the weights have run away; the batch is {expected}" in said[0]


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    """24 pictures to train on in batches of 8, one of them empty; 6 to validate; none kept."""
    data = pictures("set/train").parent
    pictures("set/val", per_class=2, seed=1)
    (data / "train" / EMPTY).write_bytes(b"")
    (data / "val" / "cross" / "0001.jpg").write_bytes(b"")
    return replace(tiny_recipe(data), epochs=3, cache_gib=0.0)


def train_losing(recipe: Recipe, folder: Path, layout: Layout, lost: list[str]) -> list[list[int]]:
    """Train while pictures go after the first epoch; return the order in which it was read."""
    order: list[list[int]] = []
    real_update, real_validate = loop.update, loop.validate

    def update(run: Run, batch: Batch, rate: float) -> Any:
        order.append(batch.indices.tolist())
        return real_update(run, batch, rate)

    def validate(run: Run) -> Counts:
        if run.position.epoch == 1 and run.team.leads:
            for path in lost:
                (Path(run.recipe.data) / "train" / path).unlink()
        run.team.hear("gone")
        return real_validate(run)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(NETS, tiny=TINY))
        stack.enter_context(mock.patch.object(loader, "MOST_BAD_SHARE", 0.5))
        stack.enter_context(mock.patch.object(loop, "update", update))
        stack.enter_context(mock.patch.object(loop, "validate", validate))
        team = Team(stack.enter_context(join(layout.columns)), layout)
        loop.train(setup.start(recipe, folder, team))
    return order


@pytest.mark.parametrize(
    ("ranks", "layout"),
    [(1, Layout()), (2, Layout()), (4, Layout()), (4, Layout(columns=2)), (2, Layout(hybrid="b"))],
    ids=str,
)
def test_order_and_books_are_those_of_one_process(
    pool: ProcessPoolExecutor,
    recipe: Recipe,
    tmp_path: Path,
    *,
    ranks: int,
    layout: Layout,
) -> None:
    recipe = replace(recipe, workers=2)
    paths = list_folder(Path(recipe.data) / "train").paths
    orders = [epoch_order(24, epoch, recipe.seed).tolist() for epoch in range(3)]
    lost = [paths[index] for index in orders[1] if paths[index] != EMPTY][3:18:7]
    found = on_ranks(pool, ranks, train_losing, recipe, tmp_path / "run", layout, lost)
    whole = [found[0][step] for step in range(9)]
    if layout.hybrid or layout.columns == 1:
        whole = [list(chain(*(order[step] for order in found))) for step in range(9)]
    else:
        assert found[0] == found[1]
        whole = [found[0][step] + found[2][step] for step in range(9)]
    bad = [[paths.index(EMPTY)], [paths.index(each) for each in (EMPTY, *lost)]]
    expected = [
        [index for index in order if index not in bad[min(epoch, 1)]]
        for epoch, order in enumerate(orders)
    ]
    assert [list(chain(*whole[3 * epoch : 3 * epoch + 3])) for epoch in range(3)] == expected
    lines = read_journal(tmp_path / "run" / "journal.jsonl")
    figures = ("listed", "used", "skipped", "refused", "not_reached")
    books = [line for line in lines if line["kind"] == "epoch"]
    assert [[line[name] for name in figures] for line in books] == [
        [24, 23, 1, 0, 0],
        [24, 20, 1, 3, 0],
        [24, 20, 4, 0, 0],
    ]
    gone = dict.fromkeys(lost, "is missing since the run began")
    assert [line["files"] for line in books] == [{}, gone, {}]
    assert lines[0]["kind"] == "statistics"
    assert lines[0]["files"] == {EMPTY: "the file is empty"}
    tested = [line for line in lines if line["kind"] == "validation"]
    assert [(line["listed"], line["pictures"]) for line in tested] == [(6, 5)] * 3
    assert [line["files"] for line in tested] == [{"cross/0001.jpg": "the file is empty"}] * 3
