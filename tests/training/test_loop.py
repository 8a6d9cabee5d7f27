"""The training loop: one update by hand, when a run ends, and what its journal says."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet import store
from alexnet.data import augment
from alexnet.data.loader import Batch, derive_seed
from alexnet.evaluation.metrics import Counts
from alexnet.nets import NETS
from alexnet.training import loop, setup
from alexnet.training.guards import GuardStop
from alexnet.training.journal import read_journal
from alexnet.training.look import look
from alexnet.training.recipe import Recipe
from alexnet.training.setup import Run
from tests.conftest import TINY, MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    """Three classes, 24 pictures to train on: 3 updates an epoch; 6 pictures to validate."""
    return tiny_recipe(pictures(per_class=10))


@pytest.fixture
def still(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Leave out dropout, for comparisons of two ways through one batch."""
    monkeypatch.setitem(NETS, "still", replace(TINY, dropout_rate=0.0))
    return replace(recipe, net="still")


def first_update(recipe: Recipe, folder: Path) -> tuple[Run, dict[str, Tensor], float]:
    """Make the first update; return the run, the weights before it, and its loss."""
    run = setup.start(recipe, folder)
    before = {name: p.detach().clone() for name, p in run.model.net.named_parameters()}
    run.model.net.train()
    loss = loop.update(run, first_batch(run), 0.5)
    return run, before, float(loss)


def first_batch(run: Run) -> Batch:
    return next(run.train.epoch(0, seed=run.recipe.seed))


def moves(run: Run, before: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: p.detach() - before[name] for name, p in run.model.net.named_parameters()}


def lines(run: Run, kind: str) -> list[dict[str, Any]]:
    return [line for line in read_journal(run.folder / "journal.jsonl") if line["kind"] == kind]


def test_an_update_steps_along_the_mean_gradient_of_the_pictures_as_cut(
    still: Recipe, tmp_path: Path
) -> None:
    recipe = replace(still, lighting=0.5)
    run = setup.start(recipe, tmp_path / "run")
    net, batch = copy.deepcopy(run.model.net), first_batch(run)
    # windows and lighting as section 4.1 has them, from the seed of update 0
    generator = torch.Generator().manual_seed(derive_seed(recipe.seed, "augment", 0))
    preprocessing = run.model.preprocessing
    shift = augment.lighting(8, preprocessing.statistics, strength=0.5, generator=generator)
    windows = augment.random_windows(8, 72 - 67, generator)
    x = augment.cut(batch.pictures, windows, preprocessing, shift=shift)
    logits = net(x)
    p = torch.softmax(logits, 1).detach().double().numpy()
    expected = -np.log(p[np.arange(8), batch.labels.numpy()]).mean()
    F.cross_entropy(logits, batch.labels).backward()

    loss = loop.update(run, batch, 0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        moved = parameter.detach() - 0.5 * (parameter.grad + 0.0005 * parameter.detach())
        found = run.model.net.get_parameter(name).detach()
        torch.testing.assert_close(found, moved, rtol=1e-4, atol=1e-6)  # float32, another order


def test_label_smoothing_spreads_its_share_over_all_classes(still: Recipe, tmp_path: Path) -> None:
    plain, _, hard = first_update(replace(still, init="source"), tmp_path / "hard")
    recipe = replace(still, init="source", label_smoothing=0.3)
    run = setup.start(recipe, tmp_path / "smooth")
    with torch.no_grad():
        x = look(
            first_batch(run),
            run.model.preprocessing,
            recipe=recipe,
            step=0,
            device=run.device,
            dtype=run.dtype,
        )
        logits = run.model.net(x).double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    spread = -log_p.mean()
    loss = float(loop.update(run, first_batch(run), 0.5))
    assert loss == pytest.approx(0.7 * hard + 0.3 * spread, rel=1e-5)
    assert plain.recipe.label_smoothing == 0


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_makes_the_same_update(still: Recipe, tmp_path: Path, parts: int) -> None:
    whole, before, loss = first_update(still, tmp_path / "whole")
    cut, _, cut_loss = first_update(replace(still, accumulate=parts), tmp_path / "cut")
    assert cut_loss == pytest.approx(loss, rel=1e-5)
    expected = moves(whole, before)
    for name, move in moves(cut, before).items():
        # sums of float32 in another order
        torch.testing.assert_close(move, expected[name], rtol=1e-3, atol=1e-7)


def test_clipping_scales_the_whole_gradient_to_the_norm(still: Recipe, tmp_path: Path) -> None:
    recipe = replace(still, init="source", weight_decay=0.0)
    free, before, _ = first_update(recipe, tmp_path / "free")
    clipped, _, _ = first_update(replace(recipe, clip_norm=0.01), tmp_path / "clipped")
    wide, _, _ = first_update(replace(recipe, clip_norm=1e6), tmp_path / "wide")
    vectors = [
        torch.cat([m.flatten() for m in moves(run, before).values()]).double().numpy() / 0.5
        for run in (free, clipped, wide)
    ]
    norm = np.linalg.norm(vectors[0])
    assert norm > 0.02
    np.testing.assert_allclose(np.linalg.norm(vectors[1]), 0.01, rtol=1e-3)
    np.testing.assert_allclose(vectors[1], vectors[0] * 0.01 / norm, atol=2e-7)
    np.testing.assert_array_equal(vectors[2], vectors[0])


def test_bf16_has_nearly_the_loss_of_fp32(still: Recipe, tmp_path: Path) -> None:
    _, _, exact = first_update(still, tmp_path / "fp32")
    run, _, rounded = first_update(replace(still, precision="bf16"), tmp_path / "bf16")
    assert run.dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in run.model.net.parameters())
    assert rounded == pytest.approx(exact, rel=0.02)  # 8 bits of mantissa through 8 layers
    assert rounded != exact


def test_a_batch_whose_pictures_are_all_bad_changes_nothing(recipe: Recipe, tmp_path: Path) -> None:
    run = setup.start(recipe, tmp_path / "run")
    before = copy.deepcopy(run.model.net.state_dict())
    nothing = Batch(
        torch.empty(0, 72, 72, 3, dtype=torch.uint8), torch.empty(0).long(), torch.empty(0), 8
    )
    assert loop.update(run, nothing, 0.5) == 0.0
    assert all(torch.equal(t, before[n]) for n, t in run.model.net.state_dict().items())


def test_dropout_depends_on_seed_and_update_alone(recipe: Recipe, tmp_path: Path) -> None:
    losses = []
    for number, noise in enumerate((1, 2)):
        run = setup.start(recipe, tmp_path / str(number))
        torch.manual_seed(noise)
        run.model.net.train()
        losses.append(float(loop.update(run, first_batch(run), 0.1)))
        run.position.step = 1
        losses.append(float(loop.update(run, first_batch(run), 0.0)))
    assert losses[:2] == losses[2:]
    assert losses[0] != losses[1]


def test_a_net_learns_the_pictures(still: Recipe, tmp_path: Path) -> None:
    run = setup.start(replace(still, epochs=15, schedule="cosine", momentum=0.8), tmp_path / "run")
    counts = loop.train(run)
    reported = [line["loss"] for line in lines(run, "train")]
    assert len(reported) == 45
    assert reported[0] == pytest.approx(math.log(3), abs=0.2)
    assert np.mean(reported[-3:]) < 0.5
    assert counts.seen == 6


def test_a_frozen_layer_stays_to_the_last_bit(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, init="source", layer_lr={"conv1": 0.0})
    run = setup.start(recipe, tmp_path / "run")
    before = copy.deepcopy(run.model.net.state_dict())
    loop.train(run)
    same = [n for n, t in run.model.net.state_dict().items() if torch.equal(t, before[n])]
    assert same == ["conv1.weight", "conv1.bias"]


def test_the_plateau_rule_ends_a_run_that_does_not_improve(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, lr=1e-9, epochs=30, patience=1, drops=1, keep_model="best")
    run = setup.start(recipe, tmp_path / "run")
    loop.train(run)
    rates = [line["lr"] for line in lines(run, "train")]
    np.testing.assert_allclose(rates, [1e-9] * 6 + [1e-10] * 3, rtol=1e-12)
    assert [line["step"] for line in lines(run, "validation")] == [3, 6, 9]
    # the first of three equal errors is the best
    assert store.read_manifest(run.folder / "model")["record"]["step"] == 3
    assert run.position.finished


def test_keep_model_last_keeps_the_last(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, lr=1e-9, epochs=3, keep_model="last", schedule="constant")
    run = setup.start(recipe, tmp_path / "run")
    counts = loop.train(run)
    record = store.read_manifest(run.folder / "model")["record"]
    assert record == {"step": 9, "validation": counts.to_json()}


def test_early_stopping_ends_a_run(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, lr=1e-9, epochs=30, schedule="constant", early_stop=2)
    run = setup.start(recipe, tmp_path / "run")
    loop.train(run)
    assert run.position.step == 9


@pytest.mark.parametrize(("target", "steps"), [(0.0, 9), (0.001, 9), (0.999, 3)])
def test_a_run_ends_with_the_first_error_below_its_target(
    recipe: Recipe, tmp_path: Path, target: float, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(recipe, epochs=3, schedule="constant", target_error=target)
    run = setup.start(recipe, tmp_path / "run")
    found = Counts(run.model.classes)
    found.add(torch.eye(3), torch.tensor([0, 1, 0]))  # an error of a third
    monkeypatch.setattr(loop, "validate", lambda run: found)
    loop.train(run)
    assert (run.position.step, run.position.finished) == (steps, True)


@pytest.mark.parametrize(
    ("changes", "validations"),
    [
        ({"epochs": 5, "validate_every": 2}, [6, 12, 15]),
        ({"epochs": 5, "steps": 4}, [3, 4]),
        ({"epochs": 5, "steps": 2}, [2]),
        ({"epochs": 1, "batch": 5}, [5]),
        ({"epochs": 5, "minutes": 1e-7}, [1]),
    ],
)
def test_a_run_ends_where_the_recipe_says_and_always_with_a_validation(
    recipe: Recipe, tmp_path: Path, changes: dict[str, Any], validations: list[int]
) -> None:
    run = setup.start(replace(recipe, schedule="constant", **changes), tmp_path / "run")
    loop.train(run)
    assert [line["step"] for line in lines(run, "validation")] == validations
    assert run.position.finished
    assert [line["step"] for line in lines(run, "train")] == list(range(1, validations[-1] + 1))


def test_a_validation_line_has_the_counts(recipe: Recipe, tmp_path: Path) -> None:
    run = setup.start(recipe, tmp_path / "run")
    counts = loop.train(run)
    line = lines(run, "validation")[-1]
    expected = {
        "kind": "validation",
        "step": 6,
        "epoch": 2.0,
        "pictures": 6,
        "top1_errors": counts.top1_errors,
        "top5_errors": 0,
        "top1_error": counts.top1_errors / 6,
        "top5_error": 0.0,
        "loss": counts.loss,
        "bad_pictures": 0,
        "listed": 6,
        "files": {},
    }
    assert line == expected


def test_a_loss_that_runs_away_stops_the_run(recipe: Recipe, tmp_path: Path) -> None:
    run = setup.start(replace(recipe, init="source"), tmp_path / "run")
    nn.init.constant_(run.model.net.get_parameter("fc8.weight"), math.nan)
    with pytest.raises(GuardStop, match="the loss is nan at update 1: the weights have run away"):
        loop.train(run)


def test_weights_that_have_run_away_are_not_saved(recipe: Recipe, tmp_path: Path) -> None:
    often = replace(recipe, init="source", report_every=1000, checkpoint_minutes=1e-9)
    run = setup.start(often, tmp_path / "run")
    nn.init.constant_(run.model.net.get_parameter("fc8.weight"), math.nan)
    with pytest.raises(GuardStop, match="the loss is nan at update 1"):
        loop.train(run)
    assert not (run.folder / "checkpoints").exists()


def test_a_net_that_stays_at_ln_classes_stops_the_run(recipe: Recipe, tmp_path: Path) -> None:
    recipe = replace(recipe, init="source", lr=1e-9, epochs=20, stuck_after=7)
    run = setup.start(recipe, tmp_path / "run")
    nn.init.zeros_(run.model.net.get_parameter("fc8.weight"))
    with pytest.raises(GuardStop, match=r"at update 7 and has not left .* = 1\.0986: the net ans"):
        loop.train(run)
    assert [line["step"] for line in lines(run, "train")] == [1, 2, 3, 4, 5, 6, 7]
