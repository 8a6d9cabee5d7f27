"""The convolution with our weight gradient, against torch's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.layers import convolution as module
from alexnet.layers.convolution import convolution
from alexnet.native.convolution import weight_gradient


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the kernel serve whatever the processor; count its calls."""
    found: list[int] = []

    def watched(
        x: Tensor, dy: Tensor, *, size: tuple[int, int], padding: int, groups: int
    ) -> Tensor:
        found.append(groups)
        return weight_gradient(x, dy, size=size, padding=padding, groups=groups)

    monkeypatch.setattr(module, "serves", lambda x, weight: x.dtype == torch.float32)
    monkeypatch.setattr(module, "weight_gradient", watched)
    return found


def draw(*shape: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_input", [False, True])
def test_all_gradients_are_torchs(
    groups: int, with_bias: bool, with_input: bool, calls: list[int]
) -> None:
    x = draw(4, 12, 9, 7).requires_grad_(with_input)
    w = draw(10, 12 // groups, 3, 3).requires_grad_()
    b = draw(10).requires_grad_() if with_bias else None
    leaves = [leaf for leaf in (x, w, b) if leaf is not None and leaf.requires_grad]
    y = convolution(x, w, b, padding=1, groups=groups)
    expected = F.conv2d(x, w, b, padding=1, groups=groups)
    assert torch.equal(y, expected)
    dy = draw(*y.shape)
    ours, theirs = (torch.autograd.grad(each, leaves, dy) for each in (y, expected))
    assert calls == [groups]
    for mine, other in zip(ours, theirs, strict=True):
        # float32 sums of some hundred products in another order
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


def test_without_a_gradient_of_the_weights_torch_does_it(calls: list[int]) -> None:
    x, w = draw(2, 4, 6, 6).requires_grad_(), draw(3, 4, 3, 3)
    convolution(x, w, None, padding=1, groups=1).sum().backward()
    with torch.no_grad():
        y = convolution(x, w.requires_grad_(), None, padding=1, groups=1)
    assert not y.requires_grad
    assert calls == []


def test_under_autocast_and_in_float64_torch_does_it(calls: list[int]) -> None:
    x, w = draw(2, 4, 6, 6), draw(3, 4, 3, 3).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = convolution(x, w, None, padding=1, groups=1)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    x, w = x.double(), w.detach().double().requires_grad_()
    convolution(x, w, None, padding=1, groups=1).sum().backward()
    assert calls == []
    torch.autograd.gradcheck(lambda w: convolution(x, w, None, padding=1, groups=1), (w,))
