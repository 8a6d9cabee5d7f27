"""Arrays cut into a net's batches and put together again."""

import numpy as np
import pytest

from alexnet.caffe.batches import count_rows, cut_batches, join_batches


def test_cut_batches_joined_are_the_rows_again_without_the_filling() -> None:
    rows = {"a": np.arange(21.0).reshape(7, 3), "b": np.arange(7.0)}

    batches = cut_batches(rows, 3)
    joined = join_batches([{"twice": 2 * batch["a"]} for batch in batches], 7, 3)

    assert len(batches) == 3
    np.testing.assert_array_equal(batches[2]["a"], [[18, 19, 20], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batches[2]["b"], [6, 0, 0])
    np.testing.assert_array_equal(joined["twice"], 2 * rows["a"])


def test_rows_that_fill_all_batches_are_not_filled_up() -> None:
    batches = cut_batches({"a": [1, 2, 3, 4]}, 2)
    np.testing.assert_array_equal([batch["a"] for batch in batches], [[1, 2], [3, 4]])


def test_arrays_of_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"different numbers of rows, a 2, b 3; give as many"):
        count_rows({"a": np.zeros((2, 5)), "b": np.zeros(3)})


@pytest.mark.parametrize("arrays", [{}, {"a": np.zeros((0, 4))}])
def test_no_rows_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"there are no rows to run; give at least one"):
        count_rows(arrays)


def test_an_output_without_a_row_for_each_of_the_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"blob 'loss' of shape \(\) has not one row.*batch of 4"):
        join_batches([{"loss": np.zeros((), np.float32)}], 3, 4)
