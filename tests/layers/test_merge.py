"""Merges against numpy."""

import numpy as np
import torch

from alexnet.layers.merge import Add, Concat


def test_concat_puts_channels_behind_each_other_in_the_order_given() -> None:
    parts = [torch.randn(2, channels, 3, 5) for channels in (1, 4, 2)]
    wanted = np.concatenate([part.numpy() for part in parts], axis=1)
    np.testing.assert_array_equal(Concat()(*parts).numpy(), wanted)


def test_concat_gives_each_branch_its_own_gradient() -> None:
    a = torch.randn(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    b = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Concat(), (a, b))


def test_add_is_the_sum_and_leaves_both_inputs_as_they_are() -> None:
    a, b = torch.randn(2, 3, 5, 1), torch.randn(2, 3, 5, 1)
    before = a.numpy().copy(), b.numpy().copy()
    np.testing.assert_array_equal(Add()(a, b).numpy(), before[0] + before[1])
    np.testing.assert_array_equal(a.numpy(), before[0])
    np.testing.assert_array_equal(b.numpy(), before[1])
