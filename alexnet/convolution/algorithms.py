"""The algorithms by name."""

from alexnet.convolution.direct import DIRECT
from alexnet.convolution.fft import FFT
from alexnet.convolution.im2col import IM2COL
from alexnet.convolution.native import NATIVE
from alexnet.convolution.problem import Algorithm
from alexnet.convolution.winograd import WINOGRAD, winograd
from alexnet.nearest import nearest

ALGORITHMS = {each.name: each for each in (DIRECT, FFT, IM2COL, NATIVE, WINOGRAD)}
"""Those that have a name; `find` knows `winograd-M` for any M besides."""


def find(name: str) -> Algorithm:
    """Return the algorithm of that name.

    Raises: ValueError if there is none, or M of `winograd-M` is not 1 ... 16.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    family, _, outputs = name.partition("-")
    if family == WINOGRAD.name and outputs.isdecimal():
        return winograd(int(outputs))
    known = [*ALGORITHMS, "winograd-M", "auto"]
    raise ValueError(
        f"no algorithm is called {name!r}{nearest(name, known)}; choose one of {', '.join(known)}"
    )
