"""Fixtures for the benchmarks: a small case, and a machine whose speed is quickly measured."""

from dataclasses import replace

import pytest

from alexnet.bench import machine
from alexnet.bench.case import Case
from alexnet.nets import ALEXNETS, NETS


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the machine's speed on products that take no time."""
    monkeypatch.setattr(machine, "GEMM_SIZES", (64,))


def make_nets_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every net a quarter of its kernels and 64 neurons in fc6 and fc7."""
    for name, variant in ALEXNETS.items():
        c1, c2, c3, c4, c5 = (kernels // 4 for kernels in variant.kernels)
        small = replace(variant, kernels=(c1, c2, c3, c4, c5), fc_units=64, published=None)
        monkeypatch.setitem(NETS, name, small)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    """Return the paper's net, made small, on two small pictures of three classes."""
    make_nets_small(monkeypatch)
    return Case(batch=2, classes=3, input_size=67)
