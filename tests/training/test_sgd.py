"""The update rule against the paper's two lines in numpy."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from alexnet.training.sgd import LayerFactors, MomentumSGD

Arrays = dict[str, NDArray[np.float64]]
RATES = (0.1, 0.1, 0.03, 0.2, 0.01, 0.01)


def small_net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Module()
    net.add_module("conv1", nn.Linear(4, 3))
    net.add_module("fc8", nn.Linear(3, 2))
    return net.double()


def set_gradients(net: nn.Module, step: int) -> Arrays:
    """Give every parameter a gradient that depends on its value and the step; return them."""
    gradients = {}
    for name, parameter in net.named_parameters():
        parameter.grad = torch.cos(parameter.detach() * (step + 1)) + 0.1 * step
        gradients[name] = parameter.grad.numpy().copy()
    return gradients


def arrays(tensors: dict[str, torch.Tensor], sign: float = 1.0) -> Arrays:
    return {name: sign * tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def by_hand(
    w: Arrays, v: Arrays, g: Arrays, factors: Callable[[str], tuple[float, float]], rate: float
) -> tuple[Arrays, Arrays]:
    """v <- .9 v - decay * lr * w - lr * g;  w <- w + v: section 5."""
    w_next, v_next = {}, {}
    for name in w:
        rate_factor, decay_factor = factors(name)
        lr, decay = rate * rate_factor, 0.0005 * decay_factor
        v_next[name] = 0.9 * v[name] - decay * lr * w[name] - lr * g[name]
        w_next[name] = w[name] + v_next[name]
    return w_next, v_next


def check(
    factors: Callable[[str], tuple[float, float]],
    *,
    bias_factors: tuple[float, float] = (1.0, 1.0),
    layer_factors: LayerFactors | None = None,
) -> None:
    """K real steps, then step K + 1 by hand from what they left, for K = 0 to 5."""
    net = small_net()
    sgd = MomentumSGD(net, bias_factors=bias_factors, layer_factors=layer_factors)
    for step, rate in enumerate(RATES):
        w = arrays(dict(net.named_parameters()))
        v = arrays(sgd.velocities(), sign=-1.0)
        g = set_gradients(net, step)
        w_expected, v_expected = by_hand(w, v, g, factors, rate)
        sgd.step(rate)
        for name, parameter in net.named_parameters():
            # float64 on both sides; 1 - (1 - rate) costs some digits of a small rate
            np.testing.assert_allclose(parameter.detach(), w_expected[name], rtol=1e-13, atol=1e-14)
            velocity = -sgd.velocities()[name]
            np.testing.assert_allclose(velocity, v_expected[name], rtol=1e-13, atol=1e-14)


def test_the_first_and_every_later_step_are_the_papers() -> None:
    check(lambda name: (1.0, 1.0))


def test_biases_have_their_own_rate_and_decay() -> None:
    check(lambda n: (2.0, 0.0) if n.endswith("bias") else (1.0, 1.0), bias_factors=(2.0, 0.0))


def test_factors_of_layers_and_of_single_parameters_multiply() -> None:
    expected = {"conv1.weight": 0.5, "conv1.bias": 1.0, "fc8.weight": 1.0, "fc8.bias": 6.0}
    check(
        lambda name: (expected[name], 1.0),
        bias_factors=(2.0, 1.0),
        layer_factors={"conv1": 0.5, "fc8.bias": 3.0},
    )


def test_when_the_rate_changes_it_is_not_torchs_sgd() -> None:
    ours, torchs = small_net(), small_net()
    sgd = MomentumSGD(ours)
    other = torch.optim.SGD(torchs.parameters(), lr=1.0, momentum=0.9, weight_decay=0.0005)
    apart = []
    for step, rate in enumerate((0.1, 0.1, 0.01)):
        set_gradients(ours, step)
        set_gradients(torchs, step)
        sgd.step(rate)
        other.param_groups[0]["lr"] = rate
        other.step()
        pairs = zip(ours.parameters(), torchs.parameters(), strict=True)
        apart.append(max(float((a - b).detach().abs().max()) for a, b in pairs))
    assert apart[0] < 1e-12
    assert apart[1] < 1e-12
    assert apart[2] > 0.01


@pytest.mark.parametrize("frozen", ["conv1", "fc8.bias"])
def test_a_factor_of_zero_freezes_without_decay(frozen: str) -> None:
    net = small_net()
    before = arrays(dict(net.named_parameters()))
    sgd = MomentumSGD(net, weight_decay=0.5, layer_factors={frozen: 0.0})
    for step in range(3):
        set_gradients(net, step)
        sgd.step(0.1)
    for name, parameter in net.named_parameters():
        stays = np.array_equal(parameter.detach().numpy(), before[name])
        assert stays == name.startswith(frozen), name


def test_a_rate_of_zero_does_not_coast_on_the_velocity() -> None:
    net = small_net()
    sgd = MomentumSGD(net)
    set_gradients(net, 0)
    sgd.step(0.1)
    before = arrays(dict(net.named_parameters()))
    set_gradients(net, 1)
    sgd.step(0.0)
    for name, parameter in net.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), before[name])


def test_a_step_lets_go_of_the_gradients() -> None:
    net = small_net()
    set_gradients(net, 0)
    MomentumSGD(net).step(0.1)
    assert [p.grad for p in net.parameters()] == [None] * 4


def test_an_update_of_some_leaves_the_others_and_their_gradients_bit_for_bit() -> None:
    net = small_net()
    sgd = MomentumSGD(net)
    set_gradients(net, 0)
    sgd.step(0.1)
    w, v = arrays(dict(net.named_parameters())), arrays(sgd.velocities())
    g = set_gradients(net, 1)
    chosen = ["fc8.weight", "conv1.bias"]
    sgd.step(0.03, only=chosen)
    for name, parameter in net.named_parameters():
        same = (
            np.array_equal(parameter.detach(), w[name]),
            np.array_equal(sgd.velocities()[name], v[name]),
        )
        assert same == ((False, False) if name in chosen else (True, True)), name
        if name in chosen:
            assert parameter.grad is None
        else:
            np.testing.assert_array_equal(parameter.grad, g[name])


def test_rounds_of_scaled_gradients_are_updates_with_those_gradients() -> None:
    net, other = small_net(), small_net()
    sgd, plain = MomentumSGD(net, weight_decay=0.5), MomentumSGD(other, weight_decay=0.5)
    for step, rate in enumerate(RATES):
        set_gradients(net, step)
        for name, parameter in other.named_parameters():
            same = net.get_parameter(name).grad
            assert same is not None
            parameter.grad = 3 * same
        sgd.step(rate, scale=3.0)
        plain.step(rate)
        for name, parameter in net.named_parameters():
            # rate * 3 * (g + decay / 3 * w) rounds otherwise than rate * (3 g + decay * w)
            torch.testing.assert_close(parameter, other.get_parameter(name), rtol=1e-13, atol=1e-14)


def test_velocities_taken_over_go_on_bit_for_bit() -> None:
    whole, first, second = small_net(), small_net(), small_net(seed=1)
    sgd, before, after = MomentumSGD(whole), MomentumSGD(first), MomentumSGD(second)
    for step in range(4):
        set_gradients(whole, step)
        sgd.step(RATES[step])
    for step in range(2):
        set_gradients(first, step)
        before.step(RATES[step])
    second.load_state_dict(first.state_dict())
    after.load_velocities({name: v.clone() for name, v in before.velocities().items()})
    for step in range(2, 4):
        set_gradients(second, step)
        after.step(RATES[step])
    for name, parameter in whole.named_parameters():
        assert torch.equal(second.get_parameter(name), parameter)
        assert torch.equal(after.velocities()[name], sgd.velocities()[name])


def test_a_layer_that_the_net_has_not_is_named() -> None:
    message = "layer_lr names 'conv9', which the net has not; its layers are conv1, fc8"
    with pytest.raises(ValueError, match=message):
        MomentumSGD(small_net(), layer_factors={"conv1": 2.0, "conv9": 1.0})
