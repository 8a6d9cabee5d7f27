import numpy as np
import pytest
import torch

from alexnet.text.message import TextError
from alexnet.text.sources import DummySource, MemorySource
from tests.text.one_source import build, layer, take

MEMORY = "memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }"
RANDOM = np.random.default_rng(2)


def memory(more: str = "") -> MemorySource:
    source = build(layer("MemoryData", f"{MEMORY} {more}"))
    assert isinstance(source, MemorySource)
    return source


def test_memory_gives_its_arrays_batch_by_batch_again_and_again() -> None:
    source = memory()
    data, labels = RANDOM.random((6, 3, 4, 5), np.float32), np.arange(6)
    source.set_input_arrays(data, labels.reshape(6, 1, 1, 1))
    for number in (0, 1, 2, 0, 1):
        found, label = take(source)
        part = slice(2 * number, 2 * number + 2)
        np.testing.assert_array_equal(found, data[part])
        np.testing.assert_array_equal(label, labels[part])
        assert (found.dtype, label.dtype) == (torch.float32, torch.float32)
    assert source.shapes == ((2, 3, 4, 5), (2,))


def test_new_arrays_are_read_from_their_beginning_and_are_copies() -> None:
    source = memory()
    source.set_input_arrays(np.zeros((4, 3, 4, 5)), np.zeros(4))
    take(source)
    data = np.ones((4, 3, 4, 5), np.float32)
    source.set_input_arrays(data, [5, 6, 7, 8])
    data[...] = 2
    found, label = take(source)
    assert label.tolist() == [5, 6]
    np.testing.assert_array_equal(found, np.ones((2, 3, 4, 5)))


def test_memory_without_arrays_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"layer 'it' has no data; call its set_input_arrays"):
        memory()()


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (0, 3, 4, 5), (2, 4, 3, 5), (2, 60)])
def test_arrays_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    why = r"data has the shape .*; it must be \(N, 3, 4, 5\) with N a multiple of the batch size 2"
    with pytest.raises(ValueError, match=why):
        memory().set_input_arrays(np.zeros(shape), np.zeros(shape[0]))


def test_as_many_labels_as_pictures_are_needed() -> None:
    with pytest.raises(ValueError, match=r"layer 'it': 3 labels for 2 pictures; give one each"):
        memory().set_input_arrays(np.zeros((2, 3, 4, 5)), np.zeros(3))


def test_a_transformation_that_is_left_out_is_a_warning() -> None:
    source = memory("transform_param { scale: 2 }")
    with pytest.warns(UserWarning, match=r"MemoryData transforms no arrays"):
        source.set_input_arrays(np.ones((2, 3, 4, 5)), np.zeros(2))
    assert float(take(source)[0].max()) == 1


def test_memory_without_a_size_is_refused() -> None:
    with pytest.raises(TextError, match=r"batch_size, channels, height and width \[2, 3, 4, 0\]"):
        build(layer("MemoryData", "memory_data_param { batch_size: 2 channels: 3 height: 4 }"))


def dummy(fields: str, tops: int = 2) -> DummySource:
    source = build(layer("DummyData", f"dummy_data_param {{ {fields} }}", tops))
    assert isinstance(source, DummySource)
    return source


def test_dummies_are_zero_without_a_filler() -> None:
    data, label = take(dummy("shape { dim: 2 dim: 3 } shape { dim: 4 }"))
    np.testing.assert_array_equal(data, np.zeros((2, 3)))
    np.testing.assert_array_equal(label, np.zeros(4))


def test_constants_are_made_once_and_the_rest_is_drawn_anew() -> None:
    source = dummy('shape { dim: 50 } data_filler { value: 3 } data_filler { type: "uniform" }')
    first, second = take(source), take(source)
    assert first[0] is second[0]
    assert first[0].tolist() == [3.0] * 50
    assert not torch.equal(first[1], second[1])
    assert float(second[1].min()) >= 0
    assert float(second[1].max()) < 1


def test_one_filler_and_one_shape_serve_all_tops_with_numbers_of_their_own() -> None:
    source = dummy('shape { dim: 9 } data_filler { type: "gaussian" std: 2 }')
    source.seed(5)
    first = take(source)
    assert not torch.equal(first[0], first[1])
    source.seed(5)
    again = take(source)
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_the_four_old_fields_give_shapes() -> None:
    source = dummy("num: 2 num: 5 channels: 3 height: 4 height: 1 width: 6")
    assert source.shapes == ((2, 3, 4, 6), (5, 3, 1, 6))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("", "has 0 times shape for 2 tops"),
        ("shape { dim: 1 } shape { dim: 1 } shape { dim: 1 }", "has 3 times shape for 2 tops"),
        ("shape { dim: 1 } num: 2", "has shape and the old num ... width; give one form"),
        ("num: 1 channels: 1 height: 1", "has 0 times width for 2 tops"),
        ("shape { dim: 1 }" + "data_filler {}" * 3, "has 3 data_filler for 2 tops"),
        ("shape { dim: 4 dim: -1 }", r"the shape \(4, -1\) has a side that is not positive"),
    ],
)
def test_dummies_whose_counts_do_not_fit_are_refused(fields: str, why: str) -> None:
    with pytest.raises(TextError, match=f"layer 'it': .*{why}"):
        dummy(fields)


def test_an_input_has_shapes_and_nothing_else() -> None:
    text = "input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } }"
    source = build(layer("Input", text))
    assert source.shapes == ((2, 3), (2,))
    assert build(layer("Input", "input_param { shape { dim: 7 } }")).shapes == ((7,), (7,))
    with pytest.raises(ValueError, match=r"the input layer 'it' was not given its blobs"):
        source()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("", "input_param has 0 shapes for 2 tops"),
        ("shape {} shape {} shape {}", "input_param has 3 shapes for 2 tops; give one"),
        ("shape { dim: 0 }", r"the shape \(0,\) has a side that is not positive"),
    ],
)
def test_inputs_without_fitting_shapes_are_refused(fields: str, why: str) -> None:
    with pytest.raises(TextError, match=f"layer 'it': .*{why}"):
        build(layer("Input", f"input_param {{ {fields} }}"))
