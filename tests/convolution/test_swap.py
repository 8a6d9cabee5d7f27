"""Layers whose arithmetic was swapped: the same numbers, the same module, and the way back."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from alexnet.convolution import swap as module
from alexnet.convolution.swap import Swapped, check_algorithm, swap

pytestmark = pytest.mark.usefixtures("cache")


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Tensor) -> None:
    # Float64 sums in another order: some hundred roundings of 1e-16 of numbers around 1.
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1-D": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 11)),
    "1-D same": (lambda: nn.Conv1d(4, 6, 4, padding="same", dilation=2), (2, 4, 11)),
    "2-D": (lambda: nn.Conv2d(4, 6, (3, 5), padding=(1, 2), bias=False), (2, 4, 9, 7)),
    "2-D grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, dilation=(1, 2)), (2, 4, 9, 7)),
    "2-D depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, stride=(2, 1)), (2, 4, 9, 7)),
    "2-D valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid"), (2, 4, 9, 7)),
    "2-D one picture": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 9, 7)),
    "2-D mirrored": (
        lambda: nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="reflect"),
        (2, 4, 9, 7),
    ),
    "2-D circular, same": (
        lambda: nn.Conv2d(4, 6, (4, 3), padding="same", padding_mode="circular"),
        (2, 4, 9, 7),
    ),
    "3-D": (lambda: nn.Conv3d(2, 3, 2, padding=1, stride=(1, 2, 1)), (2, 2, 4, 5, 3)),
    "1-D transposed": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1), (2, 4, 6)),
    "2-D transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (2, 4, 5, 4),
    ),
    "2-D transposed, one picture": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=3, dilation=2, bias=False),
        (4, 5, 4),
    ),
    "3-D transposed": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), (1, 2, 3, 2, 3)),
}


def run(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the output of a layer and the gradients of its input and parameters."""
    x = x.clone().requires_grad_()
    y = layer(x)
    wanted = (x, *layer.parameters())
    return [y.detach(), *torch.autograd.grad(y, wanted, some(*y.shape, seed=3))]


@pytest.mark.parametrize("algorithm", ["im2col", "direct", "auto"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_swapped_layer_gives_what_torchs_gives(kind: str, algorithm: str) -> None:
    build, shape = LAYERS[kind]
    layer, x = build().double(), some(*shape, seed=1)
    wanted = run(layer, x)
    assert swap(layer, algorithm) == (Swapped("", algorithm),)
    for turn in range(2):  # auto measures in the first
        del turn
        for ours, theirs in zip(run(layer, x), wanted, strict=True):
            close(ours, theirs)
    if x.dim() == 4:
        last = x.contiguous(memory_format=torch.channels_last)
        for ours, theirs in zip(run(layer, last), wanted, strict=True):
            close(ours, theirs)
    swap(layer, "native")
    assert all(map(torch.equal, run(layer, x), wanted))


@pytest.mark.parametrize("algorithm", ["im2col", "direct", "auto"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_next_layer_may_work_in_place(kind: str, algorithm: str) -> None:
    build, shape = LAYERS[kind]
    net, x = nn.Sequential(build(), nn.ReLU(inplace=True)).double(), some(*shape, seed=1)
    wanted = run(net, x)
    swap(net, algorithm)
    for ours, theirs in zip(run(net, x), wanted, strict=True):
        close(ours, theirs)


def test_the_algorithm_computes_all_three_directions(calls: list[str]) -> None:
    layer = nn.Conv2d(3, 4, 3).double()
    swap(layer, "im2col")
    run(layer, some(2, 3, 6, 5))
    assert sorted(calls) == ["forward", "input_gradient", "weight_gradient"]
    calls.clear()
    spread = nn.ConvTranspose2d(3, 4, 3).double()
    swap(spread, "im2col")
    run(spread, some(2, 3, 6, 5))
    assert sorted(calls) == ["forward", "input_gradient", "weight_gradient"]


def test_the_size_of_a_transposed_output_may_be_asked_for(calls: list[str]) -> None:
    layer, x = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1).double(), some(2, 3, 4, 5)
    wanted = layer(x, output_size=[8, 9])
    single = layer(x[0], output_size=[2, 8, 9])
    swap(layer, "im2col")
    close(layer(x, output_size=[8, 9]), wanted)
    close(layer(x[0], output_size=[2, 8, 9]), single)
    assert calls == ["input_gradient"] * 2
    with pytest.raises(ValueError, match="requested an output size of"):
        layer(x, output_size=[5, 9])


def test_output_padding_beyond_the_stride_stays_torchs(calls: list[str]) -> None:
    layer = nn.ConvTranspose1d(3, 2, 3, stride=1, dilation=3, output_padding=2).double()
    x = some(2, 3, 5)
    wanted = layer(x)
    swap(layer, "im2col")
    assert torch.equal(layer(x), wanted)
    assert calls == []


# ---- The same module --------------------------------------------------------------------------


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3)).double()


def test_names_state_parameters_and_text_stay_the_same_objects() -> None:
    net = small().eval()
    layers, parameters, text = list(net), list(net.parameters()), repr(net)
    state = {name: tensor.data_ptr() for name, tensor in net.state_dict().items()}
    swap(net, "im2col")
    assert all(a is b for a, b in zip(net, layers, strict=True))
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    assert {name: tensor.data_ptr() for name, tensor in net.state_dict().items()} == state
    assert repr(net) == text
    assert not net[0].training
    assert isinstance(net[0], nn.Conv2d)


def test_native_puts_everything_back() -> None:
    net = small()
    before = [(type(layer), dict(vars(layer))) for layer in net.modules()]
    swap(net, "im2col")
    swap(net, "auto", workspace=0)
    assert swap(net, "native") == (Swapped("0", "native"), Swapped("2", "native"))
    assert [(type(layer), dict(vars(layer))) for layer in net.modules()] == before


def test_hooks_and_optimizers_set_before_go_on(calls: list[str]) -> None:
    net, x = small(), some(2, 3, 6, 5)
    twin = copy.deepcopy(net)
    seen: list[tuple[int, ...]] = []
    net[0].register_forward_hook(lambda layer, inputs, y: seen.append(tuple(y.shape)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    swap(net, "im2col")
    other = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for each, step in ((net, optimizer), (twin, other)):
            step.zero_grad()
            each(x).square().mean().backward()
            step.step()
    assert seen == [(2, 4, 6, 5)] * 3
    assert "weight_gradient" in calls
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        close(ours, theirs)


def test_copies_and_pickles_compute_as_the_layer_does(calls: list[str]) -> None:
    net, x = small(), some(1, 3, 6, 5)
    swap(net, "im2col", workspace=12345)
    wanted = net(x)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        calls.clear()
        assert torch.equal(twin(x), wanted)
        assert calls == ["forward", "forward"]
        assert twin[0].arithmetic == net[0].arithmetic
        assert twin[0].weight is not net[0].weight
    swap(net, "native")
    calls.clear()
    plain = small()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(plain(x), net(x))
    assert calls == []


def test_a_layer_that_two_places_share_is_swapped_once() -> None:
    layer = nn.Conv1d(2, 2, 3, padding=1).double()
    net = nn.Sequential(layer, layer)
    assert swap(net, "im2col") == (Swapped("0", "im2col"),)
    assert net(some(1, 2, 5)).shape == (1, 2, 5)


def test_gradients_of_gradients_are_those_of_torchs(calls: list[str]) -> None:
    layer = nn.Conv2d(2, 2, 2, stride=2, padding=1).double()
    swap(layer, "im2col")
    x = some(1, 2, 4, 3).requires_grad_()
    weight, bias = layer.weight, layer.bias
    assert bias is not None

    def f(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        y: Tensor = layer._conv_forward(x, w, b)
        return y

    assert torch.autograd.gradcheck(f, (x, weight, bias))
    assert torch.autograd.gradgradcheck(f, (x, weight, bias))
    assert "weight_gradient" in calls


# ---- auto -------------------------------------------------------------------------------------


def test_where_auto_is_known_to_be_native_torchs_layer_runs_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alexnet.convolution.choose.CANDIDATES", ())
    made: list[bool] = []
    real = module._is_native

    def noted(*given: Any) -> bool:
        made.append(real(*given))
        return made[-1]

    monkeypatch.setattr(module, "_is_native", noted)
    for layer in (nn.Conv2d(3, 4, 3).double(), nn.ConvTranspose2d(3, 4, 3).double()):
        x = some(2, 3, 6, 5)
        wanted = run(layer, x)
        swap(layer, "auto")
        made.clear()
        for _ in range(3):
            assert all(map(torch.equal, run(layer, x), wanted))
        with torch.no_grad():
            assert torch.equal(layer(x), wanted[0])
        assert made == [False, True, True, True]  # the first time measures
        layer(x.contiguous(memory_format=torch.channels_last))
        assert made.pop() is False  # another order in memory


# ---- What a user can meet ---------------------------------------------------------------------


def test_an_unknown_algorithm_is_an_error_and_nothing_is_swapped() -> None:
    net = small()
    with pytest.raises(ValueError, match=r"'wingorad' \(did you mean 'winograd'\?\); choose one"):
        swap(net, "wingorad")
    assert type(net[0]) is nn.Conv2d


def test_a_workspace_below_0_is_an_error() -> None:
    with pytest.raises(ValueError, match="workspace is -1 bytes; it must be 0 or more"):
        swap(small(), "auto", workspace=-1)


def test_other_devices_than_a_cpu_are_refused_where_a_recipe_asks() -> None:
    for name in ("native", "auto", "im2col", "winograd-4"):
        check_algorithm(name, torch.device("cpu"))
    check_algorithm("native", torch.device("cuda"))
    message = (
        r"convolution is 'auto' on cuda:1; on other devices than a CPU convolutions are torch's "
        r"own: take --device cpu, or --convolution native"
    )
    with pytest.raises(ValueError, match=message):
        check_algorithm("auto", torch.device("cuda:1"))
    with pytest.raises(ValueError, match="no algorithm is called 'none'"):
        check_algorithm("none", torch.device("cpu"))
