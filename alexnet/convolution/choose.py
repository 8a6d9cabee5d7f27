"""Which algorithm does a convolution: the one asked for, or the quickest here."""

from torch import Tensor

from alexnet.convolution.algorithms import find
from alexnet.convolution.problem import Algorithm, Direction, Way


def chosen(direction: Direction, a: Tensor, b: Tensor, way: Way) -> Algorithm:
    """Return the algorithm for one direction of a convolution of these two tensors.

    Raises: ValueError if the algorithm asked for is unknown, or cannot do this.
    """
    algorithm = find("native" if way.algorithm == "auto" else way.algorithm)
    if reason := algorithm.refusal(way.problem):
        raise ValueError(f"{algorithm.name} cannot do this convolution: {reason}; take auto")
    return algorithm
