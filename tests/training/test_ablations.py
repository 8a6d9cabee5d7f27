"""The table of ablations, with nets of a few kernels on a few pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from alexnet.evaluation.evaluate import evaluate
from alexnet.evaluation.metrics import Counts
from alexnet.model import open_model
from alexnet.nets import ABLATED, NETS
from alexnet.parallel.team import Team
from alexnet.training import series
from alexnet.training.ablations import MAIN, ROWS, ablate, choose_rows, tabulate
from alexnet.training.pictures import open_data
from alexnet.training.recipe import Recipe, load
from tests.conftest import TINY, MakePictures, tiny_recipe


@pytest.fixture(autouse=True)
def small_nets() -> Iterator[None]:
    """Give all nets that are compared a few kernels; what they lack, they lack."""
    with pytest.MonkeyPatch.context() as patch:
        for name, net in (("alexnet", TINY), *ABLATED.items()):
            patch.setitem(NETS, name, replace(net, kernels=(8, 16, 16, 16, 16), fc_units=32))
        yield


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    small = tiny_recipe(pictures(per_class=6))
    return replace(small, net="alexnet", epochs=1, input_size=67, report_every=100)


def test_every_row_is_trained_and_tested_with_every_seed(recipe: Recipe, tmp_path: Path) -> None:
    rows = choose_rows(["all"], recipe)
    out = tmp_path / "out"
    tables = list(ablate(recipe, out, rows, seeds=2, say=print))
    assert [table.seeds for table in tables] == [(0,), (0, 1)]
    table = tables[-1]
    assert [line.name for line in table.lines] == ["whole", *ROWS]
    assert table.pictures == 3
    trained = {name for name, row in ROWS.items() if row.changes} | {"whole"}
    for name in trained:
        for seed in (0, 1):
            own = load(out / f"{name}-{seed}" / "recipe.toml")
            assert own.seed == seed
            changes = ROWS[name].changes if name != "whole" else {}
            assert replace(own, seed=0, **changes) == replace(own, seed=0)
            assert series.curve(out / f"{name}-{seed}")[-1][1] == line_of(table, name)[seed]
    assert {path.name for path in out.iterdir()} == {f"{n}-{s}" for n in trained for s in "01"}


def line_of(table: object, name: str) -> tuple[float, ...]:
    lines = {line.name: line for line in table.lines}  # type: ignore[attr-defined]
    found: tuple[float, ...] = lines[name].top1
    return found


def test_ten_views_are_those_of_the_whole_nets_own_model(recipe: Recipe, tmp_path: Path) -> None:
    (table,) = ablate(recipe, tmp_path, {"views": ROWS["views"]}, seeds=1, say=print)
    model = open_model(tmp_path / "whole-0")
    counts = Counts(model.classes)
    batches = open_data(recipe, Team()).validation.epoch(0, seed=None)
    evaluate(model.net, batches, model.preprocessing, counts, views=10)
    assert line_of(table, "views") == (counts.error(counts.top1_errors),)


def test_what_is_there_is_not_made_again(recipe: Recipe, tmp_path: Path) -> None:
    said: list[str] = []
    rows = choose_rows(["norm", "views"], recipe)
    (first,) = ablate(recipe, tmp_path, rows, seeds=1, say=said.append)
    assert [line.split(":")[0] for line in said] == ["whole-0", "norm-0", "whole-0"]
    assert said[-1] == "whole-0: testing with 10 views"
    first_again, second = ablate(recipe, tmp_path, rows, seeds=2, say=said.append)
    assert first_again == first
    assert second.seeds == (0, 1)
    assert [line.split(":")[0] for line in said[3:]] == ["whole-1", "norm-1", "whole-1"]


def test_a_difference_is_paired_by_seed() -> None:
    whole = [(0.50, 0.10), (0.40, 0.12), (0.45, 0.08)]
    norm = [(0.53, 0.11), (0.42, 0.12), (0.46, 0.10)]
    table = tabulate({"whole": whole, "norm": norm}, {"norm": ROWS["norm"]}, 60, (0, 1, 2))
    first, line = table.lines
    assert first.top1_difference is None
    for place, found in enumerate((line.top1_difference, line.top5_difference)):
        assert found is not None
        assert found.half_width is not None
        differences = np.array(norm)[:, place] - np.array(whole)[:, place]
        low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
        assert found.value == pytest.approx(differences.mean())
        assert found.value + found.half_width == pytest.approx(high, rel=1e-4)
        assert found.value - found.half_width == pytest.approx(low, rel=1e-3)
    assert line.published == (0.014, 0.012)


def test_the_papers_numbers_are_those_of_its_text() -> None:
    """Sections 3.2 to 3.4 and 6, in percentage points."""
    found = {name: ROWS[name].published for name in MAIN}
    percent = {
        "norm": (1.4, 1.2),
        "pooling": (0.4, 0.3),
        "columns": (1.7, 1.2),
        "views": (37.5 - 39.0, 17.0 - 18.3),
    }
    for name, values in percent.items():
        assert found[name] == pytest.approx(tuple(value / 100 for value in values))
    assert all(row.published is None for name, row in ROWS.items() if name not in MAIN)


def test_the_rows_by_default_are_those_with_numbers(recipe: Recipe) -> None:
    assert tuple(choose_rows([], recipe)) == MAIN
    assert list(choose_rows(["tanh", "norm", "tanh"], recipe)) == ["tanh", "norm"]


def test_odd_requests_are_answered(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no row is called 'norms' \(did you mean 'norm'\?\); th"):
        choose_rows(["norms"], recipe)
    with pytest.raises(ValueError, match="net is 'vgg11', but it is alexnet that is taken apart"):
        choose_rows([], replace(recipe, net="vgg11"))
    with pytest.raises(ValueError, match=r"the row lighting takes away .*: lighting 0\.0 is there"):
        choose_rows(["lighting"], replace(recipe, lighting=0.0))
    with pytest.raises(ValueError, match="seeds is 0; it must be at least 1"):
        list(ablate(recipe, tmp_path, {}, seeds=0, say=print))
