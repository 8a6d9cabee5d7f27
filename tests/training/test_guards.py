"""The guards: when they stop a run, when they do not, and what they say."""

import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from alexnet.training.guards import GuardStop, LossGuard, RoomError, check_room

LN10 = math.log(10)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once_and_names_the_way_out(loss: float) -> None:
    message = (
        f"the loss is {loss} at update 3: the weights have run away; "
        "lower --lr, add --warmup-epochs 1 or --clip-norm 10"
    )
    with pytest.raises(GuardStop, match=message):
        LossGuard(10, stuck_after=1000).check(3, loss)


def reports(guard: LossGuard, losses: list[float], *, every: int = 20) -> None:
    for number, loss in enumerate(losses, start=1):
        guard.check(number * every, loss)


def test_five_reports_at_ln_classes_stop_once_the_updates_are_done() -> None:
    guard = LossGuard(10, stuck_after=200)
    reports(guard, [LN10 * 1.0099, LN10 * 0.9901] * 4 + [LN10])
    message = (
        r"the loss is 2\.3026 at update 200 and has not left the plateau at "
        r"ln\(classes\) = 2\.3026: the net answers every picture alike\. "
        ".*begin with --init normalised --divide-by 64, lower --lr to a fifth, "
        "or wait longer with --stuck-after 0"
    )
    with pytest.raises(GuardStop, match=message):
        guard.check(200, LN10)


def test_a_loss_that_stays_above_the_plateau_stops_too() -> None:
    with pytest.raises(GuardStop, match=r"the loss is 2\.4700 at update 200 and has not left"):
        reports(LossGuard(10, stuck_after=200), [2.47] * 10)


@pytest.mark.parametrize("away", [LN10 * 0.989, 1.0])
def test_one_of_five_reports_below_the_plateau_is_enough_to_go_on(away: float) -> None:
    guard = LossGuard(10, stuck_after=20)
    reports(guard, [LN10] * 4 + [away] + [LN10] * 4)
    with pytest.raises(GuardStop, match="has not left the plateau"):
        guard.check(200, LN10)  # now the last five lie on it


def test_fewer_than_five_reports_never_stop() -> None:
    reports(LossGuard(10, stuck_after=1), [LN10] * 4)


def test_stuck_after_0_never_stops() -> None:
    reports(LossGuard(10, stuck_after=0), [LN10] * 100)


def test_the_plateau_is_that_of_the_number_of_classes() -> None:
    reports(LossGuard(1000, stuck_after=20), [LN10] * 10)
    with pytest.raises(GuardStop, match=r"ln\(classes\) = 6\.9078"):
        reports(LossGuard(1000, stuck_after=20), [math.log(1000)] * 10)


def test_room_for_exactly_two_checkpoints_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    check_room(tmp_path, 1_000_000)
    message = "has 2 MB free; two checkpoints need 3 MB; free some space or choose another --out"
    with pytest.raises(RoomError, match=message):
        check_room(tmp_path, 1_500_000)
