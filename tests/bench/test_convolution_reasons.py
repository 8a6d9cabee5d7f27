"""Each sentence is said when its numbers are there, and its opposite when they are not."""

import itertools
from dataclasses import replace

import pytest
import torch

from alexnet.bench.convolution_layers import parse_layer
from alexnet.bench.convolution_reasons import (
    Machine,
    Sum,
    explain,
    explain_depthwise,
    explain_fft,
    explain_tiles,
    products_in_tiles,
    total,
)
from alexnet.convolution.count import definition
from tests.bench.laboratory import comparison_of, row_of

MACHINE = Machine(operations_per_second=50e9, bytes_per_second=5e9)
SMALL, LARGE = "16,16,3,3 @ 20", "16,16,11,11 @ 20"
DEPTHWISE = "32,32,3,3 @ 20 groups 32"


def fft_beside_im2col(seconds: float, work: float, line: str = SMALL) -> str:
    fft = row_of("fft", seconds, work=work, moved=6.0)
    found = comparison_of(line, row_of("native", 1.0), fft, row_of("im2col", 1.0))
    return explain_fft([found], MACHINE)


def test_fft_that_saves_arithmetic_and_is_slower_loses_by_its_pace() -> None:
    said = fft_beside_im2col(3.0, work=0.5)
    assert "FFT loses at kernels 3 wide: on the layer 16,16,3,3 @ 20 it takes 3.00 times" in said
    assert "im2col's time. It does 0.50 times the operations, but does them at" in said
    assert "it moves 6.0 times the bytes" in said
    assert "The pace decides, not the arithmetic that it saves." in said


def test_fft_that_does_more_and_slower_has_both_against_it() -> None:
    said = fft_beside_im2col(3.0, work=1.5)
    assert "It does 1.50 times the operations, and does them at" in said
    assert "Arithmetic and pace both speak against it." in said


def test_fft_that_does_more_than_it_is_quicker_loses_by_arithmetic() -> None:
    said = fft_beside_im2col(3.0, work=4.0)
    assert "but does them at" in said
    assert said.endswith("The arithmetic decides.")


def test_where_fft_wins_at_small_kernels_it_is_said() -> None:
    assert fft_beside_im2col(0.5, work=0.1).startswith("FFT wins at kernels 3 wide")
    assert "The arithmetic decides, in spite of the slower pace." in fft_beside_im2col(0.5, 0.1)
    assert "Arithmetic and pace both speak for it." in fft_beside_im2col(0.5, 0.8)
    assert fft_beside_im2col(0.5, 1.5).endswith("The pace decides.")


def test_fft_that_is_even_is_said_to_be() -> None:
    said = fft_beside_im2col(1.02, work=0.5)
    assert "FFT is even at kernels 3 wide" in said
    assert "Arithmetic and pace make up for each other." in said


def test_large_kernels_are_told_apart_from_small_ones() -> None:
    layers = [
        comparison_of(line, row_of("native", 1.0), row_of("fft", seconds, work=0.2))
        for line, seconds in ((SMALL, 2.0), (LARGE, 0.5))
    ]
    said = explain_fft(layers, MACHINE)
    assert "FFT loses at kernels 3 wide" in said
    assert "FFT wins at kernels 7 wide and more: on the layer 16,16,11,11 @ 20" in said
    assert "times native's time" in said  # nobody measured im2col


def test_memory_is_blamed_only_below_the_balance_of_the_machine() -> None:
    found = comparison_of(SMALL, row_of("native", 1.0), row_of("fft", 2.0))
    slow, quick = Machine(1e12, 1e9), Machine(1e9, 1e9)
    assert "1000 in the time of a byte, so that memory alone would hold" in explain_fft(
        [found], slow
    )
    assert "does 1 in the time of a byte, so that memory alone does not" in explain_fft(
        [found], quick
    )


def test_what_was_not_measured_is_not_explained_but_a_way_to_is() -> None:
    found = [comparison_of("16,16,5,5 @ 20", row_of("native", 1.0))]
    assert "Nothing is said of FFT at kernels 3 wide" in explain_fft(found, MACHINE)
    assert "Nothing is said of Winograd's tiles" in explain_tiles(found)
    assert "Nothing is said of depthwise layers" in explain_depthwise(found, MACHINE)
    assert explain([], MACHINE) == []


def tiles(
    seconds: tuple[float, float, float], *, errors: tuple[float, ...] = (1e-7, 1e-6, 1e-5)
) -> str:
    rows = [
        row_of(f"winograd-{m}", taken, work=work, error=error)
        for m, taken, work, error in zip((2, 4, 6), seconds, (0.6, 0.4, 0.38), errors, strict=True)
    ]
    return explain_tiles([comparison_of(SMALL, row_of("native", 1.0), *rows)])


def test_a_largest_tile_that_is_slower_is_compared_with_the_quickest() -> None:
    said = tiles((1.0, 0.5, 0.75))
    assert said.startswith("Winograd's largest tile, F(6), is slower than F(4): over the layer")
    assert "it takes 1.50 of the time of F(4)" in said
    assert "it does 0.95 of them, at 1.58 times the time for each" in said
    assert "Its error grows: 1.0e-05 of the largest output, 10.0 times that of F(4)." in said


def test_a_largest_tile_that_wins_is_said_to() -> None:
    said = tiles((1.0, 0.8, 0.4), errors=(1e-6, 1e-6, 5e-7))
    assert said.startswith("Here Winograd's largest tile, F(6), is the quickest: ")
    assert "it takes 0.50 of the time of F(4)" in said
    assert "Its error does not grow here" in said


def test_tiles_that_are_as_quick_are_said_to_be() -> None:
    assert "F(6), is no quicker than F(4)" in tiles((1.0, 0.8, 0.81))
    assert "F(6), is hardly the quickest" in tiles((1.0, 0.81, 0.8))


def test_strided_layers_have_no_count_of_products_alone() -> None:
    rows = [row_of(f"winograd-{m}", 1.0 * m) for m in (2, 4)]
    found = comparison_of("16,16,3,3 @ 20 stride 2", row_of("native", 1.0), *rows)
    said = explain_tiles([found])
    assert "It does 1.00 of its operations." in said
    assert "products alone" not in said


def test_products_in_tiles_are_those_of_a_loop_over_tiles() -> None:
    problem = parse_layer("4,6,3,1 @ 11x5 groups 2", batch=2, dtype=torch.float32).problem
    for side in (2, 4):
        products = 0
        for _ in itertools.product(range(0, 11, side), range(5)):
            products += 2 * 6 * (4 // 2) * (side + 2)
        assert products_in_tiles(problem, side) == products


@pytest.mark.parametrize(
    ("seconds", "start"),
    [
        (4.0, "Winograd loses in depthwise layers: on the layer"),
        (0.5, "Here Winograd wins in depthwise layers: on the layer"),
        (1.01, "In depthwise layers Winograd is even: on the layer"),
    ],
)
def test_depthwise_layers_are_judged_by_the_best_tile(seconds: float, start: str) -> None:
    rows = [
        row_of("winograd-2", seconds, work=2.0, moved=1.5),
        row_of("winograd-4", 9.0),
    ]
    found = comparison_of(DEPTHWISE, row_of("native", 1.0), *rows)
    said = explain_depthwise([found], MACHINE)
    assert said.startswith(start)
    assert f"its best tile takes {seconds:.2f} times native's time" in said
    assert "Winograd does 2.00 times the definition's operations" in said
    assert "moves 1.5 times the bytes" in said
    assert ("Another factor of 2.0 is in neither count." in said) == (seconds == 4.0)


def test_whether_memory_decides_in_depthwise_layers_is_the_machines_balance() -> None:
    found = comparison_of(DEPTHWISE, row_of("native", 1.0), row_of("winograd-2", 2.0))
    asked = definition(found.layer.problem)
    own = 2 * asked.multiplications / asked.bytes
    assert f"The definition does {own:.1f} operations" in explain_depthwise([found], MACHINE)
    assert "memory decides and there are no products" in explain_depthwise([found], MACHINE)
    slow = Machine(1e9, 1e9)
    assert "arithmetic decides even here" in explain_depthwise([found], slow)


def test_depthwise_layers_say_nothing_of_tiles() -> None:
    rows = [row_of(f"winograd-{m}", 1.0 * m) for m in (2, 4)]
    found = comparison_of(DEPTHWISE, row_of("native", 1.0), *rows)
    assert "Nothing is said of Winograd's tiles" in explain_tiles([found])


def test_sums_take_a_layer_as_often_as_the_net_has_it() -> None:
    one = comparison_of(SMALL, row_of("native", 2.0, error=3e-7))
    two = replace(one, layer=replace(one.layer, count=3))
    asked = definition(one.layer.problem)
    found = total([one, two], "native")
    assert found.seconds == 8.0
    assert found.cost.multiplications == 4 * asked.multiplications
    assert found.largest_error == 3e-7
    assert found.pace == 4 * 2 * asked.multiplications / 8.0
    assert Sum(asked, 2.0, 0.0).pace == found.pace


def test_another_direction_than_forward_is_named() -> None:
    rows = (
        row_of("native", 1.0),
        row_of("fft", 2.0),
        *(row_of(f"winograd-{m}", 2.0) for m in (2, 4)),
    )
    backward = comparison_of(SMALL, *rows, direction="weight_gradient")
    for paragraph in explain([backward], MACHINE):
        assert paragraph.startswith("Of the weight gradient: ")
    both = explain([backward, comparison_of(SMALL, *rows)], MACHINE)
    assert both[0].startswith("FFT loses")
