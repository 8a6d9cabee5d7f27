"""The rates of single tensors against the paper's equations in numpy."""

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.training.lars import Lars, Term
from alexnet.training.sgd import MomentumSGD
from tests.training.test_sgd import RATES, Arrays, arrays, set_gradients, small_net

TRUST, DECAY = 0.02, 0.05


def lars_by_hand(w: Arrays, v: Arrays, g: Arrays, *, rate: float, scale: float) -> None:
    """Algorithm 1, in place: a matrix has a rate of its own, a bias has not."""
    for name in w:
        step = scale * g[name]
        own = 1.0
        if w[name].ndim > 1 and np.any(w[name]) and np.any(step):
            size = np.sqrt(np.sum(w[name] ** 2))
            own = TRUST * size / (np.sqrt(np.sum(step**2)) + DECAY * size)
        v[name] = 0.9 * v[name] - rate * own * (step + DECAY * w[name])
        w[name] = w[name] + v[name]


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_every_tensor_moves_by_its_share_of_its_norm(scale: float) -> None:
    net = small_net()
    sgd = MomentumSGD(net, weight_decay=DECAY)
    sgd.lars = Lars(TRUST)
    w = arrays(dict(net.named_parameters()))
    v = {name: np.zeros_like(value) for name, value in w.items()}
    for step, rate in enumerate(RATES):
        lars_by_hand(w, v, set_gradients(net, step), rate=rate, scale=scale)
        sgd.step(rate, scale=scale)
        for name, parameter in net.named_parameters():
            # float64 on both sides; the gradients are computed from the weights of the net
            np.testing.assert_allclose(parameter.detach(), w[name], rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(-sgd.velocities()[name], v[name], rtol=1e-11, atol=1e-12)


def test_a_gradient_a_thousand_times_as_large_moves_weights_as_far() -> None:
    moves = []
    for factor in (1.0, 1000.0):
        net = small_net()
        before = net.get_parameter("fc8.weight").detach().clone()
        sgd = MomentumSGD(net, weight_decay=0.0)
        sgd.lars = Lars(TRUST)
        set_gradients(net, 1)
        sgd.step(1.0, scale=factor)
        moves.append(net.get_parameter("fc8.weight").detach() - before)
        share = float(moves[-1].norm() / before.norm())
        assert share == pytest.approx(TRUST, rel=1e-12)
    torch.testing.assert_close(moves[0], moves[1], rtol=1e-12, atol=0)


def test_tensors_without_a_norm_and_biases_have_the_rate_as_it_is() -> None:
    zeros, ones = torch.zeros(2, 3), torch.ones(2, 3)
    terms = [
        Term("from nothing", zeros, ones, 0.1),
        Term("to nothing", ones, zeros, 0.1),
        Term("bias", torch.ones(3), torch.ones(3), 0.1),
        Term("weight", ones, 2 * ones, 0.5),
    ]
    rates = Lars(trust=0.1).rates(terms)
    found = {name: float(rate) for name, rate in rates.items()}
    assert found == {
        "from nothing": 1,
        "to nothing": 1,
        "weight": pytest.approx(0.1 / 2.5, rel=1e-6),  # float32
    }


def test_norms_of_millions_of_numbers_are_not_short() -> None:
    many = torch.full((2000, 1500), 0.01)
    (rate,) = Lars(trust=1.0).rates([Term("fc6.weight", many, torch.ones(1, 1), 0.0)]).values()
    assert float(rate) == pytest.approx(0.01 * 3e6**0.5, rel=1e-5)


def test_a_copy_in_bfloat16_has_its_gradients_and_is_rounded_anew() -> None:
    net, worker, exact = small_net().float(), small_net().bfloat16(), small_net().float()
    pairs = [(net, worker), (exact, exact)]
    for own, at_work in pairs:
        sgd = MomentumSGD(own, worker=at_work, weight_decay=DECAY)
        sgd.lars = Lars(TRUST)
        for parameter in at_work.parameters():
            parameter.grad = torch.full_like(parameter, 0.25)  # bfloat16 holds it
        sgd.step(0.5)
    for name, parameter in net.named_parameters():
        # the gradients are equal, and so are the float32 weights that the rates are taken from
        torch.testing.assert_close(parameter, exact.get_parameter(name), rtol=0, atol=0)
        copy = worker.get_parameter(name)
        torch.testing.assert_close(copy, parameter.detach().bfloat16(), rtol=0, atol=0)


def test_a_frozen_tensor_stays_and_asks_for_no_rate() -> None:
    net = small_net()
    before = arrays(dict(net.named_parameters()))
    sgd = MomentumSGD(net, layer_factors={"conv1": 0.0})
    sent: list[Tensor] = []

    def total(x: Tensor) -> Tensor:
        sent.append(x)
        return x

    sgd.lars = Lars(TRUST, cut=list(before), total=total)
    set_gradients(net, 0)
    sgd.step(0.1)
    assert [x.shape for x in sent] == [(1, 2)]  # two squares of fc8.weight
    for name, parameter in net.named_parameters():
        stays = np.array_equal(parameter.detach().numpy(), before[name])
        assert stays == name.startswith("conv1"), name
