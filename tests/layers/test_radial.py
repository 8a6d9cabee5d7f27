"""Radial basis functions against numpy, and their gradients."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from alexnet.layers.radial import RadialBasis
from tests.oracles import lenet as oracle

CODES = torch.tensor([[1.0, -1, 1], [1, 1, 1], [-1, -1, -1], [-1, 1, 1]])


def test_logits_are_negated_squared_distances() -> None:
    own = RadialBasis(CODES.double(), 1.0).eval()
    x = torch.randn(5, 3, dtype=torch.float64)
    expected = -oracle.distances(x.numpy(), CODES.double().numpy())
    np.testing.assert_allclose(own(x).numpy(), expected, rtol=1e-12)
    assert float(own(CODES[2:3].double())[0, 2]) == 0.0


@pytest.mark.parametrize("penalty", [0.5, 4.0])
def test_the_cross_entropy_of_training_is_equation_9(penalty: float) -> None:
    own = RadialBasis(CODES.double(), penalty).train()
    x, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2])
    distances = oracle.distances(x.numpy(), CODES.double().numpy())
    expected = oracle.equation_9(distances, labels.numpy(), penalty)
    assert float(F.cross_entropy(own(x), labels)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_radial_basis_functions_pass_gradcheck(training: bool) -> None:
    own = RadialBasis(CODES.double(), 1.0).train(training)
    x = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(own, (x,))


def test_codes_do_not_learn_and_set_the_type() -> None:
    own = RadialBasis(CODES, 1.0)
    assert list(own.parameters()) == []
    assert own(torch.randn(2, 3).bfloat16()).dtype == torch.float32
