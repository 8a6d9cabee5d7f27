"""Where a pass back starts, and at which value of a blob its gradient arrives."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from alexnet.caffe.backward import find_ends, find_heads, first_values
from alexnet.text.kinds import KINDS
from alexnet.text.prototxt import parse
from alexnet.text.wiring import Wiring, wire

# values: 0 x, 1 a, 2 a (in place), 3 b, 4 c, 5 loss
TEXT = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "Power" bottom: "x" top: "a" }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b" type: "Power" bottom: "a" top: "b" }
layer { name: "c" type: "Power" bottom: "a" top: "c" }
layer { name: "loss" type: "Reduction" bottom: "b" top: "loss" loss_weight: 3 }
"""


@pytest.fixture
def wiring() -> Wiring:
    return wire(parse(TEXT, "NetParameter"), KINDS)


@pytest.fixture
def values() -> dict[int, torch.Tensor]:
    return {number: torch.full((2,), float(number), requires_grad=True) for number in range(6)}


def diff(name: str) -> np.ndarray:
    return np.full(2, {"b": 10, "c": 20, "loss": 30}[name], np.float32)


def heads(
    wiring: Wiring, stop: int, values: Mapping[int, torch.Tensor], *given: str
) -> dict[float, float]:
    found = find_heads(wiring, stop, values=values, diff=diff, given=given)
    return {float(tensor.detach()[0]): float(gradient[0]) for tensor, gradient in found}


@pytest.mark.parametrize(("stop", "ends"), [(2, [1]), (3, [2]), (4, [3]), (6, [4, 5])])
def test_ends_are_what_no_layer_up_to_there_reads(
    wiring: Wiring, stop: int, ends: list[int]
) -> None:
    assert find_ends(wiring, stop) == ends


def test_a_loss_starts_with_its_weight_and_an_end_with_its_diff(
    wiring: Wiring, values: dict[int, torch.Tensor]
) -> None:
    assert heads(wiring, 6, values) == {4: 20, 5: 3}
    assert heads(wiring, 6, values, "loss") == {4: 20, 5: 30}
    assert heads(wiring, 4, values) == {3: 10}


def test_values_that_no_pass_made_or_without_gradient_are_no_start(
    wiring: Wiring, values: dict[int, torch.Tensor]
) -> None:
    del values[5]
    assert heads(wiring, 6, values) == {4: 20}
    values[4].requires_grad_(False)
    with pytest.raises(ValueError, match=r"nothing to go back from; call forward\(\) first"):
        heads(wiring, 6, values)


def test_a_blob_changed_in_place_has_the_gradient_of_what_it_was_before(
    wiring: Wiring, values: dict[int, torch.Tensor]
) -> None:
    assert first_values(wiring, range(6), values) == {"x": 0, "a": 1, "b": 3, "c": 4, "loss": 5}
    assert first_values(wiring, range(3, 5), values) == {"a": 2, "b": 3, "c": 4}
    assert first_values(wiring, range(2, 3), values) == {"a": 1}
    values[1].requires_grad_(False)
    assert first_values(wiring, range(3), values) == {"x": 0, "a": 2}
