"""What a process holds of a net: parts, crossings, times and refusals, by hand."""

import pytest
import torch

from alexnet.inspection.cuts import (
    Cut,
    Rates,
    Share,
    as_replicas,
    by_weird_trick,
    in_columns,
    uncut,
)
from alexnet.inspection.stages import Counted, Stage, count_stages
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from alexnet.text.norms import BatchNorm

SLOW = Rates(arithmetic=100.0, memory=1e9, element=4, sent=4)
NARROW = Rates(arithmetic=1e9, memory=100.0, element=4, sent=4)


def counted(name: str, classes: int = 1000) -> tuple[Chain, Counted]:
    with torch.device("meta"):
        net = NETS[name].build(classes=classes)
    return net, count_stages(net, 3, torch.float32)


def crossing(cut: Cut) -> list[str]:
    return [share.stage.name for share in cut.shares if share.crosses]


def stage(parameters: tuple[int, ...] = (12, 4)) -> Stage:
    return Stage("fc", ("fc",), 60, parameters, inputs=8, outputs=4, kept_bytes=32)


def test_2012s_crossings_are_at_conv3_and_the_fully_connected_layers() -> None:
    """Krizhevsky 2012, section 3.5 and figure 2."""
    cut = in_columns(*counted("alexnet"), 2, 1)
    assert crossing(cut) == ["conv3", "fc6", "fc7", "fc8"]
    assert cut.parameters == 60_965_224 // 2


def test_norms_whose_windows_reach_over_the_edge_cross_as_well() -> None:
    cut = in_columns(*counted("bvlc-alexnet"), 2, 1)
    assert crossing(cut) == ["norm1", "norm2", "conv3", "fc6", "fc7", "fc8"]


def test_one_weird_trick_cuts_only_the_fully_connected_layers() -> None:
    net, stages = counted("alexnet-owt")
    cut = by_weird_trick(net, stages, 4)
    assert crossing(cut) == ["fc7", "fc8"]
    lower = sum(sum(share.parameters) for share in cut.shares[: cut.whole])
    assert lower == 2_469_696  # of the convolutional layers
    assert cut.parameters == 2_469_696 + 58_631_144 // 4


def test_a_last_layer_that_cannot_be_cut_stays_whole() -> None:
    cut = in_columns(*counted("alexnet", classes=3), 2, 1)
    assert crossing(cut) == ["conv3", "fc6", "fc7"]
    last = cut.shares[-1]
    assert last.collects
    assert last.parameters == [3 * 4096, 3]
    assert not cut.gathers_logits
    assert in_columns(*counted("alexnet"), 2, 1).gathers_logits


def test_replicas_hold_all_of_a_net_with_its_auxiliary_classifiers() -> None:
    net, stages = counted("googlenet")
    assert as_replicas(net, stages, 8).parameters == sum(p.numel() for p in net.parameters())


def test_the_first_layer_with_weights_needs_no_gradient_of_the_picture() -> None:
    shares = uncut(counted("torchvision")[1]).shares
    assert [share.stage.name for share in shares if share.below] == ["pad1"]
    assert [share.stage.name for share in shares if share.first] == ["conv1"]
    assert shares[0].backward_seconds(2, SLOW) == (0.0, 0.0)
    forward = shares[1].forward_seconds(2, SLOW)
    assert shares[1].backward_seconds(2, SLOW) == (0.0, forward)


def test_a_stage_takes_the_time_of_its_arithmetic_or_of_its_bytes() -> None:
    """2 * 60 * n operations; (n * (8 + 4) + 16) elements of 4 bytes."""
    whole = Share(stage())
    assert whole.forward_seconds(3, SLOW) == pytest.approx(2 * 60 * 3 / 100)
    assert whole.forward_seconds(3, NARROW) == pytest.approx(4 * (3 * 12 + 16) / 100)
    assert whole.backward_seconds(3, SLOW) == (2 * 60 * 3 / 100,) * 2


def test_a_cut_stage_reads_what_it_needs_and_writes_its_part() -> None:
    """Of 2 parts: 8 inputs where it crosses, else 4; 2 outputs; 8 parameters."""
    reads_own = Share(stage(), 2, reads_all=False)
    crosses = Share(stage(), 2, reads_all=False, crosses=True)
    assert reads_own.forward_seconds(3, SLOW) == pytest.approx(2 * 60 * 3 / 2 / 100)
    assert reads_own.forward_seconds(3, NARROW) == pytest.approx(4 * (3 * 6 + 8) / 100)
    assert crosses.forward_seconds(3, NARROW) == pytest.approx(4 * (3 * 10 + 8) / 100)
    assert reads_own.kept_bytes == 16
    assert Share(stage(), 2).kept_bytes == 32  # its input, which each process has whole


def test_a_norm_that_crosses_is_computed_whole_by_each() -> None:
    norm = Share(stage(parameters=()), 2, reads_all=False, crosses=True)
    whole = Share(stage(parameters=()))
    assert norm.is_norm
    assert norm.forward_seconds(3, SLOW) == whole.forward_seconds(3, SLOW)
    assert norm.kept_bytes == whole.kept_bytes
    assert norm.backward_seconds(3, SLOW) == (2 * whole.forward_seconds(3, SLOW), 0.0)


def test_an_update_reads_and_writes_weights_and_velocities() -> None:
    assert NARROW.update_seconds(10) == pytest.approx(10 * (16 + 4) / 100)
    half = NARROW._replace(element=2)
    assert half.update_seconds(10) == pytest.approx(10 * (16 + 2 + 2) / 100)


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        ("alexnet", 4, "conv2 cannot run in 4 columns: it has 2 groups, which 4 columns must"),
        ("resnet18", 2, "bn1 cannot run in 2 columns: BatchNorm2d is not known to work"),
        ("torchvision", 5, "conv1 cannot run in 5 columns: 64 elements"),
    ],
)
def test_a_net_that_has_no_such_columns_says_why(name: str, columns: int, message: str) -> None:
    net, stages = counted(name)
    with pytest.raises(ValueError, match=message):
        in_columns(net, stages, columns, 1)


def test_a_layer_that_one_weird_trick_cannot_cut_says_why() -> None:
    net, stages = counted("torchvision")
    with pytest.raises(ValueError, match="fc6 cannot be cut in 3: 4096 elements"):
        by_weird_trick(net, stages, 3)


def test_a_layer_that_knows_of_one_process_cannot_run_as_replicas() -> None:
    net, stages = counted("torchvision")
    net.add_module("bn", BatchNorm.__new__(BatchNorm))
    torch.nn.Module.__init__(net.get_submodule("bn"))
    with pytest.raises(ValueError, match="bn is a BatchNorm, which looks at or draws"):
        as_replicas(net, stages, 2)
