"""The gradient of weights by our kernel, against torch in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from alexnet.native import library
from alexnet.native.convolution import LEAST_CHANNELS, serves, weight_gradient


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def check(
    x: Tensor, kernels: int, size: tuple[int, int], *, padding: int = 0, groups: int = 1
) -> None:
    w = torch.zeros(kernels, x.shape[1] // groups, *size, dtype=torch.float64, requires_grad=True)
    y = F.conv2d(x.double(), w, padding=padding, groups=groups)
    dy = draw(*y.shape, dtype=x.dtype, seed=1)
    (expected,) = torch.autograd.grad(y, w, dy.double())
    dw = weight_gradient(x, dy, size=size, padding=padding, groups=groups)
    assert dw.dtype == torch.float32
    # Products of what both see exactly; float32 sums of up to a few thousand of them.
    torch.testing.assert_close(dw.double(), expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("channels", "count", "size", "padding", "groups"),
    [(12, 16, 5, 2, 2), (32, 12, 3, 1, 1), (24, 24, 3, 1, 2), (5, 7, 3, 0, 1), (6, 6, 1, 0, 6)],
)
@pytest.mark.usefixtures("kernels")
def test_layers_like_those_of_the_net(
    channels: int, count: int, size: int, padding: int, groups: int, dtype: torch.dtype
) -> None:
    x = draw(10, channels, 13, 11, dtype=dtype)  # more pictures than are laid out at a time
    check(x, count, (size, size), padding=padding, groups=groups)


@settings(max_examples=60, deadline=None)
@given(
    pictures=st.integers(1, 9),
    groups=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 36), st.integers(1, 15)),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.integers(0, 3),
    sides=st.tuples(st.integers(4, 9), st.integers(4, 9)),
)
def test_drawn_convolutions(
    pictures: int,
    groups: int,
    channels: tuple[int, int],
    size: tuple[int, int],
    padding: int,
    sides: tuple[int, int],
) -> None:
    x = draw(pictures, groups * channels[0], *sides)
    check(x, groups * channels[1], size, padding=padding, groups=groups)


def test_operands_that_are_not_channels_last_give_the_same() -> None:
    x, dy = draw(3, 8, 7, 7), draw(3, 6, 7, 7, seed=1)
    expected = weight_gradient(x, dy, size=(3, 3), padding=1, groups=2)
    other = weight_gradient(
        torch.cat([x, x], 1)[:, :8].contiguous(), dy.contiguous(), size=(3, 3), padding=1, groups=2
    )
    assert torch.equal(other, expected)


@pytest.mark.parametrize(
    ("capability", "dtype", "kernels", "channels", "expected"),
    [
        ("AVX2", torch.float32, {}, LEAST_CHANNELS, True),
        ("AVX2", torch.float32, {}, LEAST_CHANNELS - 1, False),
        ("AVX512", torch.float32, {}, LEAST_CHANNELS, False),
        ("AVX2", torch.bfloat16, {}, LEAST_CHANNELS, False),
        ("AVX2", torch.float32, None, LEAST_CHANNELS, False),
    ],
)
def test_it_serves_where_it_was_measured_to_be_quicker(
    capability: str,
    dtype: torch.dtype,
    kernels: dict[str, object] | None,
    channels: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(library, "library", lambda: kernels)
    weight = draw(2, channels, 3, 3, dtype=dtype)
    assert serves(draw(1, 2 * channels, 1, 1, dtype=dtype), weight) == expected
