"""Gradients of a step, and the bfloat16 copy at work."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.nets import find
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work, gradients

SIZE = 67


def make_net() -> nn.Module:
    net = find("alexnet").build(classes=4, input_size=SIZE)
    net.init_weights(torch.Generator().manual_seed(0))
    with torch.no_grad():  # weights of .01 let the pictures fade; see initialise.py
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter.mul_(5)
    return net.eval()  # without dropout, so that parts of a batch change nothing


def draw(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, SIZE, SIZE, generator=generator) * 50
    return x, torch.randint(0, 4, (count,), generator=generator)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_parts_of_a_batch_add_up_to_the_gradient_of_its_mean_loss(
    parts: int, smoothing: float
) -> None:
    net = make_net()
    x, labels = draw()
    loss = gradients(net, x, labels, parts=parts, smoothing=smoothing)
    found = [p.grad for p in net.parameters()]
    net.zero_grad()
    expected_loss = F.cross_entropy(net(x), labels, label_smoothing=smoothing)
    expected_loss.backward()
    torch.testing.assert_close(loss, expected_loss.detach())
    for gradient, parameter in zip(found, net.parameters(), strict=True):
        # sums over pictures in another order
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-3, atol=1e-5)


def test_float32_works_on_the_net_itself() -> None:
    net = make_net()
    assert at_work(net, torch.float32) is net


def test_the_copy_in_bfloat16_follows_the_float32_weights() -> None:
    net = make_net()
    worker = at_work(net, torch.bfloat16)
    optimizer = MomentumSGD(net, worker=worker, momentum=0.9, weight_decay=0.0)
    before = [p.detach().clone() for p in net.parameters()]
    x, labels = draw()
    for _ in range(2):
        gradients(worker, x.bfloat16(), labels)
        optimizer.step(1e-4)
    moved = 0
    for own, copied, old in zip(net.parameters(), worker.parameters(), before, strict=True):
        assert own.dtype == torch.float32
        assert copied.dtype == torch.bfloat16
        assert copied.grad is None
        assert torch.equal(copied, own.bfloat16())
        moved += int((own != old).sum())
        small = (own - old).abs() < 2**-9 * old.abs()  # what bfloat16 alone would have lost
        assert not own.dim() > 1 or bool((small & (own != old)).any())
    assert moved > 0


def test_bfloat16_gradients_are_near_those_of_float32() -> None:
    net = make_net()
    worker = at_work(net, torch.bfloat16)
    x, labels = draw()
    loss, rough_loss = gradients(net, x, labels), gradients(worker, x.bfloat16(), labels)
    # 8 bits in each of some twenty roundings on the way
    torch.testing.assert_close(rough_loss, loss, rtol=0.02, atol=0.02)
    for exact, rough in zip(net.parameters(), worker.parameters(), strict=True):
        assert exact.grad is not None
        assert rough.grad is not None
        difference = (exact.grad - rough.grad.float()).norm() / exact.grad.norm()
        assert difference < 0.25  # some windows of the pools have another winner


def test_refresh_rounds_the_copy_anew() -> None:
    net = make_net()
    worker = at_work(net, torch.bfloat16)
    optimizer = MomentumSGD(net, worker=worker)
    with torch.no_grad():
        next(net.parameters()).fill_(0.3)
    optimizer.refresh()
    assert torch.equal(next(worker.parameters()), next(net.parameters()).bfloat16())
