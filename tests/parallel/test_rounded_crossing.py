"""What half-precision messages between columns do to gradients, and what is said of it."""

from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from alexnet.nets.chain import Chain
from alexnet.parallel.collectives import Circle
from alexnet.parallel.columns import Columns, whole_tensor
from alexnet.parallel.dropout import Rows
from alexnet.parallel.mesh import join
from tests.parallel.ranks import on_ranks
from tests.parallel.test_columns import gradients_of, small_net

# Half a unit of the last place, as a share of the number: 10 bits behind the point, and 7.
UNITS = {torch.float16: 2**-11, torch.bfloat16: 2**-8}


def smooth_net() -> Chain:
    """Return a net without kinks, where a rounded number might fall to the other side."""
    net = small_net()
    for name, layer in list(net.named_children()):
        if isinstance(layer, nn.ReLU):
            net.set_submodule(name, nn.Tanh())
        elif isinstance(layer, nn.MaxPool2d):
            net.set_submodule(name, nn.AvgPool2d(3, 2))
    return net


def rounded_gradients(dtype: torch.dtype | None) -> tuple[dict[str, Tensor], float, float]:
    """Return the gradients of the whole net, and the error that the circle tells."""
    with join(2) as mesh:
        exact = Circle.of(mesh.model)
        circle = Circle.of(mesh.model, dtype)
        gradients = gradients_of(Columns(smooth_net(), circle, Rows()))
        whole = {n: whole_tensor(g, exact) for n, g in gradients.items()}
        return whole, circle.rounding.relative(), circle.rounding.worst()


@pytest.mark.parametrize("dtype", UNITS, ids=str)
def test_rounded_crossings_change_gradients_by_what_is_told(
    pool: ProcessPoolExecutor, dtype: torch.dtype
) -> None:
    exact = gradients_of(smooth_net())
    unit = UNITS[dtype]
    for found, told, worst in on_ranks(pool, 2, rounded_gradients, dtype):
        # an error is at most a unit; spread evenly over a binade it is .41 of it on the average
        assert 0.3 * unit < told < 0.6 * unit
        assert told < worst < unit
        errors = [float((found[n] - g).norm() / g.norm()) for n, g in exact.items()]
        # a gradient comes through four crossings forward and four back, whose errors differ
        assert 0.5 * unit < max(errors) < 8**0.5 * unit


def test_crossings_that_are_not_rounded_tell_no_error(pool: ProcessPoolExecutor) -> None:
    for _, told, worst in on_ranks(pool, 2, rounded_gradients, None):
        assert told == 0
        assert worst == 0
