"""What the arrangements cost: sums, the paper's table of 2014, the choice, refusals."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from alexnet.inspection.machines import Cluster, Precision, find_gpu
from alexnet.inspection.plan import Arrangement, Plan, Question, plan

PICTURES_A_RUN = 1_281_167 * 90
K20_HOURS = {  # Krizhevsky 2014, table 1: GPUs -> hours with one batch, and with fc at 128
    2: (50.24, 50.90),
    4: (26.20, 26.78),
    8: (15.68, 15.91),
}


@cache
def planned(net: str, gpu: str, devices: int, per_node: int = 8, fc_batch: int = 0) -> Plan:
    precision: Precision = "fp32" if find_gpu(gpu).bf16 is None else "bf16"
    question = Question(net, devices, 128 * devices, precision, fc_batch=fc_batch)
    return plan(question, Cluster(find_gpu(gpu), devices, per_node))


def named(found: Plan, name: str) -> Arrangement:
    return next(each for each in found.arrangements if each.name == name)


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("scheme", ["b", "c"])
def test_k20s_need_up_to_a_sixth_less_time_than_in_2014(devices: int, scheme: str) -> None:
    """The model knows no host, no disk and no small matrices; docs/scaling.md has the table."""
    for fc_batch, published in zip((0, 128), K20_HOURS[devices], strict=True):
        found = planned("alexnet-owt", "k20", devices, 4, fc_batch)
        name = f"hybrid {scheme}" + (f", fc {fc_batch}" if fc_batch else "")
        hours = PICTURES_A_RUN / named(found, name).pictures_per_second / 3600
        assert 0.84 < hours / published < 1


def test_one_k20_needs_the_hours_of_2014() -> None:
    """This is what the share of the ceiling was taken from."""
    one = planned("alexnet-owt", "k20", 1).arrangements[0]
    assert PICTURES_A_RUN / one.pictures_per_second / 3600 == pytest.approx(98.05, rel=0.01)


def test_the_papers_net_fits_in_its_own_cards_and_takes_days() -> None:
    """5 to 6 days on two GTX 580 of 3 GB (Krizhevsky 2012, section 5)."""
    found = plan(
        Question(devices=2, batch=128, precision="fp32"), Cluster(find_gpu("gtx-580"), 2, 2)
    )
    columns = named(found, "2 columns")
    assert columns.fits
    assert 4 < PICTURES_A_RUN / columns.pictures_per_second / 86400 < 6
    assert found.best == columns


def test_a_step_is_computing_and_waiting_and_hides_the_rest() -> None:
    for each in planned("alexnet", "h200", 8).arrangements:
        assert each.step_seconds == each.computing_seconds + each.exposed_seconds
        assert each.exposed_seconds <= each.sending_seconds + 1e-12
        assert each.pictures_per_second == pytest.approx(1024 / each.step_seconds)


def test_efficiency_is_beside_one_device_with_the_whole_batch() -> None:
    found = planned("alexnet", "h200", 8)
    one = found.arrangements[0]
    assert (one.name, one.efficiency) == ("one device", 1.0)
    replicas = named(found, "replicas")
    assert replicas.efficiency == pytest.approx(one.step_seconds / replicas.step_seconds / 8)


def test_memory_of_one_device_by_hand() -> None:
    """float32: weights, velocities and gradients of 61 million; bfloat16 adds a copy of 2 bytes."""
    weights = 60_965_224
    single = named(planned("alexnet", "k20", 1), "one device").memory
    assert (single.weights, single.velocities, single.gradients) == (4 * weights,) * 3
    half = named(planned("alexnet", "h200", 1), "one device").memory
    assert (half.weights, half.velocities) == (6 * weights, 4 * weights)
    assert half.gradients == 2 * weights
    # the widest gradients are those of conv1's maps and of what norm1 and pool1 leave of them
    assert single.workspace == 128 * 4 * (96 * 55 * 55 + 96 * 27 * 27)
    assert single.total == 12 * weights + single.kept + single.workspace


def test_replicas_keep_their_gradients_a_second_time_in_buckets() -> None:
    found = planned("alexnet", "k20", 2)
    assert named(found, "replicas").memory.gradients == 2 * 4 * 60_965_224
    assert named(found, "2 columns").memory.gradients == 4 * 60_965_224 // 2


def test_columns_keep_the_others_maps_where_they_cross() -> None:
    """conv3, fc6, fc7 and fc8 keep the other half of their inputs."""
    found = planned("alexnet", "k20", 2)
    one = named(planned("alexnet", "k20", 1), "one device").memory.kept / 128
    others = 4 * (256 * 13 * 13 + 256 * 6 * 6 + 4096 + 4096) / 2
    picture = 4 * 3 * 227 * 227  # which each has whole
    wanted = (one - picture) / 2 + picture + others
    assert named(found, "2 columns").memory.kept == pytest.approx(256 * wanted, rel=1e-6)


def test_what_cannot_run_is_refused_with_its_reason() -> None:
    refusals = planned("alexnet", "h200", 8).refusals
    assert list(refusals) == ["4 columns x 2", "8 columns"]
    assert refusals["8 columns"].startswith("conv2 cannot run in 8 columns: it has 2 groups")


def test_the_best_is_the_quickest_that_fits() -> None:
    found = planned("alexnet", "h200", 8)
    assert found.best is not None
    speeds = [each.pictures_per_second for each in found.arrangements]
    assert found.best.pictures_per_second == max(speeds)
    small = replace(found.cluster.gpu, memory_bytes=found.best.memory.total - 1)
    second = plan(found.question, replace(found.cluster, gpu=small)).best
    assert second is not None
    assert second.name != found.best.name
    assert second.memory.total < found.best.memory.total
    nothing = replace(found.cluster.gpu, memory_bytes=1)
    assert plan(found.question, replace(found.cluster, gpu=nothing)).best is None


def test_half_precision_crossings_halve_the_bytes_of_the_crossings() -> None:
    question = Question(devices=2, batch=256, precision="fp32")
    cluster = Cluster(find_gpu("k20"), 2, 8)
    whole, half = (
        named(plan(each, cluster), "2 columns").handed_bytes
        for each in (question, replace(question, crossing="fp16"))
    )
    assert whole == 2 * half


def test_json_has_the_sums_of_its_messages() -> None:
    each = named(planned("alexnet", "h200", 8), "2 columns x 4")
    found = json.loads(json.dumps(each.to_json()))
    assert found["handed_bytes"] == sum(m["handed_bytes"] for m in found["messages"])
    assert found["memory"]["total"] == each.memory.total
    assert found["step_seconds"] == each.step_seconds


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"devices": 0}, "devices is 0; it must be at least 1"),
        ({"batch": -1}, "batch is -1; it must be at least 1"),
        ({"devices": 3}, "batch 1024 is not divisible by 3 devices; use 1023 or another"),
        ({"batch": 4}, "batch 4 is not divisible by 8 devices; use 8 or another multiple"),
        ({"columns": 3}, "columns is 3, which does not divide 8 devices; use one of 1, 2, 4, 8"),
        ({"fc_batch": 100}, "fc_batch is 100, which does not divide the batch, 1024; give a div"),
        ({"share": 0.0}, "share is 0.0; it must be above 0 and at most 1"),
    ],
)
def test_a_question_that_does_not_fit_itself_is_refused(
    question: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Question(), **question)
