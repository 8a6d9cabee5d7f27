"""Response normalisation against the oracle, against torch, and at its borders."""

from collections.abc import Callable
from typing import TypedDict, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.layers.response_norm import (
    Convention,
    LocalResponseNorm,
    WithinChannelNorm,
    local_response_norm,
    within_channel_norm,
)
from tests.oracles import normalisation


class Constants(TypedDict):
    """The constants of every form."""

    bias: float
    alpha: float
    beta: float


class Tolerance(TypedDict):
    """How far values may be apart: atol + rtol * |expected|."""

    rtol: float
    atol: float


CONSTANTS: Constants = {"bias": 1.5, "alpha": 0.3, "beta": 0.75}
# Sums of a few dozen float64 terms in another order.
FLOAT64: Tolerance = {"rtol": 1e-12, "atol": 1e-13}
# The same in float32, with square roots in the place of pow.
FLOAT32: Tolerance = {"rtol": 2e-6, "atol": 2e-6}
# The window is summed in float32, so only the result is rounded, by half a unit in the last place:
# of 8 bits in bfloat16, of 11 in float16. atol is for differences that cancel in float32.
BFLOAT16: Tolerance = {"rtol": 2**-8, "atol": 1e-5}
FLOAT16: Tolerance = {"rtol": 2**-11, "atol": 1e-5}


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


def oracle_of(convention: Convention, window: int) -> tuple[normalisation.Window, float]:
    """Return the oracle's window and the weight of one term, per unit of alpha."""
    below, above = window // 2, (window - 1) // 2
    if convention == "onnx":
        below, above = above, below
    per_term = 1.0 if convention in ("paper", "tf") else 1.0 / window
    return normalisation.window_across(below, above), per_term


def assert_equal_to_oracle(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    window: normalisation.Window,
    *,
    per_term: float,
    tolerance: Tolerance = FLOAT64,
    constants: Constants = CONSTANTS,
) -> None:
    constants = {**constants, "alpha": constants["alpha"] * per_term}
    x = x.detach().requires_grad_()
    dy = draw(*x.shape, seed=1).to(x.dtype)
    y = function(x)
    (dx,) = torch.autograd.grad(y, x, dy)
    x_64, dy_64 = x.detach().double().numpy(), dy.double().numpy()
    expected_y = normalisation.normalise(x_64, window, **constants)
    expected_dx = normalisation.normalise_backward(x_64, dy_64, window, **constants)
    assert y.dtype == dx.dtype == x.dtype
    np.testing.assert_allclose(y.detach().double().numpy(), expected_y, **tolerance)
    np.testing.assert_allclose(dx.double().numpy(), expected_dx, **tolerance)


@pytest.mark.parametrize("convention", get_args(Convention))
@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("num_channels", [1, 3, 7])
def test_every_convention_equals_the_oracle_for_odd_windows(
    convention: Convention, window: int, num_channels: int
) -> None:
    box, per_term = oracle_of(convention, window)
    assert_equal_to_oracle(
        lambda x: local_response_norm(x, window=window, convention=convention, **CONSTANTS),
        draw(2, num_channels, 3, 5),
        box,
        per_term=per_term,
    )


@pytest.mark.parametrize("convention", ["torch", "onnx"])
@pytest.mark.parametrize("window", [2, 4, 8])
def test_even_windows_lean_to_lower_channels_in_torch_and_to_higher_ones_in_onnx(
    convention: Convention, window: int
) -> None:
    box, per_term = oracle_of(convention, window)
    assert_equal_to_oracle(
        lambda x: local_response_norm(x, window=window, convention=convention, **CONSTANTS),
        draw(2, 6, 2, 3),
        box,
        per_term=per_term,
    )


@settings(deadline=None, max_examples=25)
@given(
    shape=st.lists(st.integers(1, 5), min_size=3, max_size=5),
    window=st.sampled_from([1, 3, 5, 7]),
    beta=st.sampled_from([0.5, 0.6, 0.75, 1.0]),
    convention=st.sampled_from(get_args(Convention)),
)
def test_any_shape_of_three_to_five_dimensions_equals_the_oracle(
    shape: list[int], window: int, beta: float, convention: Convention
) -> None:
    box, per_term = oracle_of(convention, window)
    constants: Constants = {**CONSTANTS, "beta": beta}
    assert_equal_to_oracle(
        lambda x: local_response_norm(x, window=window, convention=convention, **constants),
        draw(*shape),
        box,
        per_term=per_term,
        constants=constants,
    )


@settings(deadline=None, max_examples=25)
@given(
    shape=st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(1, 7)] * 2),
    window=st.sampled_from([1, 3, 5]),
    channels_last=st.booleans(),
)
def test_within_channel_equals_the_oracle(
    shape: tuple[int, int, int, int], window: int, channels_last: bool
) -> None:
    x = draw(*shape)
    assert_equal_to_oracle(
        lambda x: within_channel_norm(x, window=window, **CONSTANTS),
        x.to(memory_format=torch.channels_last) if channels_last else x,
        normalisation.window_within(window // 2),
        per_term=1 / window**2,
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, FLOAT32), (torch.bfloat16, BFLOAT16), (torch.float16, FLOAT16)],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_lower_precision_rounds_only_the_result(
    dtype: torch.dtype, tolerance: Tolerance, memory_format: torch.memory_format
) -> None:
    x = draw(2, 9, 5, 3).to(dtype).to(memory_format=memory_format)
    assert_equal_to_oracle(
        lambda x: local_response_norm(x, **CONSTANTS),
        x,
        normalisation.window_across(2, 2),
        per_term=1.0,
        tolerance=tolerance,
    )
    assert_equal_to_oracle(
        lambda x: within_channel_norm(x, **CONSTANTS),
        x,
        normalisation.window_within(2),
        per_term=1 / 25,
        tolerance=tolerance,
    )


FUNCTIONS: list[Callable[[Tensor], Tensor]] = [
    lambda x: local_response_norm(x, window=3, **CONSTANTS),
    lambda x: within_channel_norm(x, window=3, **CONSTANTS),
]
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "images_last": lambda x: x.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
    "every_second_channel": lambda x: x.repeat_interleave(2, dim=1)[:, ::2],
    "every_second_column": lambda x: x.repeat_interleave(2, dim=3)[..., ::2],
    "flipped_cut": lambda x: torch.cat([x, x], dim=2)[:, :, : x.shape[2]],
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_does_not_change_values(
    layout: str, function: Callable[[Tensor], Tensor]
) -> None:
    x = LAYOUTS[layout](draw(3, 6, 5, 7)).requires_grad_()
    dense = x.detach().contiguous().requires_grad_()
    dy = draw(3, 6, 5, 7, seed=1)
    torch.testing.assert_close(function(x), function(dense), rtol=0, atol=0)
    (dx,) = torch.autograd.grad(function(x), x, LAYOUTS[layout](dy))
    (dense_dx,) = torch.autograd.grad(function(dense), dense, dy)
    torch.testing.assert_close(dx, dense_dx, rtol=0, atol=0)


def test_channels_last_stays_channels_last() -> None:
    x = draw(2, 6, 5, 7).to(memory_format=torch.channels_last)
    for y in (local_response_norm(x), within_channel_norm(x)):
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_columns_are_normalised_each_on_its_own(memory_format: torch.memory_format) -> None:
    x = draw(2, 8, 5, 3).to(memory_format=memory_format)
    y = LocalResponseNorm(columns=2)(x)
    halves = [local_response_norm(half) for half in x.chunk(2, dim=1)]
    torch.testing.assert_close(y, torch.cat(halves, dim=1), rtol=0, atol=0)
    assert y.is_contiguous(memory_format=memory_format)


def test_an_expanded_gradient_is_accepted() -> None:
    x = draw(2, 6, 5, 7).requires_grad_()
    (from_sum,) = torch.autograd.grad(local_response_norm(x).sum(), x)
    (from_ones,) = torch.autograd.grad(local_response_norm(x), x, torch.ones_like(x))
    torch.testing.assert_close(from_sum, from_ones, rtol=0, atol=0)


@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 6])
def test_the_torch_convention_equals_torch(window: int) -> None:
    x = draw(2, 11, 5, 3).requires_grad_()
    theirs = torch.nn.LocalResponseNorm(window, alpha=0.3, beta=0.75, k=1.5)(x)
    ours = local_response_norm(x, window=window, convention="torch", **CONSTANTS)
    torch.testing.assert_close(ours, theirs, **FLOAT64)
    dy = draw(2, 11, 5, 3, seed=1)
    (our_dx,) = torch.autograd.grad(ours, x, dy)
    (their_dx,) = torch.autograd.grad(theirs, x, dy)
    torch.testing.assert_close(our_dx, their_dx, **FLOAT64)


def test_alpha_of_caffe_is_window_times_that_of_the_paper() -> None:
    x = draw(2, 11, 5, 3)
    paper = local_response_norm(x, alpha=2e-2, convention="paper")
    caffe = local_response_norm(x, alpha=1e-1, convention="caffe")
    torch.testing.assert_close(paper, caffe, **FLOAT64)


@pytest.mark.parametrize("window", [1, 4, 5])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_gradients_across_channels_equal_finite_differences(window: int, beta: float) -> None:
    x = draw(2, 5, 3, 2).requires_grad_()
    constants: Constants = {**CONSTANTS, "beta": beta}
    assert torch.autograd.gradcheck(
        lambda x: local_response_norm(x, window=window, convention="onnx", **constants), x
    )


def test_gradients_within_a_channel_equal_finite_differences() -> None:
    x = draw(2, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: within_channel_norm(x, window=3, **CONSTANTS), x)


def test_a_second_derivative_is_refused() -> None:
    x = draw(1, 3, 2, 2).requires_grad_()
    (dx,) = torch.autograd.grad(local_response_norm(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dx.sum().backward()


def test_zeros_beside_the_last_channel_do_not_spread_when_the_bias_is_zero() -> None:
    x = draw(1, 8, 2, 2)
    x[:, :2] = 0  # Channel 0 sees a third one that is not zero; the line before it sees none.
    x.requires_grad_()
    y = local_response_norm(x, bias=0.0, alpha=1.0)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert y.isfinite().all()
    assert dx.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_neither_type_nor_values(dtype: torch.dtype) -> None:
    x = draw(2, 9, 5, 3).to(dtype).requires_grad_()
    plain = local_response_norm(x)
    (plain_dx,) = torch.autograd.grad(plain.sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = local_response_norm(x)
        (dx,) = torch.autograd.grad(y.sum(), x)
    assert y.dtype == dx.dtype == dtype
    torch.testing.assert_close(y, plain, rtol=0, atol=0)
    torch.testing.assert_close(dx, plain_dx, rtol=0, atol=0)


@pytest.mark.parametrize("layer", [LocalResponseNorm(), WithinChannelNorm()])
def test_meta_tensors_keep_shape_type_and_memory_format(layer: torch.nn.Module) -> None:
    x = torch.empty(2, 96, 55, 55, device="meta", dtype=torch.bfloat16)
    y = layer(x.to(memory_format=torch.channels_last))
    assert y.is_meta
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_empty_batches_pass() -> None:
    for function in FUNCTIONS:
        assert function(torch.zeros(0, 6, 5, 5)).shape == (0, 6, 5, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_processor() -> None:
    x = draw(4, 96, 13, 13).float().requires_grad_()
    x_cuda = x.detach().cuda().requires_grad_()
    for function in FUNCTIONS:
        (dx,) = torch.autograd.grad(function(x).square().sum(), x)
        (dx_cuda,) = torch.autograd.grad(function(x_cuda).square().sum(), x_cuda)
        torch.testing.assert_close(dx_cuda.cpu(), dx, **FLOAT32)


def test_the_modules_equal_the_functions() -> None:
    x = draw(2, 9, 5, 3)
    across = LocalResponseNorm(window=3, convention="caffe", **CONSTANTS)
    within = WithinChannelNorm(window=3, **CONSTANTS)
    expected_across = local_response_norm(x, window=3, convention="caffe", **CONSTANTS)
    torch.testing.assert_close(across(x), expected_across, rtol=0, atol=0)
    expected_within = within_channel_norm(x, window=3, **CONSTANTS)
    torch.testing.assert_close(within(x), expected_within, rtol=0, atol=0)


def test_the_modules_print_their_constants() -> None:
    assert repr(LocalResponseNorm()) == (
        "LocalResponseNorm(window=5, bias=2.0, alpha=0.0001, beta=0.75, "
        'convention="paper", columns=1)'
    )
    assert repr(WithinChannelNorm()) == (
        "WithinChannelNorm(window=5, bias=1.0, alpha=0.001, beta=0.75)"
    )
