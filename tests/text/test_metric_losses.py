"""The losses of the second tier: gradients, other modes, and what they refuse.

Values and gradients at usual shapes are held to the original's in test_second_tier.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.autograd import gradcheck

from alexnet.text.blobs import make_blob
from alexnet.text.metric_losses import KINDS
from alexnet.text.wire import encode
from tests.text.single_layer import draw, make, refused

Array = NDArray[np.float64]
LABELS = torch.tensor([2.0, 0.0, 1.0, 2.0])


def softmax(x: Array) -> Array:
    """Return exponentials over the last axis that add up to 1."""
    return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))


def test_a_euclidean_loss_has_opposite_gradients() -> None:
    layer = make(KINDS, 'type: "EuclideanLoss"', [(4, 3), (4, 3)])
    a, b = draw(4, 3), draw(4, 3, seed=1)
    expected = np.square(a.detach().numpy() - b.detach().numpy()).sum() / 8
    assert layer(a, b).item() == pytest.approx(expected, rel=1e-12)
    assert gradcheck(layer, (a, b))


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_a_hinge_loss_has_the_derivative_as_gradient(norm: str) -> None:
    layer = make(KINDS, f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', [(4, 3), (4,)])
    x = draw(4, 3)
    assert gradcheck(lambda each: layer(each, LABELS), x)


def test_probabilities_have_a_logarithmic_loss() -> None:
    layer = make(KINDS, 'type: "MultinomialLogisticLoss"', [(4, 3), (4,)])
    p = draw(4, 3).detach().softmax(1).requires_grad_()
    expected = -np.log(p.detach().numpy()[range(4), LABELS.int().numpy()]).mean()
    assert layer(p, LABELS).item() == pytest.approx(expected, rel=1e-12)
    assert gradcheck(lambda each: layer(each, LABELS), p)


def test_a_probability_of_zero_counts_as_1e_20() -> None:
    layer = make(KINDS, 'type: "MultinomialLogisticLoss"', [(1, 2), (1,)])
    p = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    loss = layer(p, torch.zeros(1))
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(1e-20), rel=1e-12)
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), [[-1e20, 0]], rtol=1e-12)


def test_the_matrix_of_an_infogain_loss_is_read_from_a_file(tmp_path: Path) -> None:
    matrix = np.arange(9, dtype=np.float32).reshape(3, 3) / 4
    path = tmp_path / "matrix.binaryproto"
    path.write_bytes(encode(make_blob(matrix.reshape(1, 1, 3, 3))))
    text = f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}'
    layer = make(KINDS, text, [(4, 3), (4,)])
    x = draw(4, 3)
    rows = matrix[LABELS.int().numpy()]
    expected = -(rows * np.log(softmax(x.detach().numpy()))).sum() / 4
    assert layer(x, LABELS).item() == pytest.approx(expected, rel=1e-12)
    assert gradcheck(lambda each: layer(each, LABELS), x)
    assert not layer.state_dict()


def test_an_infogain_loss_bounds_its_value_and_not_its_gradient() -> None:
    layer = make(KINDS, 'type: "InfogainLoss"', [(1, 2), (1,), (2, 2)])
    x = torch.tensor([[0.0, 100.0]], dtype=torch.float64, requires_grad=True)
    loss = layer(x, torch.zeros(1), torch.eye(2))
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(1e-20), rel=1e-12)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [[-1, 1]], rtol=1e-12)


def test_an_infogain_loss_refuses_what_does_not_fit(tmp_path: Path) -> None:
    text = 'type: "InfogainLoss"'
    why = "the matrix is missing; give infogain_loss_param { source: FILE }"
    refused(KINDS, text, [(4, 3), (4,)], why=why)
    gone = tmp_path / "gone.binaryproto"
    with_source = f'{text} infogain_loss_param {{ source: "{gone}" }}'
    why = f"the matrix of the loss: {gone} does not exist"
    refused(KINDS, with_source, [(4, 3), (4,)], why=why)
    why = "the matrix is (3, 2); for 3 classes it is 3 squared"
    refused(KINDS, text, [(4, 3), (4,), (3, 2)], why=why)
    why = "labels are (4,) for predictions (4, 3, 2) with classes on axis 1; give one label"
    refused(KINDS, text, [(4, 3, 2), (4,), (3, 3)], why=why)
    why = "normalize is not taken by InfogainLoss; use normalization"
    given = f"{text} loss_param {{ normalize: true }}"
    refused(KINDS, given, [(4, 3), (4,), (3, 3)], why=why)


@pytest.mark.parametrize("labels", [(2, 3), (2,)])
def test_items_that_all_are_ignored_have_a_loss_of_zero(labels: tuple[int, ...]) -> None:
    shape = (2, 4, *labels[1:])
    text = 'type: "InfogainLoss" loss_param { ignore_label: 3 }'
    layer = make(KINDS, text, [shape, labels, (4, 4)])
    x = draw(*shape)
    loss = layer(x, torch.full(labels, 3.0), torch.eye(4))
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("legacy", ["true", "false"])
def test_pairs_are_drawn_together_or_pushed_apart(legacy: str) -> None:
    text = f"margin: 3 legacy_version: {legacy}"
    layer = make(
        KINDS, f'type: "ContrastiveLoss" contrastive_loss_param {{ {text} }}', [(6, 2)] * 2 + [(6,)]
    )
    a, b = draw(6, 2), draw(6, 2, seed=1)
    marks = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    squares = ((a - b) ** 2).sum(1).detach().numpy()
    missed = 3 - squares if legacy == "true" else 3 - np.sqrt(squares)
    apart = np.maximum(missed, 0) ** (1 if legacy == "true" else 2)
    expected = np.where(marks.numpy() == 1, squares, apart).sum() / 12
    assert layer(a, b, marks).item() == pytest.approx(expected, rel=1e-12)
    # The gradient divides by d + 1e-4 in the place of d.
    assert gradcheck(lambda x, y: layer(x, y, marks), (a, b), rtol=1e-3)


def test_pairs_of_equal_vectors_have_no_gradient_and_no_nan() -> None:
    layer = make(KINDS, 'type: "ContrastiveLoss"', [(2, 2), (2, 2), (2,)])
    a = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    layer(a, torch.ones(2, 2), torch.tensor([0.0, 1.0])).backward()
    assert a.grad is not None
    assert a.grad.tolist() == [[0, 0], [0, 0]]


def test_a_contrastive_loss_refuses_what_are_no_pairs() -> None:
    text = 'type: "ContrastiveLoss"'
    why = "bottoms are (4, 3) and (4, 2); give two of (items, features)"
    refused(KINDS, text, [(4, 3), (4, 2), (4,)], why=why)
    refused(KINDS, text, [(4, 3, 2, 1), (4, 3, 2, 1), (4,)], why="give two of (items, features)")
    why = "the third bottom is (4, 2) for 4 pairs; give one mark for each"
    refused(KINDS, text, [(4, 3), (4, 3), (4, 2)], why=why)


def test_cross_entropy_of_sigmoids_has_the_derivative_as_gradient() -> None:
    layer = make(KINDS, 'type: "SigmoidCrossEntropyLoss"', [(4, 3), (4, 3)])
    x, target = draw(4, 3), draw(4, 3, seed=1).detach().sigmoid()
    p, t = x.detach().sigmoid().numpy(), target.numpy()
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum() / 4
    assert layer(x, target).item() == pytest.approx(expected, rel=1e-12)
    assert gradcheck(lambda each: layer(each, target), x)


@pytest.mark.parametrize(
    ("parameter", "divisor"),
    [
        ("", 4),
        ("normalize: false", 4),
        ("normalize: true", 12),
        ("normalize: true ignore_label: 1", 6),
        ("normalization: FULL", 12),
        ("normalization: VALID", 12),
        ("normalization: NONE", 1),
        ("normalization: NONE normalize: true", 1),
    ],
)
def test_the_normalisation_divides_the_sum(parameter: str, divisor: float) -> None:
    text = f'type: "SigmoidCrossEntropyLoss" loss_param {{ {parameter} }}'
    layer = make(KINDS, text, [(4, 3), (4, 3)])
    target = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64).reshape(4, 1).expand(4, 3)
    counted = 6 if "ignore" in parameter else 12
    expected = counted * np.log(2) / divisor
    assert layer(torch.zeros(4, 3), target).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", ["EuclideanLoss", "SigmoidCrossEntropyLoss"])
def test_losses_of_two_blobs_refuse_other_sizes(kind: str) -> None:
    why = "bottoms are (4, 3) and (4, 2); they must be of one size"
    refused(KINDS, f'type: "{kind}"', [(4, 3), (4, 2)], why=why)
    why = "bottoms are (4, 3) and (3, 4); both must begin with the number of items"
    refused(KINDS, f'type: "{kind}"', [(4, 3), (3, 4)], why=why)


@pytest.mark.parametrize("kind", ["HingeLoss", "MultinomialLogisticLoss"])
def test_losses_with_labels_refuse_what_does_not_fit(kind: str) -> None:
    why = "labels are (4, 2) for 4 items; give one label for each"
    refused(KINDS, f'type: "{kind}"', [(4, 3), (4, 2)], why=why)
    why = "the predictions are (4,); give (items, classes) or more axes"
    refused(KINDS, f'type: "{kind}"', [(4,), (4,)], why=why)
    layer = make(KINDS, f'type: "{kind}"', [(4, 3), (4,)])
    match = f"{kind}: label 3 is not in 0 to 2, as the number of classes is 3"
    with pytest.raises(ValueError, match=match):
        layer(torch.ones(4, 3), torch.tensor([0.0, 1.0, 2.0, 3.0]))


def test_an_infogain_loss_refuses_a_label_that_is_no_class() -> None:
    layer = make(KINDS, 'type: "InfogainLoss"', [(1, 2), (1,), (2, 2)])
    with pytest.raises(ValueError, match="InfogainLoss: label -1 is not in 0 to 1"):
        layer(torch.ones(1, 2), torch.tensor([-1.0]), torch.eye(2))
