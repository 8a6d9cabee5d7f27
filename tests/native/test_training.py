"""Windows and updates by the kernels, against numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from alexnet.native import library, training
from alexnet.native.stages import Values, Windows

SIDE = 13


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)


def windows(count: int, size: int, seed: int = 0) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, SIDE - size + 1, (2, count), generator=generator)
    return Windows(corners[0], corners[1], torch.rand(count, generator=generator) < 0.5)


def oracle(x: Tensor, where: Windows, values: Values, size: int) -> NDArray[np.float64]:
    """(picture - mean + shift) / divide_by, then mirrored, picture by picture."""
    out = np.empty((len(x), 3, size, size))
    for n, (top, left, flip) in enumerate(zip(*(w.tolist() for w in where), strict=True)):
        window = np.s_[top : top + size, left : left + size]
        view = x[n].numpy()[window].astype(np.float64)
        if values.mean is not None:
            view = view - values.mean.numpy()[window]
        if values.shift is not None:
            view = view + values.shift[n].numpy()
        view = view / values.divide_by
        out[n] = (view[:, ::-1] if flip else view).transpose(2, 0, 1)
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("with_shift", [False, True])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 13])
@pytest.mark.usefixtures("kernels")
def test_windows_equal_numpys(
    size: int, with_shift: bool, with_mean: bool, dtype: torch.dtype
) -> None:
    x, where = pictures(5), windows(5, size)
    values = Values(
        torch.rand(SIDE, SIDE, 3) * 255 if with_mean else None,
        torch.randn(5, 3) if with_shift else None,
        64.0 if with_shift else 1.0,
    )
    out = training.cut(x, where, values, size=size, dtype=dtype)
    assert out.dtype == dtype
    assert out.permute(0, 2, 3, 1).is_contiguous()
    # float32 rounds sums of grey levels three times; bfloat16 keeps 8 bits of the result.
    rtol, atol = (1e-6, 1e-4) if dtype == torch.float32 else (2**-8, 1e-4)
    np.testing.assert_allclose(out.double(), oracle(x, where, values, size), rtol=rtol, atol=atol)


def test_windows_may_lie_apart_in_memory() -> None:
    x, where = pictures(4), windows(4, 9)
    apart = Windows(*(torch.stack([each, each], 1)[:, 0] for each in where))
    assert not apart.top.is_contiguous()
    values = Values(None, None, 1.0)
    expected = training.cut(x, where, values, size=9, dtype=torch.float32)
    assert torch.equal(training.cut(x, apart, values, size=9, dtype=torch.float32), expected)


def test_windows_are_bit_for_bit_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    x, where = pictures(4), windows(4, 9)
    values = Values(torch.rand(SIDE, SIDE, 3) * 255, torch.randn(4, 3), 3.7)
    compiled = training.cut(x, where, values, size=9, dtype=torch.float32)
    monkeypatch.setattr(library, "library", lambda: None)
    assert torch.equal(compiled, training.cut(x, where, values, size=9, dtype=torch.float32))


@pytest.mark.parametrize(
    ("top", "left", "message"),
    [(5, 0, "9 pixels at top 5"), (0, 5, "9 pixels at left 5"), (-1, 0, "9 pixels at top -1")],
)
def test_a_window_outside_its_picture_is_refused(top: int, left: int, message: str) -> None:
    where = Windows(torch.tensor([top]), torch.tensor([left]), torch.tensor([False]))
    with pytest.raises(ValueError, match=message):
        training.cut(pictures(1), where, Values(None, None, 1.0), size=9, dtype=torch.float32)


def test_no_pictures_give_no_windows() -> None:
    out = training.cut(
        pictures(0), windows(0, 9), Values(None, None, 1.0), size=9, dtype=torch.float32
    )
    assert out.shape == (0, 3, 9, 9)


@pytest.mark.parametrize("gradient_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_copy", [False, True])
@pytest.mark.usefixtures("kernels")
def test_three_updates_equal_the_papers_in_numpy(
    with_copy: bool, gradient_dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(37, 5, generator=generator)
    v, copy = torch.zeros_like(w), torch.empty_like(w, dtype=torch.bfloat16)
    expected_w, expected_v = w.double().numpy(), v.double().numpy()
    for rate in (0.1, 0.03, 0.2):
        g = torch.randn(37, 5, generator=generator).to(gradient_dtype)
        factors = (0.9, rate, 0.05)
        training.update(w, v, g, copy if with_copy else None, factors=factors)
        expected_v = 0.9 * expected_v - 0.05 * rate * expected_w - rate * g.double().numpy()
        expected_w = expected_w + expected_v
    # float32 over three steps
    np.testing.assert_allclose(w, expected_w, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(-v, expected_v, rtol=1e-6, atol=1e-6)
    if with_copy:
        assert torch.equal(copy, w.bfloat16())


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 70))
def test_no_element_is_left_out_or_overrun(count: int) -> None:
    buffers = [torch.full((count + 32,), 7.0) for _ in range(3)]
    w, v, g = (buffer[16 : 16 + count] for buffer in buffers)
    training.update(w, v, g, None, factors=(0.5, 1.0, 0.0))
    for buffer, inside in zip(buffers, (7 - 10.5, 10.5, 7.0), strict=True):
        assert buffer[16 : 16 + count].eq(inside).all()
        assert buffer[:16].eq(7).all()
        assert buffer[16 + count :].eq(7).all()


def test_gradients_in_another_memory_format_are_put_in_order() -> None:
    w = torch.zeros(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    g = torch.arange(48.0).view(4, 3, 2, 2)
    training.update(w, torch.zeros_like(w), g, None, factors=(0.9, 1.0, 0.0))
    assert torch.equal(w, -g)


def test_torch_checks_the_operators_themselves() -> None:
    where = windows(2, 9)
    values = Values(None, torch.randn(2, 3), 2.0)
    arguments = (pictures(2), *where, *values, 9, torch.float32)
    torch.library.opcheck(torch.ops.alexnet.cut.default, arguments)
    w = torch.randn(5)
    operands = (w, torch.zeros(5), torch.randn(5), None, 0.9, 0.1, 0.0)
    torch.library.opcheck(torch.ops.alexnet.update_.default, operands)
