"""Convolution and its transpose by `convolve`, against torch's functions and their derivatives."""

import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution.convolve import convolve, transposed_convolve
from alexnet.convolution.problem import DTYPES

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SIDES = (9, 8, 7)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def leaves(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(each.detach().clone().requires_grad_() for each in tensors)


def close(ours: Tensor, theirs: Tensor) -> None:
    # Float64 in another order of sums of up to some hundred products.
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["direct", "native"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (3, 2, 2, 1)]
)
def test_values_and_gradients_equal_torchs(
    axes: int, stride: int, padding: int, dilation: int, groups: int, *, algorithm: str
) -> None:
    x, w, b = draw(2, 4, *SIDES[:axes]), draw(6, 4 // groups, *(3, 2, 2)[:axes]), draw(6)
    ours, theirs = leaves(x, w, b), leaves(x, w, b)
    y = convolve(
        *ours,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        algorithm=algorithm,
    )
    same = CONVOLVE[axes](theirs[0], theirs[1], theirs[2], stride, padding, dilation, groups)
    close(y, same)
    dy = draw(*y.shape, seed=1)
    for mine, torchs in zip(
        torch.autograd.grad(y, ours, dy), torch.autograd.grad(same, theirs, dy), strict=True
    ):
        close(mine, torchs)


@pytest.mark.parametrize("algorithm", ["direct", "native"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("constants", [(1, 0, 0, 1, 1), (2, 1, 1, 1, 2), (3, 2, 1, 2, 1)])
def test_the_transpose_and_its_gradients_equal_torchs(
    axes: int, constants: tuple[int, ...], algorithm: str
) -> None:
    stride, padding, output_padding, dilation, groups = constants
    x, w = draw(2, 4, *(5, 4, 3)[:axes]), draw(4, 6 // groups, *(3, 4, 3)[:axes])
    ours, theirs = leaves(x, w, draw(6)), leaves(x, w, draw(6))
    y = transposed_convolve(
        *ours,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
        algorithm=algorithm,
    )
    same = TRANSPOSE[axes](
        *(theirs[0], theirs[1], theirs[2]), stride, padding, output_padding, groups, dilation
    )
    close(y, same)
    dy = draw(*y.shape, seed=1)
    for mine, torchs in zip(
        torch.autograd.grad(y, ours, dy), torch.autograd.grad(same, theirs, dy), strict=True
    ):
        close(mine, torchs)


@pytest.mark.parametrize("name", ["direct", "native"])
def test_first_and_second_derivatives_equal_differences(name: str) -> None:
    x, w, b = leaves(draw(1, 2, 5, 4), draw(4, 1, 2, 3), draw(4))

    def forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return convolve(x, w, b, stride=(1, 2), padding=[(1, 0), (1, 2)], groups=2, algorithm=name)

    def transposed(x: Tensor, w: Tensor) -> Tensor:
        return transposed_convolve(
            *(x, w), stride=2, padding=1, output_padding=1, groups=2, algorithm=name
        )

    # gradcheck's own tolerances: steps of 1e-6 in float64.
    assert torch.autograd.gradcheck(forward, (x, w, b))
    assert torch.autograd.gradgradcheck(forward, (x, w, b))
    (spread,) = leaves(draw(2, 2, 2, 2))
    assert torch.autograd.gradcheck(transposed, (x, spread))
    assert torch.autograd.gradgradcheck(transposed, (x, spread))


def test_a_penalty_on_the_gradient_has_the_gradient_of_torchs() -> None:
    def penalty(y: Tensor, x: Tensor) -> Tensor:
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return dx.square().sum()

    ours = leaves(draw(2, 3, 6, 5), draw(4, 3, 3, 2))
    theirs = leaves(*ours)
    penalty(convolve(*ours, padding=1, algorithm="direct"), ours[0]).backward()
    penalty(F.conv2d(theirs[0], theirs[1], padding=1), theirs[0]).backward()
    for mine, torchs in zip(ours, theirs, strict=True):
        assert mine.grad is not None
        assert torchs.grad is not None
        torch.testing.assert_close(mine.grad, torchs.grad, rtol=1e-11, atol=1e-9)  # sums near 1e4


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2), ()])
def test_only_the_gradients_that_are_wanted_are_made(wanted: tuple[int, ...]) -> None:
    tensors = draw(2, 3, 7), draw(4, 3, 3), draw(4)
    for index in wanted:
        tensors[index].requires_grad_()
    y = convolve(*tensors, stride=2, algorithm="direct")
    assert y.requires_grad == bool(wanted)
    if wanted:
        y.sum().backward()
    theirs = leaves(*tensors)
    F.conv1d(theirs[0], theirs[1], theirs[2], 2).sum().backward()
    for index, each in enumerate(tensors):
        same = theirs[index].grad if index in wanted else None
        assert (each.grad is None) == (same is None)
        if each.grad is not None and same is not None:
            close(each.grad, same)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_values_are_the_same(
    mode: type[torch.no_grad] | type[torch.inference_mode],
) -> None:
    x, w = leaves(draw(2, 3, 7), draw(4, 3, 3))
    with mode():
        y = convolve(x, w, algorithm="direct")
    assert not y.requires_grad
    close(y, F.conv1d(x, w).detach())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["direct", "native"])
def test_the_result_has_the_type_of_the_tensors(name: str, dtype: torch.dtype) -> None:
    x, w, b = leaves(*(draw(*s, dtype=dtype) for s in [(2, 3, 7), (4, 3, 3), (4,)]))
    y = convolve(x, w, b, padding=1, algorithm=name)
    y.sum().backward()
    assert {each.dtype for each in (y, x.grad, w.grad, b.grad) if each is not None} == {dtype}
    theirs = F.conv1d(x.detach().double(), w.detach().double(), b.detach().double(), padding=1)
    # A rounding of the sum to bfloat16, the widest here, or of each of its 9 terms (native).
    torch.testing.assert_close(y.double(), theirs, rtol=2**-8, atol=2**-6)


def test_no_pictures_and_no_bias() -> None:
    x, w = leaves(draw(0, 3, 7), draw(4, 3, 3))
    y = convolve(x, w, stride=2, algorithm="direct")
    y.sum().backward()
    assert y.shape == (0, 4, 3)
    assert w.grad is not None
    assert torch.equal(w.grad, torch.zeros_like(w))
    spread = transposed_convolve(draw(0, 4, 3), w, stride=2, algorithm="direct")
    assert spread.shape == F.conv_transpose1d(draw(0, 4, 3), w, stride=2).shape


@pytest.mark.parametrize("algorithm", ["auto", "direct", "native"])
def test_tensors_without_elements_in_memory_are_followed_like_others(algorithm: str) -> None:
    x = torch.empty(2, 3, 9, 7, device="meta", requires_grad=True)
    w = torch.empty(4, 3, 3, 2, device="meta", requires_grad=True)
    y = convolve(x, w, stride=2, padding=1, algorithm=algorithm)
    y.sum().backward()
    theirs = F.conv2d(x, w, stride=2, padding=1)
    assert (y.shape, y.device, y.dtype) == (theirs.shape, theirs.device, theirs.dtype)
    assert x.grad is not None
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("algorithm", ["direct", "native"])
def test_under_autocast_the_types_are_torchs_and_sums_are_not_in_halves(algorithm: str) -> None:
    x, w, b = leaves(*(draw(*s, dtype=torch.float32) for s in [(2, 64, 9), (4, 64, 3), (4,)]))
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x, w, b, padding=1, algorithm=algorithm)
        theirs = F.conv1d(x, w, b, padding=1)
        y.float().sum().backward()
    assert y.dtype == theirs.dtype == torch.bfloat16
    rounded = [each.detach().bfloat16().double() for each in (x, w, b)]
    exact = F.conv1d(rounded[0], rounded[1], rounded[2], padding=1)
    # One rounding of each element, and of sums before the bias is added (native); elements reach
    # 40, where sums of 192 products in halves would be off by ten times as much.
    torch.testing.assert_close(y.double(), exact, rtol=2**-8, atol=2**-6)
    assert x.grad is not None
    assert x.grad.dtype == torch.float32
    twice = convolve(x.double(), w.double(), padding=1, algorithm=algorithm)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(convolve(x.double(), w.double(), padding=1, algorithm=algorithm), twice)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"algorithm": "dirct"}, "no algorithm is called 'dirct'"),
        ({"bias": draw(3)}, "bias has shape (3,) and type torch.float64; it must be (4,) and"),
        ({"bias": draw(4).float()}, "type torch.float32; it must be (4,) and torch.float64, as w"),
        ({"w": draw(4, 3, 3, 3)}, "both need a batch or kernels, channels, and the same one, two"),
        ({"stride": 0}, "stride is 0; it must be one number or 1, each at least 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, object], message: str) -> None:
    arguments = {"x": draw(2, 3, 7), "w": draw(4, 3, 3)} | given
    with pytest.raises(ValueError, match=re.escape(message)):
        convolve(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output_padding": 2}, "output_padding is 2; it must be below the stride 2"),
        ({"output_padding": -1}, "output_padding is -1; it must be one number or 1, each at least"),
        ({"x": draw(2, 3, 7)}, "x has 3 channels and w 4 kernels, which must be as many"),
        ({"padding": 8}, "the output would have the size (-1,), which must be at least 1"),
        ({"bias": draw(4)}, "bias has shape (4,) and type torch.float64; it must be (3,) and"),
        ({"groups": 3}, "groups is 3, which must divide the 9 channels and 4 kernels"),
        ({"dilation": 0}, "dilation is 0; it must be one number or 1, each at least 1"),
    ],
)
def test_what_does_not_fit_the_transpose_is_refused(given: dict[str, object], message: str) -> None:
    arguments = {"x": draw(2, 4, 7), "w": draw(4, 3, 3), "stride": 2} | given
    with pytest.raises(ValueError, match=re.escape(message)):
        transposed_convolve(**arguments)  # type: ignore[arg-type]
