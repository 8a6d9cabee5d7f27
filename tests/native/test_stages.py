"""Sizes that the stages promise, against torch's own."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from alexnet.native.stages import Box, Norm, Pool, Stage


@given(
    size=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    ceil=st.booleans(),
    side=st.integers(1, 17),
)
def test_a_pool_has_as_many_windows_as_torchs(
    size: int, stride: int, padding: int, ceil: bool, side: int
) -> None:
    assume(2 * padding <= size <= side + 2 * padding)
    y = F.max_pool2d(torch.zeros(1, 1, side, side), size, stride, padding, ceil_mode=ceil)
    assert Pool(size, stride, padding, ceil).outputs(side) == y.shape[-1]


@pytest.mark.parametrize(("pool", "shape"), [(None, (2, 5, 13, 9)), (Pool(3, 2), (2, 5, 6, 4))])
def test_a_stage_knows_the_shape_of_its_output(
    pool: Pool | None, shape: tuple[int, int, int, int]
) -> None:
    assert Stage(pool=pool).output_shape((2, 5, 13, 9)) == shape


def test_windows_count_their_middle() -> None:
    assert Norm(2, 1, 1.0, 1.0, 0.75).window == 4
    assert Box((1,), 2, 2).window == 5
    assert Box((1,), 2, 1).transposed() == Box((1,), 1, 2)
