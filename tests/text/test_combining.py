"""MVN, Reduction, Tile, Embed, Parameter, Filter and BatchReindex against numpy."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from alexnet.text.combining import KINDS
from alexnet.text.kind import Source, blobs
from tests.text.single_layer import draw, make, refused


def test_a_constant_map_has_a_gradient_of_zeros_and_not_nan() -> None:
    layer = make(KINDS, 'type: "MVN" mvn_param { eps: 0.5 }', [(1, 1, 2, 3)])
    x = torch.full((1, 1, 2, 3), 4.0, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    assert y.tolist() == [[[[0.0] * 3] * 2]]
    assert x.grad.tolist() == [[[[0.0] * 3] * 2]]


@pytest.mark.parametrize("across", ["true", "false"])
def test_mvn_has_the_derivative_as_gradient_when_eps_is_small(across: str) -> None:
    layer = make(
        KINDS, f'type: "MVN" mvn_param {{ across_channels: {across} eps: 1e-12 }}', [(2, 3, 3, 2)]
    )
    x = draw(2, 3, 3, 2)
    assert gradcheck(layer, x)
    axes = (1, 2, 3) if across == "true" else (2, 3)
    values = x.detach().numpy()
    expected = values - values.mean(axes, keepdims=True)
    expected /= values.std(axes, keepdims=True)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_mvn_refuses_five_axes() -> None:
    refused(KINDS, 'type: "MVN"', [(1, 2, 3, 4, 5)], why="MVN takes up to 4 axes and has a blob")


@pytest.mark.parametrize("operation", ["SUM", "ASUM", "SUMSQ", "MEAN"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_a_reduction_is_a_sum_over_the_last_axes(operation: str, axis: int) -> None:
    text = f"operation: {operation} axis: {axis} coeff: 0.5"
    layer = make(KINDS, f'type: "Reduction" reduction_param {{ {text} }}', [(3, 2, 4)])
    x = draw(3, 2, 4)
    values = x.detach().numpy()
    axes = {0: (0, 1, 2), 1: (1, 2), -1: (2,)}[axis]
    expected = {
        "SUM": values.sum(axes),
        "ASUM": np.abs(values).sum(axes),
        "SUMSQ": np.square(values).sum(axes),
        "MEAN": values.mean(axes),
    }[operation]
    np.testing.assert_allclose(layer(x).detach().numpy(), 0.5 * expected, rtol=1e-12)
    assert gradcheck(layer, x)


def test_a_reduction_refuses_an_axis_that_is_not_there() -> None:
    text = 'type: "Reduction" reduction_param { axis: 3 }'
    refused(KINDS, text, [(3, 2, 4)], why="axis 3 is not in a blob of 3 axes")


def test_tiles_stand_beside_each_other_and_their_gradients_add_up() -> None:
    layer = make(KINDS, 'type: "Tile" tile_param { axis: -2 tiles: 3 }', [(2, 3, 5)])
    x = draw(2, 3, 5)
    expected = np.concatenate([x.detach().numpy()] * 3, axis=1)
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected)
    assert gradcheck(layer, x)


@pytest.mark.parametrize("numbers", ["", "tiles: 0", "tiles: -2"])
def test_tile_refuses_a_number_of_tiles_that_is_not_positive(numbers: str) -> None:
    text = f'type: "Tile" tile_param {{ {numbers} }}'
    refused(KINDS, text, [(2, 3)], why="give how often to repeat, 1 or more")


@pytest.mark.parametrize("bias", ["true", "false"])
def test_embed_is_a_product_with_rows_of_one_hot_codes(bias: str) -> None:
    text = f"input_dim: 5 num_output: 3 bias_term: {bias}"
    layer = make(KINDS, f'type: "Embed" embed_param {{ {text} }}', [(4, 2)])
    x = torch.tensor([[0.0, 4.0], [2.0, 2.0], [1.0, 0.0], [4.0, 4.0]], dtype=torch.float64)
    own = [blob.detach().numpy() for blob in blobs(layer)]
    codes = np.eye(5)[x.long().numpy()]
    expected = codes @ own[0] + (own[1] if bias == "true" else 0)
    y = layer(x)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-12)
    slope = draw(4, 2, 3, seed=3).detach()
    y.backward(slope)
    gradients = [blob.grad for blob in blobs(layer)]
    wanted = [np.einsum("abi,abo->io", codes, slope.numpy()), slope.sum((0, 1)).numpy()]
    for gradient, want in zip(gradients, wanted, strict=False):
        assert gradient is not None
        np.testing.assert_allclose(gradient.numpy(), want, rtol=1e-12)
    assert len(own) == (2 if bias == "true" else 1)


def test_embed_refuses_missing_sizes_and_indices_out_of_range() -> None:
    text = 'type: "Embed" embed_param { %s }'
    refused(KINDS, text % "input_dim: 3", [(4,)], why="num_output is missing or 0")
    refused(KINDS, text % "num_output: 3", [(4,)], why="input_dim is missing or 0")
    layer = make(KINDS, text % "num_output: 3 input_dim: 4", [(2,)])
    with pytest.raises(ValueError, match="Embed: index 4 is not in 0 to 3, as input_dim is 4"):
        layer(torch.tensor([1.0, 4.0]))
    with pytest.raises(ValueError, match="Embed: index -1 is not in 0 to 3"):
        layer(torch.tensor([-1.0, 9.0]))


def test_a_parameter_is_a_source_whose_blob_learns() -> None:
    text = 'type: "Parameter" parameter_param { shape { dim: 2 dim: 3 } }'
    layer = make(KINDS, text, [])
    assert isinstance(layer, Source)
    assert layer.shapes == ((2, 3),)
    (blob,) = blobs(layer)
    top = layer()
    before = blob.detach().clone()
    (3 * top).sum().backward()
    assert blob.grad is not None
    assert blob.grad.tolist() == [[3.0] * 3] * 2
    top.detach().zero_()
    assert torch.equal(blob, before)


def test_a_parameter_refuses_a_dim_that_is_not_positive() -> None:
    text = 'type: "Parameter" parameter_param { shape { dim: 2 dim: 0 } }'
    refused(KINDS, text, [], why="shape is (2, 0); each dim must be positive")


def test_a_filter_keeps_rows_and_its_gradient_is_zero_for_the_others() -> None:
    layer = make(KINDS, 'type: "Filter"', [(5, 2), (5,), (5, 1, 1)], tops=2)
    x, more = draw(5, 2), draw(5, seed=1)
    selector = torch.tensor([0.0, 1.0, 0.0, -2.0, 0.5]).reshape(5, 1, 1)
    first, second = layer(x, more, selector)
    first.sum().backward()
    assert torch.equal(first, x[[1, 3, 4]])
    assert torch.equal(second, more[[1, 3, 4]])
    assert x.grad is not None
    assert x.grad[:, 0].tolist() == [0, 1, 0, 1, 1]


def test_a_filter_that_keeps_nothing_gives_an_empty_blob() -> None:
    layer = make(KINDS, 'type: "Filter"', [(3, 2), (3,)])
    (y,) = layer(draw(3, 2), torch.zeros(3))
    assert tuple(y.shape) == (0, 2)


def test_a_filter_refuses_blobs_that_do_not_fit_its_selector() -> None:
    why = "2 tops for 2 bottoms; give a top for each bottom but the last"
    refused(KINDS, 'type: "Filter"', [(3, 2), (3,)], why=why, tops=2)
    why = "the selector, bottom 'x1', is (3, 2); all its axes but the first must be 1"
    refused(KINDS, 'type: "Filter"', [(3, 2), (3, 2)], why=why)
    why = "bottom 'x0' is (4, 2) and the selector (3,); they must have as many rows"
    refused(KINDS, 'type: "Filter"', [(4, 2), (3,)], why=why)
    layer = make(KINDS, 'type: "Filter"', [(3, 2), (3,)])
    with pytest.raises(ValueError, match="Filter has blobs of 4 rows and a selector of 3"):
        layer(torch.zeros(4, 2), torch.zeros(3))


def test_batch_reindex_takes_rows_and_adds_their_gradients() -> None:
    layer = make(KINDS, 'type: "BatchReindex"', [(4, 2), (5,)])
    x = draw(4, 2)
    y = layer(x, torch.tensor([3.0, 0.0, 3.0, 1.0, 3.0]))
    y.sum().backward()
    assert torch.equal(y, x[[3, 0, 3, 1, 3]])
    assert x.grad is not None
    assert x.grad[:, 1].tolist() == [1, 1, 0, 3]


def test_batch_reindex_refuses_what_is_no_list_of_rows() -> None:
    why = "BatchReindex takes rows and a list of indices with one axis"
    refused(KINDS, 'type: "BatchReindex"', [(4, 2), (5, 1)], why=why)
    layer = make(KINDS, 'type: "BatchReindex"', [(4, 2), (1,)])
    match = "BatchReindex: index 4 is not in 0 to 3, as the number of rows is 4"
    with pytest.raises(ValueError, match=match):
        layer(draw(4, 2), torch.tensor([4.0]))
