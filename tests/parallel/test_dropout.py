import copy

import pytest
import torch
from torch import Tensor

from alexnet.layers.dropout import Dropout, Scaled
from alexnet.parallel.collectives import Circle
from alexnet.parallel.dropout import Rows, SharedDropout

ROWS, UNITS = 7, 12


def whole(scaled: Scaled, x: Tensor) -> Tensor:
    torch.manual_seed(5)
    y: Tensor = Dropout(0.5, scaled=scaled)(x)
    return y


@pytest.mark.parametrize("scaled", ["test", "training"])
@pytest.mark.parametrize("shape", [(ROWS, UNITS), (ROWS, UNITS, 3, 2)])
def test_parts_drop_what_the_whole_drops(scaled: Scaled, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    wanted = whole(scaled, x)
    indices = torch.tensor([5, 0, 3])
    for column in range(3):
        circle = Circle(rank=column, size=3)
        layer = SharedDropout(Dropout(0.5, scaled=scaled), Rows(indices, ROWS), circle)
        torch.manual_seed(5)
        found = layer(circle.own(x, 1)[indices])
        torch.testing.assert_close(found, circle.own(wanted, 1)[indices], rtol=0, atol=0)


def test_without_indices_all_rows_are_here() -> None:
    x = torch.randn(ROWS, UNITS)
    torch.manual_seed(5)
    found = SharedDropout(Dropout(0.5), Rows(), Circle())(x)
    torch.testing.assert_close(found, whole("test", x), rtol=0, atol=0)


@pytest.mark.parametrize("scaled", ["test", "training"])
def test_answers_are_those_of_dropout(scaled: Scaled) -> None:
    x, dropout = torch.randn(ROWS, UNITS), Dropout(0.3, scaled=scaled).eval()
    shared = SharedDropout(dropout, Rows(torch.tensor([1]), ROWS), Circle()).eval()
    torch.testing.assert_close(shared(x), dropout(x), rtol=0, atol=0)
    assert shared.extra_repr() == dropout.extra_repr()


def test_a_rate_of_zero_draws_nothing() -> None:
    x, before = torch.randn(ROWS, UNITS), torch.get_rng_state()
    assert SharedDropout(Dropout(0.0), Rows(), Circle())(x) is x
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_a_copy_of_a_net_sees_the_same_rows() -> None:
    rows = Rows()
    layer = copy.deepcopy(SharedDropout(Dropout(0.5), rows, Circle()))
    rows.indices, rows.whole = torch.tensor([6]), ROWS
    x = torch.randn(1, UNITS)
    torch.manual_seed(5)
    found = layer(x)
    wanted = whole("test", torch.cat([torch.zeros(ROWS - 1, UNITS), x]))[-1:]
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
