"""Softmax, SoftmaxWithLoss, Accuracy and ArgMax give what the original gives."""

import numpy as np
import pytest
import torch

from alexnet.text.losses import KINDS
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check
from tests.text.single_layer import draw, make

CASES = read_cases("losses")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)


def test_a_loss_gives_its_probabilities_without_their_gradient() -> None:
    module = make(KINDS, 'type: "SoftmaxWithLoss"', [(3, 4, 2), (3, 2)], tops=2)
    x, labels = draw(3, 4, 2), torch.tensor([[0.0, 1.0], [3.0, 2.0], [1.0, 1.0]])
    loss, probabilities = module(x, labels)
    powers = np.exp(x.detach().numpy())
    wanted = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities, wanted, rtol=1e-12)
    own = np.take_along_axis(wanted, labels.numpy().astype(int)[:, None], 1)
    np.testing.assert_allclose(loss.item(), -np.log(own).mean(), rtol=1e-12)
    assert not probabilities.requires_grad


def test_a_loss_ends_at_the_smallest_float_and_its_gradient_does_not() -> None:
    module = make(KINDS, 'type: "SoftmaxWithLoss"', [(2, 3), (2,)])
    x = torch.tensor([[0.0, 200.0, 0.0], [-torch.inf, 0.0, 0.0]], requires_grad=True)
    loss = module(x, torch.tensor([0.0, 0.0]))
    loss.backward()
    # -log of 2 ** -126, the smallest normal float32
    np.testing.assert_allclose(loss.item(), 126 * np.log(2), rtol=1e-6)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [[-0.5, 0.5, 0], [-0.5, 0.25, 0.25]], atol=1e-7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loss_param { ignore_label: 1 }",
        "loss_param { normalization: BATCH_SIZE }",
        "loss_param { normalization: FULL ignore_label: 2 }",
        "loss_param { normalization: NONE }",
    ],
)
def test_gradients_of_the_loss_are_the_slopes(text: str) -> None:
    module = make(KINDS, f'type: "SoftmaxWithLoss" {text}', [(3, 4, 2), (3, 2)])
    labels = torch.tensor([[0.0, 1.0], [3.0, 2.0], [1.0, 1.0]])
    assert torch.autograd.gradcheck(lambda x: module(x, labels), (draw(3, 4, 2),))


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy"])
@pytest.mark.parametrize("label", [4, -1])
def test_a_label_that_is_no_class_is_refused(kind: str, label: int) -> None:
    module = make(KINDS, f'type: "{kind}"', [(2, 4), (2,)])
    message = f"layer 'it': label {label} is no class; with 4 scores the labels are 0 to 3"
    with pytest.raises(ValueError, match=message):
        module(draw(2, 4), torch.tensor([1.0, label]))


def test_a_label_that_is_left_out_may_be_any_number() -> None:
    text = 'type: "Accuracy" accuracy_param { ignore_label: 255 }'
    module = make(KINDS, text, [(2, 4), (2,)])
    assert module(torch.eye(4)[:2], torch.tensor([0.0, 255.0])) == 1
    assert module(torch.eye(4)[:2], torch.tensor([2.0, 255.0])) == 0


def test_accuracy_in_numpy_is_the_same() -> None:
    module = make(KINDS, 'type: "Accuracy" accuracy_param { top_k: 2 }', [(40, 5), (40,)], tops=2)
    generator = np.random.default_rng(3)
    scores, labels = generator.integers(0, 4, (40, 5)), generator.integers(0, 5, 40)
    own = scores[np.arange(40), labels]
    right = (scores >= own[:, None]).sum(1) - 1 < 2
    accuracy, classes = module(torch.from_numpy(scores).double(), torch.from_numpy(labels).float())
    np.testing.assert_allclose(accuracy, right.mean(), rtol=1e-12)
    wanted = [right[labels == c].mean() if (labels == c).any() else 0 for c in range(5)]
    np.testing.assert_allclose(classes, wanted, rtol=1e-12)


def test_a_loss_takes_another_batch_than_it_was_built_for() -> None:
    module = make(KINDS, 'type: "SoftmaxWithLoss"', [(2, 4), (2,)])
    scores, labels = torch.zeros(7, 4), torch.arange(7.0) % 4
    np.testing.assert_allclose(module(scores, labels).item(), np.log(4), rtol=1e-6)
