"""The six update rules against oracles in numpy, written from the equations in float64."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from alexnet.caffe.update import RULES, Updates
from alexnet.text.assembly import Learnable
from alexnet.text.message import Message

Array = NDArray[np.float64]
SHAPES = [(3, 2, 5, 5), (7,), (5, 11), (1,)]
FACTORS = [(1.0, 1.0), (2.0, 0.0), (0.5, 3.0), (0.0, 1.0)]
RATES = [0.1, 0.05, 0.2, 0.1, 0.03]


def solver(kind: str, **changes: object) -> Message:
    momentum = 0.0 if kind in ("AdaGrad", "RMSProp") else 0.9
    values = {"type": kind, "momentum": momentum, "weight_decay": 0.01, "delta": 1e-4}
    return Message("SolverParameter", values | changes)


def sgd(g: Array, h: list[Array], rate: float, t: int) -> Array:
    h[0] = 0.9 * h[0] + rate * g
    return h[0]


def nesterov(g: Array, h: list[Array], rate: float, t: int) -> Array:
    before = h[0]
    h[0] = 0.9 * h[0] + rate * g
    return 1.9 * h[0] - 0.9 * before


def adagrad(g: Array, h: list[Array], rate: float, t: int) -> Array:
    h[0] = h[0] + g**2
    return rate * g / (np.sqrt(h[0]) + 1e-4)


def rmsprop(g: Array, h: list[Array], rate: float, t: int) -> Array:
    h[0] = 0.99 * h[0] + 0.01 * g**2
    return rate * g / (np.sqrt(h[0]) + 1e-4)


def adadelta(g: Array, h: list[Array], rate: float, t: int) -> Array:
    h[0] = 0.9 * h[0] + 0.1 * g**2
    u = g * np.sqrt((h[1] + 1e-4) / (h[0] + 1e-4))
    h[1] = 0.9 * h[1] + 0.1 * u**2
    return rate * u


def adam(g: Array, h: list[Array], rate: float, t: int) -> Array:
    h[0] = 0.9 * h[0] + 0.1 * g
    h[1] = 0.999 * h[1] + 0.001 * g**2
    rate *= np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return rate * h[0] / (np.sqrt(h[1]) + 1e-4)


ORACLES: dict[str, tuple[Callable[[Array, list[Array], float, int], Array], int]] = {
    "SGD": (sgd, 1),
    "Nesterov": (nesterov, 1),
    "AdaGrad": (adagrad, 1),
    "RMSProp": (rmsprop, 1),
    "AdaDelta": (adadelta, 2),
    "Adam": (adam, 2),
}


def a_net(*, channels_last: bool = False) -> list[Learnable]:
    generator = torch.Generator().manual_seed(1)
    blobs = []
    for index, (shape, (rate, decay)) in enumerate(zip(SHAPES, FACTORS, strict=True)):
        tensor = torch.randn(shape, generator=generator)
        if channels_last and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        blobs.append(Learnable(f"layer{index}", 0, tensor, rate, decay))
    return blobs


def give_gradients(blobs: list[Learnable], number: int) -> list[Array]:
    generator = torch.Generator().manual_seed(number)
    given = []
    for blob in blobs:
        gradient = torch.randn(blob.tensor.shape, generator=generator)
        blob.tensor.grad = gradient
        given.append(gradient.double().numpy() * (blob.lr_mult != 0))
    return given


def run_both(kind: str, settings: Message, blobs: list[Learnable]) -> tuple[list[Array], Updates]:
    """Make five updates by the oracle and by the code; return the oracle's weights."""
    rule, copies = ORACLES[kind]
    weights = [b.tensor.double().numpy().copy() for b in blobs]
    history = [[np.zeros_like(w) for _ in range(copies)] for w in weights]
    updates = Updates(blobs, settings)
    for number, rate in enumerate(RATES):
        gradients = give_gradients(blobs, number)
        length = np.sqrt(sum((g**2).sum() for g in gradients))
        limit = settings["clip_gradients"]
        factor = limit / length if 0 <= limit < length else 1.0
        for w, g, h, blob in zip(weights, gradients, history, blobs, strict=True):
            decay = 0.01 * blob.decay_mult
            total = g * factor / settings["iter_size"]
            l1 = settings["regularization_type"] == "L1"
            total = total + decay * (np.sign(w) if l1 else w)
            w -= rule(total, h, rate * blob.lr_mult, number + 1)
        updates.apply(rate, number)
    ordered = [h[copy] for copy in range(copies) for h in history]
    for expected, tensor in zip(ordered, updates.history, strict=True):
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=3e-5, atol=1e-6)
    return weights, updates


def assert_equal(blobs: list[Learnable], weights: list[Array]) -> None:
    for blob, expected in zip(blobs, weights, strict=True):
        # five float32 updates against float64
        np.testing.assert_allclose(blob.tensor.numpy(), expected, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize("regularisation", ["L1", "L2"])
def test_five_updates_equal_the_equations(kind: str, regularisation: str) -> None:
    blobs = a_net()
    weights, _ = run_both(kind, solver(kind, regularization_type=regularisation), blobs)
    assert_equal(blobs, weights)


@pytest.mark.parametrize("kind", RULES)
def test_gradients_of_three_passes_are_clipped_and_divided(kind: str) -> None:
    blobs = a_net(channels_last=True)
    weights, _ = run_both(kind, solver(kind, iter_size=3, clip_gradients=2.5), blobs)
    assert_equal(blobs, weights)


def test_the_length_and_the_factor_of_a_clipping_are_told() -> None:
    blobs = a_net()
    gradients = give_gradients(blobs, 0)
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    clipped = Updates(blobs, solver("SGD", clip_gradients=2.5)).apply(0.1, 0)
    assert clipped == pytest.approx((length, 2.5 / length))


def test_gradients_shorter_than_the_limit_are_left_alone() -> None:
    blobs = a_net()
    give_gradients(blobs, 0)
    assert Updates(blobs, solver("SGD", clip_gradients=1000.0)).apply(0.1, 0) is None


def test_a_blob_without_a_gradient_decays() -> None:
    blob = Learnable("fc", 0, torch.tensor([2.0]), 1.0, 1.0)
    Updates([blob], solver("SGD")).apply(0.5, 0)
    assert blob.tensor.item() == pytest.approx(2 - 0.5 * 0.01 * 2)


def test_a_blob_whose_rate_is_zero_keeps_its_value_bit_for_bit() -> None:
    blobs = a_net()
    before = blobs[3].tensor.clone()
    give_gradients(blobs, 0)
    Updates(blobs, solver("Adam")).apply(0.1, 0)
    assert torch.equal(blobs[3].tensor, before)


@pytest.mark.parametrize("kind", RULES)
def test_with_snapshot_diff_the_gradient_becomes_what_was_subtracted(kind: str) -> None:
    blobs = a_net()
    before = [b.tensor.clone() for b in blobs]
    give_gradients(blobs, 0)
    Updates(blobs, solver(kind, snapshot_diff=True)).apply(0.1, 0)
    for blob, old in zip(blobs, before, strict=True):
        assert blob.tensor.grad is not None
        torch.testing.assert_close(old - blob.tensor, blob.tensor.grad, rtol=1e-4, atol=1e-6)
