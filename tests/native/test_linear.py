"""Fully connected layers with few bytes of weights against products in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.native import library
from alexnet.native.linear import WEIGHTS, linear, quantise

# A sum of n float32 products errs by less than n * 2 ** -24 of the sum of their sizes.
EPSILON = 2**-24


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def draw_weights(dtype: torch.dtype, outputs: int, inputs: int) -> Tensor:
    if dtype == torch.int8:
        generator = torch.Generator().manual_seed(1)
        return torch.randint(-127, 128, (outputs, inputs), generator=generator).to(torch.int8)
    return draw(outputs, inputs, seed=1).to(dtype)


def check(x: Tensor, weights: Tensor, *, bias: Tensor | None, relu: bool) -> None:
    """Compare with float64, within what sums in float32 and one rounding to x's type allow."""
    scale = draw(len(weights), seed=2)
    y = linear(x, weights, scale, bias, relu=relu)
    expected = x.double() @ weights.double().T * scale
    sizes = x.double().abs() @ weights.double().abs().T * scale.abs()
    if bias is not None:
        expected, sizes = expected + bias, sizes + bias.abs()
    if relu:
        expected = expected.clamp(min=0)
    rounding = 2.0**-9 if x.dtype == torch.bfloat16 else EPSILON
    bound = (x.shape[1] + 4) * EPSILON * sizes + 2 * rounding * expected.abs() + 1e-30
    assert y.dtype == x.dtype
    assert y.shape == expected.shape
    assert bool(((y - expected).abs() <= bound).all())


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("weights_type", WEIGHTS)
@pytest.mark.parametrize("x_type", library.TYPES)
def test_every_form_equals_float64(x_type: torch.dtype, weights_type: torch.dtype) -> None:
    for n, inputs, outputs in ((1, 1, 1), (1, 67, 25), (2, 16, 24), (3, 5, 49), (4, 31, 7)):
        x, weights = draw(n, inputs).to(x_type), draw_weights(weights_type, outputs, inputs)
        check(x, weights, bias=None, relu=False)
        check(x, weights, bias=draw(outputs, seed=3), relu=True)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 40),
    inputs=st.integers(1, 130),
    outputs=st.integers(1, 80),
    weights_type=st.sampled_from(list(WEIGHTS)),
    x_type=st.sampled_from(list(library.TYPES)),
    relu=st.booleans(),
)
def test_any_shape_equals_float64(
    n: int, inputs: int, outputs: int, weights_type: torch.dtype, x_type: torch.dtype, relu: bool
) -> None:
    weights = draw_weights(weights_type, outputs, inputs)
    check(draw(n, inputs).to(x_type), weights, bias=draw(outputs, seed=3), relu=relu)


@pytest.mark.parametrize("weights_type", WEIGHTS)
def test_the_twin_equals_float64(
    weights_type: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "library", lambda: None)
    for x_type in library.TYPES:
        weights = draw_weights(weights_type, 21, 33)
        check(draw(5, 33).to(x_type), weights, bias=draw(21, seed=3), relu=True)
        check(draw(5, 33).to(x_type), weights, bias=None, relu=False)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("weights_type", WEIGHTS)
def test_cuda_gives_nearly_the_same(weights_type: torch.dtype) -> None:
    x, weights = draw(6, 40), draw_weights(weights_type, 30, 40)
    scale = torch.ones(30) / float(weights.float().abs().max())
    for x_type in library.TYPES:
        found = linear(x.to("cuda", x_type), weights.cuda(), scale.cuda()).cpu()
        # two roundings to 8 bits where both are bfloat16, sums near 0
        torch.testing.assert_close(
            found, linear(x.to(x_type), weights, scale), rtol=0.02, atol=0.02
        )


def test_tensors_need_not_be_contiguous() -> None:
    x, weights = draw(33, 12).T, draw(66, 42, seed=1)[::2, ::2].T
    bias = draw(42, seed=3)[::2]
    assert not any(each.is_contiguous() for each in (x, weights, bias))
    check(x, weights, bias=bias, relu=False)


@pytest.mark.usefixtures("kernels")
def test_an_answer_does_not_depend_on_the_batch() -> None:
    x, (weights, scale) = draw(9, 100), quantise(draw(30, 100, seed=1))
    whole = linear(x, weights, scale)
    for n in range(9):
        assert torch.equal(linear(x[n : n + 1], weights, scale)[0], whole[n])


def test_what_is_not_a_number_stays_so() -> None:
    x = draw(3, 20)
    x[1, 7] = torch.nan
    y = linear(x, draw(10, 20, seed=1), torch.ones(10), relu=True)
    assert y.isnan().all(1).tolist() == [False, True, False]


def test_no_pictures_and_no_inputs() -> None:
    assert linear(draw(0, 7), draw(5, 7), torch.ones(5)).shape == (0, 5)
    assert linear(draw(2, 0), draw(5, 0), torch.ones(5), torch.ones(5)).tolist() == [[1] * 5] * 2


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 20),
    inputs=st.integers(1, 50),
    exponent=st.integers(-38, 38),
    seed=st.integers(0, 1000),
)
def test_a_quantised_weight_is_off_by_half_a_step(
    rows: int, inputs: int, exponent: int, seed: int
) -> None:
    weights = draw(rows, inputs, seed=seed).clamp(-3, 3) * 10.0**exponent
    quantised, scale = quantise(weights)
    error = (weights.double() - quantised.double() * scale.double()[:, None]).abs()
    # the quotient by the scale is rounded to float32 first
    half = scale.double() * (0.5 + 127 * 2 * EPSILON)
    assert bool((error <= half[:, None] + 2.0**-149 * 127).all())
    assert int(quantised.abs().max()) <= 127


def test_the_largest_of_a_row_takes_the_whole_range() -> None:
    quantised, scale = quantise(torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.0, -3.0]]))
    assert quantised.tolist() == [[32, -127, 64], [127, 0, -127]]
    torch.testing.assert_close(scale, torch.tensor([2 / 127, 3 / 127]))


def test_a_row_of_zeros_stays_zero() -> None:
    quantised, scale = quantise(torch.zeros(2, 5))
    assert quantised.tolist() == [[0] * 5] * 2
    assert scale.tolist() == [1, 1]


def test_many_rows_are_quantised_as_one_by_one() -> None:
    weights = draw(40, 2**16)  # more than are taken at a time
    quantised, scale = quantise(weights)
    for row in (0, 15, 16, 39):
        alone, its_scale = quantise(weights[row : row + 1])
        assert torch.equal(alone[0], quantised[row])
        assert torch.equal(its_scale[0], scale[row])


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_weight_that_is_not_finite_is_refused(value: float) -> None:
    weights = draw(3, 4)
    weights[1, 2] = value
    with pytest.raises(ValueError, match="a weight is not finite"):
        quantise(weights)


def test_what_does_not_fit_is_named() -> None:
    x, weights, scale = draw(2, 5), draw(3, 5), torch.ones(3)
    with pytest.raises(ValueError, match=r"x \(2, 5\) does not fit weights \(3, 4\)"):
        linear(x, draw(3, 4), scale)
    with pytest.raises(ValueError, match=r"x \(5,\) does not fit"):
        linear(x[0], weights, scale)
    with pytest.raises(ValueError, match=r"x is torch.float64 and weights are torch.float32"):
        linear(x.double(), weights, scale)
    with pytest.raises(ValueError, match=r"scale is \(2,\) torch.float32; it must be \(3,\)"):
        linear(x, weights, torch.ones(2))
    with pytest.raises(ValueError, match=r"bias is \(3,\) torch.float64; it must be \(3,\)"):
        linear(x, weights, scale, torch.ones(3).double())
