"""Gradients of a step, and the bfloat16 copy at work."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.nets import find
from alexnet.nets.chain import Chain
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work, gradients
from tests.blocks import WEIGHT, block_net

SIZE = 67


def make_net() -> Chain:
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
        assert parameter.grad is not None
        assert gradient is not None
        # sums over pictures in another order: 1.2e-6 to 1.7e-6 by the number of threads
        assert (gradient - parameter.grad).norm() <= 5e-6 * parameter.grad.norm()


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


# ---- Blocks, batch norm, auxiliary classifiers --------------------------------------------------


def small_pictures(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, 16, 16, generator=generator)
    return x, torch.randint(0, 3, (count,), generator=generator)


def test_auxiliary_classifiers_add_their_loss_times_their_weight() -> None:
    net, (x, labels) = block_net().eval(), small_pictures()
    loss = gradients(net, x, labels, parts=2, smoothing=0.1)
    found = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()
    heads = net.heads(x)
    expected = F.cross_entropy(heads.logits, labels, label_smoothing=0.1)
    expected = expected + WEIGHT * F.cross_entropy(heads.auxiliary[0], labels, label_smoothing=0.1)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-6)


def test_statistics_that_the_bfloat16_copy_gathers_are_the_nets_own_in_float32() -> None:
    net, (x, labels) = block_net(), small_pictures()
    exact = block_net().train()
    worker = at_work(net, torch.bfloat16)
    optimizer = MomentumSGD(net, worker=worker)
    worker.train()
    gradients(worker, x.bfloat16(), labels)
    gradients(exact, x, labels)
    optimizer.step(0.01)
    found, expected = dict(net.named_buffers()), dict(exact.named_buffers())
    assert found["block.norm.running_mean"].dtype == torch.float32
    assert found["block.norm.num_batches_tracked"] == 1
    for name in ("block.norm.running_mean", "block.norm.running_var"):
        # an average with a tenth of the batch's; 8 bits in the layers before
        torch.testing.assert_close(found[name], expected[name], rtol=5e-3, atol=5e-3)
        assert not torch.equal(found[name], dict(block_net().named_buffers())[name])


def test_batch_norm_stays_in_float32_and_moves_with_its_own_gradient() -> None:
    net, (x, labels) = block_net(), small_pictures()
    worker = at_work(net, torch.bfloat16)
    types = {name: p.dtype for name, p in worker.named_parameters()}
    assert types["block.norm.weight"] == types["block.norm.bias"] == torch.float32
    assert types["block.conv3x3.weight"] == types["fc.bias"] == torch.bfloat16
    before = net.block.norm.weight.detach().clone()
    optimizer = MomentumSGD(net, worker=worker, momentum=0.0, weight_decay=0.0)
    worker.train()
    gradients(worker, x.bfloat16(), labels)
    gradient = net.block.norm.weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    kept = gradient.clone()
    optimizer.step(0.5)
    torch.testing.assert_close(net.block.norm.weight.detach(), before - 0.5 * kept)
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_weights_that_two_layers_share_stay_shared_in_the_copy() -> None:
    net = block_net()
    net.head.weight = net.fc.weight
    worker = at_work(net, torch.bfloat16)
    assert worker.head.weight is worker.fc.weight
    assert len(list(worker.parameters())) == len(list(net.parameters()))
