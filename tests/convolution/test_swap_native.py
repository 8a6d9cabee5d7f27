"""Where a swapped layer computes as torch's own does, and which layers are not swapped at all."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from alexnet.convolution.algorithms import ALGORITHMS
from alexnet.convolution.problem import Problem
from alexnet.convolution.swap import Swapped, swap


def some(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    # Float64 sums in another order: some hundred roundings of 1e-16 of numbers around 1.
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_a_layer_that_the_algorithm_refuses_stays_native_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(problem: Problem) -> str:
        return "" if problem.kernel == (3, 3) else f"the kernel is {problem.kernel}"

    monkeypatch.setitem(ALGORITHMS, "picky", replace(ALGORITHMS["im2col"], refusal=refuse))
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 5, stride=2), nn.ConvTranspose2d(4, 2, 2)
    ).double()
    x = some(1, 3, 12, 12)
    wanted = net(x)
    swap(net, "im2col")
    assert swap(net, "picky") == (
        Swapped("0", "picky"),
        Swapped("1", "native", "the kernel is (5, 5)"),
        Swapped("2", "native", "the kernel is (2, 2)"),
    )
    assert type(net[1]) is nn.Conv2d
    close(net(x), wanted)


def test_an_input_that_the_algorithm_refuses_is_done_by_torch(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    def refuse(problem: Problem) -> str:
        return "many pictures" if problem.batch > 1 else ""

    monkeypatch.setitem(ALGORITHMS, "im2col", replace(ALGORITHMS["im2col"], refusal=refuse))
    for layer in (nn.Conv1d(2, 3, 3).double(), nn.ConvTranspose1d(2, 3, 3).double()):
        x = some(2, 2, 7)
        wanted = layer(x)
        assert swap(layer, "im2col") == (Swapped("", "im2col"),)
        assert torch.equal(layer(x), wanted)
        assert calls == []
        close(layer(x[:1]), wanted[:1])
        assert calls.pop() in ("forward", "input_gradient")


class Doubled(nn.Conv2d):
    """A layer that computes otherwise."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_layers_of_other_classes_stay_as_they_are() -> None:
    net = nn.Sequential(Doubled(1, 1, 3), nn.Conv2d(1, 1, 3, dtype=torch.complex64), nn.ReLU())
    assert swap(net, "auto") == (
        Swapped("0", "native", "its class Doubled is not torch's own and may compute otherwise"),
        Swapped("1", "native", "its weights are complex64"),
    )
    assert [type(layer) for layer in net] == [Doubled, nn.Conv2d, nn.ReLU]


def test_a_layer_parametrised_after_it_was_swapped_can_go_back(calls: list[str]) -> None:
    layer, x = nn.Conv2d(3, 4, 3).double(), some(1, 3, 5, 5)
    swap(layer, "im2col")
    parametrizations.weight_norm(layer)
    wanted = layer(x)
    assert calls == ["forward"]
    assert swap(layer, "native") == (Swapped("", "native"),)
    close(layer(x), wanted)
    assert calls == ["forward"]
    assert swap(layer, "im2col") == (Swapped("", "im2col"),)
    assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def test_meta_autocast_tracing_and_transforms_see_torchs_own(
    calls: list[str], transposed: bool
) -> None:
    layer = nn.ConvTranspose2d(3, 4, 3) if transposed else nn.Conv2d(3, 4, 3)
    x = some(2, 3, 6, 5).float()
    wanted = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = layer(x)
    swap(layer, "im2col")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), rounded)
    traced = torch.jit.trace(layer, x, check_trace=False)
    assert torch.equal(torch.func.vmap(layer)(x[:, None]).flatten(0, 1), wanted)
    slope = torch.func.grad(lambda x: layer(x).sum())(x)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        along = torch.autograd.forward_ad.unpack_dual(layer(dual)).tangent
    assert layer(x[:0]).shape == (0, *wanted.shape[1:])
    assert calls == []
    assert torch.equal(traced(x), wanted)
    torch.testing.assert_close(slope.sum(), along.sum(), rtol=1e-4, atol=1e-4)  # float32 sums
    meta = copy.deepcopy(layer).to("meta")
    assert meta(x.to("meta")).shape == wanted.shape
    assert calls == []


def test_compiling_and_exporting_see_torchs_own(calls: list[str]) -> None:
    layer, x = nn.Conv2d(3, 4, 3).eval(), some(2, 3, 6, 5).float()
    wanted = layer(x)
    swap(layer, "im2col")
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), wanted)
    exported = torch.export.export(layer, (x,))
    assert torch.equal(exported.module()(x), wanted)
    assert calls == []


def test_inputs_that_do_not_fit_are_torchs_to_refuse() -> None:
    for layer in (nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3)):
        swap(layer, "im2col")
        with pytest.raises(RuntimeError, match="expected input"):
            layer(torch.ones(1, 2, 6, 6))
        with pytest.raises((RuntimeError, ValueError), match=r"Expected 3D|dim|3D"):
            layer(torch.ones(6, 6))
        with pytest.raises(RuntimeError, match=r"expected scalar type|same"):
            layer(torch.ones(1, 3, 6, 6).double())
