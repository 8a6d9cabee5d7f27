"""Steps of a process: the clock by hand, the order of messages, the papers' own bytes."""

from typing import Any

import pytest
import torch

from alexnet.inspection.cuts import Rates, by_weird_trick, in_columns, uncut
from alexnet.inspection.machines import LINK_SHARE, Cluster, Gpu, Message
from alexnet.inspection.programs import (
    Compute,
    Rounds,
    Start,
    Step,
    Wait,
    messages_of,
    plain,
    run,
    weird_trick,
)
from alexnet.inspection.stages import Counted, count_stages
from alexnet.nets import NETS
from alexnet.nets.chain import Chain

RATES = Rates(arithmetic=1e12, memory=1e11, element=4, sent=4)
PICTURES = 128


def counted(name: str) -> tuple[Chain, Counted]:
    with torch.device("meta"):
        net = NETS[name].build()
    return net, count_stages(net, 3, torch.float32)


def cluster() -> Cluster:
    """Return two devices with a byte a second between them and no delay."""
    gpu = Gpu("made up", 1.0, None, 1, 1.0, 1 / LINK_SHARE, 1 / LINK_SHARE, 0.0, 0.0)
    return Cluster(gpu, 2, 2)


def message(seconds: int) -> Message:
    return Message("fc6", "forward", "all_gather", 2, seconds)


def test_a_message_behind_computation_takes_no_time() -> None:
    sent = message(3)
    clock = run([Start(sent), Compute(5.0), Wait(sent), Compute(1.0)], cluster())
    assert clock == (6.0, 3.0, 0.0)


def test_what_is_left_of_a_message_is_waited_for() -> None:
    sent = message(3)
    assert run([Start(sent), Compute(1.0), Wait(sent)], cluster()) == (1.0, 3.0, 2.0)


def test_messages_share_the_wires_one_after_the_other() -> None:
    first, second = message(3), message(4)
    program: list[Step] = [Start(first), Start(second), Compute(2.0), Wait(second), Wait(first)]
    assert run(program, cluster()) == (2.0, 7.0, 5.0)
    late: list[Step] = [Start(first), Compute(10.0), Start(second), Wait(second)]
    assert run(late, cluster()) == (10.0, 7.0, 4.0)


def floats(messages: list[Message], *, but: tuple[str, ...]) -> int:
    """Return what a column hands over per picture, in floats."""
    forward = [m for m in messages if m.direction == "forward" and m.layer not in but]
    return sum(m.handed_bytes for m in forward) // 4 // PICTURES


def test_two_columns_send_what_the_program_of_2012_sent() -> None:
    """There fc8 lay on one device whole: only the other one sent its part of fc7 to it."""
    net, stages = counted("alexnet")
    messages = messages_of(plain(in_columns(net, stages, 2, 1), PICTURES, RATES))
    assert floats(messages, but=("logits", "fc8")) == 28_288
    assert floats(messages, but=("logits",)) == 30_336


def test_replicas_send_the_papers_weights() -> None:
    messages = messages_of(plain(uncut(counted("alexnet")[1], 2), PICTURES, RATES))
    assert {m.operation for m in messages} == {"all_reduce"}
    assert sum(m.handed_bytes for m in messages) == 4 * 60_965_224  # 243.9 MB
    assert [m.layer for m in messages] == [
        "gradients of fc8",
        "gradients of fc7",
        "gradients of fc6",
        "gradients of conv5 to conv1",
    ]


def test_one_weird_trick_sends_9216_activations_of_a_picture() -> None:
    """Krizhevsky 2014: 4.7 MB for 128 pictures."""
    net, stages = counted("alexnet-owt")
    program = weird_trick(by_weird_trick(net, stages, 4), PICTURES, RATES, rounds=Rounds("b"))
    lent = [m for m in messages_of(program) if m.operation == "broadcast"]
    assert [m.handed_bytes for m in lent] == [4 * 9216 * PICTURES] * 4


def steps_named(program: list[Step], *names: str) -> list[str]:
    """Return where messages of these layers are started and waited for."""
    return [
        f"{type(step).__name__} {step.message.operation}"
        for step in program
        if not isinstance(step, Compute) and step.message.layer in names
    ]


def test_the_next_rounds_activations_leave_before_a_round_is_computed() -> None:
    net, stages = counted("alexnet-owt")
    program = weird_trick(by_weird_trick(net, stages, 2), PICTURES, RATES, rounds=Rounds("b"))
    assert steps_named(program, "fc6") == [
        "Start broadcast",
        "Wait broadcast",
        "Start broadcast",
        "Start reduce",
        "Wait broadcast",
        "Start reduce",
        "Wait reduce",
        "Wait reduce",
    ]


def test_a_crossing_is_under_way_while_the_own_part_is_computed() -> None:
    net, stages = counted("alexnet")
    program = plain(in_columns(net, stages, 2, 1), PICTURES, RATES)
    kinds: list[Any] = [
        type(step) for step in program if isinstance(step, Compute) or step.message.layer == "conv3"
    ]
    starts = [number for number, kind in enumerate(kinds) if kind is Start]
    assert len(starts) == 2
    for start in starts:
        assert kinds[start : start + 3] == [Start, Compute, Wait]


@pytest.mark.parametrize(
    ("rounds", "pieces", "most"),
    [
        (Rounds("a"), [[6]], 24),
        (Rounds("b"), [[6], [6], [6], [6]], 6),
        (Rounds("b", 8), [[6, 2], [4, 4], [2, 6]], 8),
        (Rounds("b", 3), [[3]] * 8, 3),
        (Rounds("b", 24), [[6, 6, 6, 6]], 24),
        (Rounds("c"), [[1], [2], [1], [2]], 8),
        (Rounds("c", 8), [[2], [2], [2]], 8),
    ],
)
def test_rounds_of_4_processes_with_6_pictures_each(
    rounds: Rounds, pieces: list[list[int]], most: int
) -> None:
    assert rounds.pieces(4, 6) == pieces
    assert rounds.most(4, 6) == most


def test_slices_that_are_not_equal_are_refused() -> None:
    with pytest.raises(ValueError, match="fc_batch is 6, of which 4 processes cannot give equal"):
        Rounds("c", 6).pieces(4, 6)


def test_a_variable_batch_updates_the_fully_connected_layers_in_each_round() -> None:
    net, stages = counted("alexnet-owt")
    cut = by_weird_trick(net, stages, 4)
    once = weird_trick(cut, PICTURES, RATES, rounds=Rounds("b"))
    often = weird_trick(cut, PICTURES, RATES, rounds=Rounds("b", PICTURES))
    update = RATES.update_seconds(58_631_144 // 4)
    seconds = [run(program, cluster()).computing for program in (once, often)]
    assert seconds[1] - seconds[0] == pytest.approx(3 * update)
