"""GPUs and messages: equations by hand, and by a ring that passes pieces around."""

import math

import pytest

from alexnet.inspection.machines import (
    GPUS,
    LINK_SHARE,
    Cluster,
    Gpu,
    Message,
    Operation,
    find_gpu,
)


def gpu(**changed: float) -> Gpu:
    """Return a device with round figures: 10 bytes a second to neighbours, 2 to another node."""
    return Gpu(
        source="made up",
        fp32=1e3,
        bf16=None,
        memory_bytes=1000,
        memory_bandwidth=100,
        link_bandwidth=10 / LINK_SHARE,
        network_bandwidth=2 / LINK_SHARE,
        link_delay=changed.get("link_delay", 0.0),
        network_delay=changed.get("network_delay", 0.0),
    )


def message(operation: Operation, ranks: int, handed: int, stride: int = 1) -> Message:
    return Message("fc6", "forward", operation, ranks, handed, stride)


def passed_on(operation: Operation, ranks: int, handed: int) -> int:
    """Return the bytes that rank 0 sends to rank 1 when the operation goes round a ring."""
    piece = handed // ranks
    sent = 0
    if operation in ("reduce_scatter", "all_reduce"):
        for _ in range(ranks - 1):  # each piece collects the sums on its way to its owner
            sent += piece
    if operation == "all_reduce":
        for _ in range(ranks - 1):  # and goes round once more
            sent += piece
    if operation == "all_gather":
        for _ in range(ranks - 1):
            sent += handed
    if operation in ("broadcast", "reduce"):
        for _ in range(ranks):
            sent += piece
    return sent


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize(
    "operation", ["all_gather", "reduce_scatter", "all_reduce", "broadcast", "reduce"]
)
def test_a_process_sends_what_it_passes_on_in_a_ring(operation: Operation, ranks: int) -> None:
    assert message(operation, ranks, 840).sent_bytes == passed_on(operation, ranks, 840)


def test_an_all_reduce_takes_twice_the_tensor_less_one_part_over_the_bandwidth() -> None:
    cluster = Cluster(gpu(), 4, 4)
    assert cluster.seconds(message("all_reduce", 4, 400)) == pytest.approx(2 * 300 / 10)
    assert cluster.seconds(message("reduce_scatter", 4, 400)) == pytest.approx(300 / 10)
    assert cluster.seconds(message("all_gather", 4, 100)) == pytest.approx(300 / 10)
    assert cluster.seconds(message("broadcast", 4, 400)) == pytest.approx(400 / 10)


def test_a_process_alone_sends_nothing() -> None:
    assert Cluster(gpu(link_delay=1.0), 1, 8).seconds(message("all_reduce", 1, 400)) == 0


def test_the_slowest_wire_of_the_ring_counts() -> None:
    two_nodes = Cluster(gpu(), 8, 4)
    # 4 neighbours lie in one node; 4 with a stride of 2 do not, and 8 do not
    assert two_nodes.seconds(message("all_gather", 4, 100)) == pytest.approx(300 / 10)
    assert two_nodes.seconds(message("all_gather", 4, 100, stride=2)) == pytest.approx(300 / 2)
    assert two_nodes.seconds(message("all_gather", 8, 100)) == pytest.approx(700 / 2)


@pytest.mark.parametrize(
    ("ranks", "stride", "inside", "between"),
    [(4, 1, 3, 0), (8, 1, 6, 1), (4, 2, 2, 1), (16, 1, 12, 3), (4, 4, 0, 3), (2, 8, 0, 1)],
)
def test_delays_add_up_along_the_ring(ranks: int, stride: int, inside: int, between: int) -> None:
    cluster = Cluster(gpu(link_delay=1.0, network_delay=100.0), 16, 4)
    wanted = inside * 1.0 + between * 100.0
    assert cluster.seconds(message("all_gather", ranks, 0, stride)) == wanted
    assert cluster.seconds(message("all_reduce", ranks, 0, stride)) == 2 * wanted


def test_every_gpus_figures_are_in_bytes_and_operations_a_second() -> None:
    """A copy of the memory's bytes takes between a hundredth of a second and a tenth."""
    for name, each in GPUS.items():
        assert 0.005 < each.memory_bytes / each.memory_bandwidth < 0.1, name
        assert each.network_bandwidth < each.link_bandwidth < each.memory_bandwidth, name
        assert each.bf16 is None or each.bf16 > each.fp32, name
        assert math.isfinite(each.fp32), name
        assert len(each.source) > 20, name


def test_nodes_are_as_many_as_hold_the_devices() -> None:
    assert [Cluster(gpu(), n, 8).nodes for n in (1, 8, 9, 64)] == [1, 1, 2, 8]


def test_an_unknown_gpu_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no GPU is called 'h20' \(did you mean 'h200'\?\); the"):
        find_gpu("h20")


def test_a_gpu_without_units_for_bfloat16_says_so() -> None:
    with pytest.raises(ValueError, match=r"no units .*--precision fp32"):
        find_gpu("k20").ceiling("bf16")
