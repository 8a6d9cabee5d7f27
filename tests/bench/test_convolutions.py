"""The laboratory on small convolutions: its errors, times, memory, and what it leaves out."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.bench import convolutions
from alexnet.bench.convolution_layers import Layer, parse_layer
from alexnet.bench.convolutions import (
    Plan,
    draw,
    error_of,
    measure,
    measured_by_default,
    total_seconds,
)
from alexnet.convolution.algorithms import ALGORITHMS, find
from alexnet.convolution.problem import DIRECTIONS, Direction, Problem
from tests.bench.laboratory import comparison_of, row_of
from tests.oracles.convolution import correlate

QUICK = Plan(("direct", "im2col"), repeats=2)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "TURN_SECONDS", 1e-4)


def layer_of(line: str = "4,6,3,3 @ 9", *, dtype: torch.dtype = torch.float32) -> Layer:
    return parse_layer(line, batch=3, dtype=dtype)


def off(y: Tensor) -> Tensor:
    """Return y, of which one number is wrong by a quarter of the largest."""
    y = y.clone()
    y.view(-1)[0] += y.abs().max() / 4
    return y


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add an algorithm that is wrong in one number, and holds 1000 bytes more than native."""

    def forward(x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, room: int) -> Tensor:
        scratch = torch.empty(1000, dtype=torch.uint8)
        y = off(find("native").forward(x.contiguous(), w.contiguous(), bias, problem, room))
        return y if scratch.numel() else y[:0]

    monkeypatch.setitem(ALGORITHMS, "wrong", replace(find("native"), name="wrong", forward=forward))
    return "wrong"


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("line", ["4,6,3,3 @ 9x8 stride 2", "4,6,3 @ 11 groups 2", "2,3,2,3,2 @ 5"])
def test_every_direction_is_measured_beside_native(direction: Direction, line: str) -> None:
    found = measure(layer_of(line), direction, QUICK)
    names = [row.algorithm for row in found.rows]
    assert names[:3] == ["native", "direct", "im2col"]
    assert found.auto in names
    for row in found.rows:
        assert row.timing is not None
        assert row.timing.n == 2
        assert 0 < row.timing.least <= row.timing.median
        # float32 has 24 bits; sums of a few dozen products lose some of them
        assert 0 <= row.mean_error <= row.largest_error < 5e-6
    assert found.rows[0].times_as_fast == 1.0


def test_errors_are_those_beside_float64(wrong: str) -> None:
    problem = layer_of(dtype=torch.float64).problem
    largest, mean = error_of(wrong, "forward", problem, 0)
    outputs = 2 * 6 * 9 * 9  # of two of the three pictures
    np.testing.assert_allclose(largest, 0.25, rtol=1e-12)  # rounding of float64 only
    np.testing.assert_allclose(mean, 0.25 / outputs, rtol=1e-9)
    assert error_of("native", "forward", problem, 0) == (0.0, 0.0)


def test_the_reference_of_the_errors_is_the_definition() -> None:
    few = replace(layer_of(dtype=torch.bfloat16).problem, batch=2)
    inputs = draw(few)
    x, w = (each.double().numpy() for each in (inputs.x, inputs.w))
    wanted = correlate(x, w, padding=1)
    y = find("native").forward(inputs.x, inputs.w, None, few, 0).double().numpy()
    largest, mean = error_of("native", "forward", layer_of(dtype=torch.bfloat16).problem, 0)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(largest, np.abs(y - wanted).max() / scale, rtol=1e-6)
    np.testing.assert_allclose(mean, np.abs(y - wanted).mean() / scale, rtol=1e-6)
    assert 1e-4 < largest < 2**-8  # the output is rounded to 8 bits


def test_memory_is_what_is_held_besides_the_result(wrong: str) -> None:
    layer = layer_of("4,6,3,3 @ 9 groups 2")
    found = measure(layer, "forward", replace(QUICK, algorithms=(wrong,)))
    native, other = found.rows[0], found.timed(wrong)
    result = 3 * 6 * 9 * 9 * 4
    assert other is not None
    assert other.held_bytes >= 1000 + result  # scratch, and the result that is copied
    assert native.held_bytes < other.held_bytes


def test_drawn_tensors_are_the_same_each_time_and_lie_channels_last() -> None:
    first, second = draw(layer_of().problem), draw(layer_of().problem)
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
        assert a.is_contiguous(memory_format=torch.channels_last)
    assert first.of("forward") == (first.x, first.w)
    assert first.of("input_gradient") == (first.dy, first.w)
    assert first.of("weight_gradient") == (first.x, first.dy)
    volume = draw(layer_of("2,3,2,2,2 @ 4").problem)
    assert volume.x.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_refusal_stands_in_a_row_without_times(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = replace(find("native"), name="lazy", refusal=lambda _: "it is Sunday")
    monkeypatch.setitem(ALGORITHMS, "lazy", lazy)
    found = measure(layer_of(), "forward", replace(QUICK, algorithms=("lazy",)))
    row = next(row for row in found.rows if row.algorithm == "lazy")
    assert row.count.refusal == "it is Sunday"
    assert (row.timing, row.formula_bytes) == (None, 0)
    assert found.timed("lazy") is None
    assert {"algorithm": "lazy", "refusal": "it is Sunday"} in found.to_json()["rows"]


def test_what_takes_too_long_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "SLOW", 1e-9)
    monkeypatch.setattr(convolutions, "SLOW_SECONDS", 0.0)
    found = measure(layer_of(), "forward", replace(QUICK, algorithms=("direct",)))
    direct = found.timed("direct")
    assert direct is not None
    assert direct.timing is not None
    assert (direct.slow, direct.timing.n) == (True, 1)
    native = found.rows[0].timing
    assert native is not None
    assert (found.rows[0].slow, native.n) == (False, 2)
    assert direct.times_as_fast == native.median / direct.timing.median


def test_auto_stands_for_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "chosen", lambda *_: find("im2col"))
    found = measure(layer_of(), "forward", replace(QUICK, algorithms=("auto",)))
    assert found.auto == "im2col"
    assert [row.algorithm for row in found.rows] == ["native", "im2col"]


def test_rows_are_plain_values() -> None:
    found = measure(layer_of("4,6,3,3 @ 9 stride 2"), "forward", QUICK)
    read = json.loads(json.dumps(found.to_json()))
    assert (read["shape"], read["batch"]) == ("4,6,3,3 @ 9 stride 2 pad 1", 3)
    row = next(row for row in read["rows"] if row["algorithm"] == "im2col")
    products = 3 * 6 * 5 * 5 * 4 * 3 * 3
    assert row["multiplications"] == products
    rate = 2 * products / row["median_ms"] / 1e6
    np.testing.assert_allclose(row["definition_gflop_per_second"], rate, rtol=1e-9)


def test_totals_take_layers_as_often_as_they_stand_in_the_net() -> None:
    one = comparison_of("4,4,3,3 @ 9", row_of("native", 2.0), row_of("fft", 1.0), auto="fft")
    two = comparison_of("4,4,3,3 @ 8", row_of("native", 5.0))
    two = replace(two, layer=replace(two.layer, count=2))
    assert total_seconds([one, two], "native") == 12.0
    assert total_seconds([one, two], "auto") == 11.0
    assert total_seconds([one, two], "fft") is None


def test_all_that_can_be_named_is_measured_by_default() -> None:
    names = measured_by_default()
    assert len(set(names)) == len(names)
    assert {"native", "direct", "im2col", "fft", "winograd-2", "winograd-4"} <= set(names)
    Plan(names)


def test_plans_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="no algorithm is called 'im2cool'"):
        Plan(("im2cool",))
    with pytest.raises(ValueError, match="repeats is 0; it must be at least 1"):
        Plan((), repeats=0)
    with pytest.raises(ValueError, match="workspace is -1 bytes; it must be at least 0"):
        Plan((), workspace=-1)
