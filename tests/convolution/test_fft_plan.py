"""What the Fourier transforms do at a time, within any workspace."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.convolution.fft_plan import Extent, cost, nanoseconds, plan

MEGABYTE = 2**20
LAYER = Extent(16, 1, 64, 64, (55, 55), (11, 11), 4, False)


@st.composite
def extents(draw: st.DrawFn) -> Extent:
    axes = draw(st.integers(1, 3))

    def sizes(most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(1, most)) for _ in range(axes))

    batch, groups = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    channels, kernels = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    outputs, kernel = sizes((40, 20, 8)[axes - 1]), sizes(4)
    return Extent(batch, groups, channels, kernels, outputs, kernel, 4, draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(extent=extents(), workspace=st.sampled_from([200_000, 500_000, 5_000_000]))
def test_chunks_and_blocks_hold_each_once_and_fit(extent: Extent, workspace: int) -> None:
    chosen = plan(extent, workspace)
    assert chosen.workspace <= workspace
    seen = np.zeros((extent.batch, *chosen.count), int)
    for chunk in chosen.all_chunks():
        seen[(chunk.pictures, *chunk.tiles)] += 1
    assert (seen == 1).all()
    weights = np.zeros((extent.groups, extent.channels, extent.kernels), int)
    for block in chosen.all_blocks():
        weights[tuple(block)] += 1
    assert (weights == 1).all()
    assert sum(1 for _ in chosen.all_chunks()) == chosen.chunks
    for p, r, t, s, count in zip(
        extent.outputs, extent.kernel, chosen.tile, chosen.step, chosen.count, strict=True
    ):
        assert s == t - r + 1
        assert (count - 1) * s < p <= count * s


@settings(max_examples=60, deadline=None)
@given(extent=extents())
def test_lengths_have_small_prime_factors(extent: Extent) -> None:
    for length in plan(extent, MEGABYTE).tile:
        assert length == 1 or (length % 2 == 0 and 30**12 % length == 0)


@pytest.mark.parametrize("into_weights", [False, True])
def test_what_is_given_besides_is_taken_from_the_workspace(into_weights: bool) -> None:
    extent = LAYER._replace(into_weights=into_weights)
    assert plan(extent, 4 * MEGABYTE, MEGABYTE) == plan(extent, 3 * MEGABYTE)


def test_more_workspace_is_never_thought_slower() -> None:
    times = [nanoseconds(plan(LAYER, megabytes * MEGABYTE)) for megabytes in (1, 4, 16, 64, 256)]
    assert times == sorted(times, reverse=True)


def test_a_small_workspace_cuts_blocks_of_channels_and_kernels() -> None:
    small = plan(LAYER, MEGABYTE)
    assert small.channels < 64
    assert small.kernels < 64
    assert small.chunks > 1
    whole = plan(LAYER, 64 * MEGABYTE)
    assert (whole.channels, whole.kernels) == (64, 64)
    # Chunks of tensors that the system takes back are not made even where there is room.
    assert whole.chunks > 1
    assert plan(LAYER._replace(batch=1), 64 * MEGABYTE).chunks == 1


def test_a_small_kernel_is_not_transformed_at_the_size_of_a_large_picture() -> None:
    chosen = plan(Extent(2, 1, 16, 16, (1000, 1000), (3, 3), 4, False), 64 * MEGABYTE)
    assert max(chosen.tile) <= 128


def test_a_picture_not_larger_than_the_kernel_is_one_tile() -> None:
    chosen = plan(Extent(4, 1, 8, 8, (1, 1), (30, 30), 4, False), 64 * MEGABYTE)
    assert chosen.tile == (30, 30)
    assert chosen.count == (1, 1)


def test_an_axis_of_one_tap_is_not_transformed() -> None:
    chosen = plan(Extent(2, 1, 32, 32, (20, 20), (5, 1), 4, False), 64 * MEGABYTE)
    assert chosen.tile[1] == 1
    assert chosen.tile[0] > 5


def test_groups_of_few_channels_are_multiplied_element_by_element() -> None:
    assert plan(Extent(2, 64, 1, 1, (20, 20), (5, 5), 4, False), 64 * MEGABYTE).by_element
    few = plan(Extent(2, 64, 1, 1, (20, 20), (5, 5), 4, False), MEGABYTE // 8)
    assert 1 <= few.groups < 64
    assert not plan(Extent(2, 8, 8, 8, (20, 20), (5, 5), 4, False), 64 * MEGABYTE).by_element


@settings(max_examples=30, deadline=None)
@given(extent=extents())
def test_too_little_workspace_is_refused_with_what_would_do(extent: Extent) -> None:
    with pytest.raises(ValueError, match=r"fft needs \d+ bytes for the least that it can do") as e:
        plan(extent, 1000, 10)
    words = str(e.value).split()
    assert "more than the workspace of 1000; give it at least that" in str(e.value)
    least = int(words[2])
    assert plan(extent, least, 10).workspace + 10 <= least
    with pytest.raises(ValueError, match=f"fft needs {least} bytes"):
        plan(extent, least - 1, 10)


@pytest.mark.parametrize("into_weights", [False, True])
def test_the_cost_of_one_tile_by_hand(into_weights: bool) -> None:
    # One axis: 6 outputs of 3 taps are one tile of 8, whose transforms have 5 frequencies. 2
    # pictures of 5 channels to 4 kernels: 10 + 8 + 20 transforms, and 2 * 5 * 4 products each.
    extent = Extent(2, 1, 5, 4, (6,), (3,), 8, into_weights)
    one = replace(plan(extent, MEGABYTE), tile=(8,), pictures=2, tiles=(1,))
    halved = 38 * 8 * 3  # 8 * log2(8) multiplications each
    products = 5 * 2 * 5 * 4
    total = cost(one)
    assert total.multiplications == halved + 4 * products
    assert total.additions == halved * 3 // 2 + 4 * products
    assert total.bytes == 2 * 38 * (8 * 8 + 2 * 5 * 16)
    # Kept of a row: 2 * 5 numbers where outputs are sought, else 5 + 2 * 4.
    weights = 20 * 5 * 16
    rows = 2 * (13 if into_weights else 10) * 5 * 16
    taps = 0 if into_weights else 20 * 3 * 8
    assert total.workspace == max(weights + rows, 2 * weights + taps) + 3600 * 16


def test_blocks_of_kernels_transform_inputs_again_and_blocks_of_channels_outputs() -> None:
    extent = Extent(2, 3, 10, 8, (6,), (3,), 4, False)
    whole = replace(plan(extent, MEGABYTE), tile=(8,), pictures=2, tiles=(1,))
    in_blocks = replace(whole, channels=4, kernels=4)
    more = cost(in_blocks).bytes - cost(whole).bytes
    # 3 groups, 2 pictures: of 10 channels once more for the second half of the kernels, of 8
    # kernels twice more for the second and third part of the channels.
    transforms = 3 * 2 * (10 + 2 * 8)
    assert more == 2 * transforms * (8 * 4 + 2 * 5 * 8)


def test_no_pictures_leave_the_weights_to_transform() -> None:
    empty = plan(Extent(0, 1, 8, 4, (6,), (3,), 4, False), MEGABYTE)
    assert list(empty.all_chunks()) == []
    elements = math.prod(empty.tile)
    assert cost(empty).multiplications == 32 * math.ceil(elements * math.log2(elements))


def test_whole_pictures_come_before_their_tiles_in_a_chunk() -> None:
    for megabytes, extent in itertools.product((1, 2, 8, 32), (LAYER, LAYER._replace(batch=3))):
        chosen = plan(extent, megabytes * MEGABYTE)
        assert chosen.pictures == 1 or chosen.tiles == chosen.count
