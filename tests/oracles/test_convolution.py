"""The oracle of convolution, held to numbers worked out by hand."""

import numpy as np

from tests.oracles import convolution as oracle

X = np.array([[[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 0.0, 2.0, 0.0, 1.0]]])
"""(1, 2, 5): one picture, two channels."""
W = np.array([[[1.0, 10.0], [100.0, 1000.0]]])
"""(1, 2, 2): one kernel of two taps."""


def test_one_axis_with_stride_dilation_and_uneven_padding_equals_the_sum_by_hand() -> None:
    # Padded in front by one, channel 0 is 0 1 2 3 4 5 and channel 1 is 0 1 0 2 0 1. The taps lie
    # 2 apart, the outputs begin at 0 and 3:
    #   y[0] = 1 * 0 + 10 * 2 + 100 * 0 + 1000 * 0 = 20
    #   y[1] = 1 * 3 + 10 * 5 + 100 * 2 + 1000 * 1 = 1253
    y = oracle.correlate(X, W, np.array([0.5]), stride=3, padding=[(1, 0)], dilation=2)
    assert y.tolist() == [[[20.5, 1253.5]]]


def test_the_gradients_of_that_sum_equal_those_by_hand() -> None:
    # Of x: output 0 met the padding and x[1], output 1 met x[2] and x[4].
    # Of w: tap 0 met the padding and x[2], tap 1 met x[1] and x[4].
    dy = np.array([[[1.0, 2.0]]])
    dx = oracle.input_gradient(dy, W, [5], stride=3, padding=[(1, 0)], dilation=2)
    assert dx.tolist() == [[[0, 10, 2, 0, 20], [0, 1000, 200, 0, 2000]]]
    dw = oracle.weight_gradient(X, dy, [2], stride=3, padding=[(1, 0)], dilation=2)
    assert dw.tolist() == [[[2 * 3, 1 * 2 + 2 * 5], [2 * 2, 1 * 0 + 2 * 1]]]


def test_each_group_reads_its_own_channels() -> None:
    w = np.array([[[1.0]], [[-1.0]], [[10.0]], [[-10.0]]])
    y = oracle.correlate(X[:, :, :2], w, groups=2)
    assert y.tolist() == [[[1, 2], [-1, -2], [10, 0], [-10, 0]]]
    dx = oracle.input_gradient(y, w, [2], groups=2)
    assert dx.tolist() == [[[2, 4], [200, 0]]]
    dw = oracle.weight_gradient(X[:, :, :2], y, [1], groups=2)
    assert dw.tolist() == [[[5]], [[-5]], [[10]], [[-10]]]


def test_two_axes_take_their_own_stride_and_padding() -> None:
    # Rows begin at 0 and 2 of the rows 0-3, columns at 0 of the columns 0-2 and a zero behind.
    x = np.arange(12.0).reshape(1, 1, 4, 3)
    w = np.array([[[[1.0, 0.0, 0.0, 2.0], [0.0, 3.0, 0.0, 0.0]]]])
    y = oracle.correlate(x, w, stride=(2, 1), padding=[(0, 0), (0, 1)])
    assert y.tolist() == [[[[0 + 3 * 4], [6 + 3 * 10]]]]


def test_three_axes_meet_all_eight_taps() -> None:
    x = np.arange(8.0).reshape(1, 1, 2, 2, 2)
    w = np.array([10.0**i for i in range(8)]).reshape(1, 1, 2, 2, 2)
    assert oracle.correlate(x, w).item() == 76543210
    assert oracle.input_gradient(np.ones((1, 1, 1, 1, 1)), w, [2, 2, 2]).tolist() == w.tolist()


def test_the_transpose_spreads_each_input_over_its_window() -> None:
    # x[0] = 1 goes to places 0 and 1, x[1] = 2 to places 2 and 3; one more place stays empty, and
    # the padding takes the first and the last away.
    x, w = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]])
    assert oracle.transposed(x, w, stride=2).tolist() == [[[1, 10, 2, 20]]]
    y = oracle.transposed(x, w, np.array([5.0]), stride=2, padding=1, output_padding=1)
    assert y.tolist() == [[[15, 7, 25]]]
