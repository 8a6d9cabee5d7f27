"""pycaffe's Blob: arrays that are views, legacy axes, other shapes."""

import numpy as np
import pytest
import torch

from alexnet.caffe.blob import Blob


def test_data_and_diff_are_written_through() -> None:
    tensor = torch.zeros(2, 3)
    blob = Blob(tensor)

    blob.data[...] = [[1, 2, 3], [4, 5, 6]]
    blob.data.flat[0] = -1
    blob.diff[1] += 7

    assert tensor.tolist() == [[-1, 2, 3], [4, 5, 6]]
    assert blob.diff.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_data_is_in_the_order_of_its_axes_with_channels_last_in_memory() -> None:
    values = torch.arange(24.0).reshape(1, 2, 3, 4)
    blob = Blob(values.contiguous(memory_format=torch.channels_last))

    blob.data.flat = -np.arange(24.0)  # type: ignore[misc, assignment]

    np.testing.assert_array_equal(blob.data, -values)


@pytest.mark.parametrize(
    ("shape", "legacy"),
    [((), (1, 1, 1, 1)), ((5,), (5, 1, 1, 1)), ((2, 3, 4, 5), (2, 3, 4, 5))],
)
def test_legacy_axes_of_fewer_than_four_are_one(
    shape: tuple[int, ...], legacy: tuple[int, ...]
) -> None:
    blob = Blob(torch.zeros(shape))
    assert (blob.num, blob.channels, blob.height, blob.width) == legacy
    assert blob.count == np.prod(legacy)


def test_more_than_four_axes_have_no_legacy_names() -> None:
    with pytest.raises(ValueError, match=r"a blob of 5 axes has no num, .*; take its shape"):
        _ = Blob(torch.zeros(1, 1, 1, 1, 1)).num


def test_reshape_keeps_values_as_far_as_they_fit() -> None:
    blob = Blob(torch.arange(6.0).reshape(2, 3))
    blob.diff[...] = 1

    blob.reshape(2, 2)
    assert blob.data.tolist() == [[0, 1], [2, 3]]
    assert blob.diff.tolist() == [[0, 0], [0, 0]]

    blob.reshape(1, 5)
    assert blob.data.tolist() == [[0, 1, 2, 3, 0]]


def test_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the shape \(2, -1\) has a negative side"):
        Blob(torch.zeros(4)).reshape(2, -1)
    with pytest.raises(ValueError, match=r"a parameter of shape \(4,\) cannot become \(2, 2\)"):
        Blob(torch.nn.Parameter(torch.zeros(4))).reshape(2, 2)
