"""The nearest known name."""

import pytest

from alexnet.nearest import nearest

LAYERS = ("conv1", "conv2", "norm1", "pool1", "fc8")


@pytest.mark.parametrize(
    ("name", "known"),
    [("conv1", "conv1"), ("con1", "conv1"), ("conv_2", "conv2"), ("nrom1", "norm1")],
)
def test_a_slip_is_answered_with_the_name_that_was_meant(name: str, known: str) -> None:
    assert nearest(name, LAYERS) == f" (did you mean {known!r}?)"


@pytest.mark.parametrize("name", ["dropout", "", "xyz"])
def test_a_name_like_none_is_answered_with_nothing(name: str) -> None:
    assert nearest(name, LAYERS) == ""


def test_nothing_is_near_where_nothing_is_known() -> None:
    assert nearest("conv1", []) == ""


def test_names_may_come_from_any_iterable() -> None:
    assert nearest("conv9", (f"conv{number}" for number in (9, 1))) == " (did you mean 'conv9'?)"
