"""Each layer alone."""

from dataclasses import replace

import pytest

from alexnet.bench.case import Case
from alexnet.bench.layers import time_layers, total
from alexnet.bench.work import inference_flop, training_flop


def test_layers_stand_in_the_nets_order_with_their_operations(case: Case) -> None:
    rows = time_layers(case, repeats=2)
    names = [name for row in rows for name in row.name.split("+")]
    assert names == [name for name, _ in case.draw_net().named_children()]
    assert [row.name for row in rows][:2] == ["conv1", "relu1+norm1+pool1"]
    sums = total(rows)
    assert sums["forward_flop"] == inference_flop(case)
    assert sums["forward_flop"] + sums["backward_flop"] == training_flop(case)
    assert all(row.forward.n == row.backward.n == 2 for row in rows)


def test_bytes_are_input_weights_and_output_and_their_gradients(case: Case) -> None:
    rows = {row.name: row for row in time_layers(case, repeats=1)}
    # a quarter of 96 kernels; 67 pixels: conv1 gives (67 - 11) / 4 + 1 = 15, pool1 gives 7
    pictures, maps, pooled = 2 * 3 * 67 * 67, 2 * 24 * 15 * 15, 2 * 24 * 7 * 7
    conv1 = 24 * 3 * 11 * 11 + 24
    assert rows["conv1"].forward_bytes == 4 * (pictures + conv1 + maps)
    assert rows["conv1"].backward_bytes == 4 * (pictures + 2 * conv1 + 2 * maps)
    assert rows["relu1+norm1+pool1"].forward_bytes == 4 * (maps + pooled)
    assert rows["relu1+norm1+pool1"].backward_bytes == 8 * (maps + pooled)


def test_nothing_is_passed_back_through_the_zeros_around_the_picture(case: Case) -> None:
    rows = time_layers(replace(case, net="torchvision", input_size=63), repeats=1)
    assert rows[0].name == "pad1"
    assert rows[0].backward.median == 0.0
    assert rows[1].backward_flop == rows[1].forward_flop


def test_json_has_milliseconds(case: Case) -> None:
    row = time_layers(case, repeats=1)[0]
    found = row.to_json()
    assert found["forward_ms"] == row.forward.median * 1e3
    assert found["backward_n"] == 1
    assert not {"forward", "backward"} & set(found)


def test_repeats_must_be_positive(case: Case) -> None:
    with pytest.raises(ValueError, match="repeats is 0; it must be at least 1"):
        time_layers(case, repeats=0)


def test_a_block_is_timed_as_one_with_the_operations_of_its_layers() -> None:
    case = Case(net="resnet18", batch=2, classes=3, input_size=32)
    rows = time_layers(case, repeats=1)
    names = [name for row in rows for name in row.name.split("+")]
    assert names == [name for name, _ in case.draw_net().named_children()]
    block = next(row for row in rows if row.name == "conv2_1")
    assert block.type == "block"
    assert block.forward_flop == 2 * 2 * 2 * 64 * 64 * 9 * 8 * 8  # two of 3 x 3 on 8 x 8 maps
    assert total(rows)["forward_flop"] == inference_flop(case)
    assert total(rows)["backward_flop"] == training_flop(case) - inference_flop(case)
