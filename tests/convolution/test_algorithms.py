"""The algorithms by name."""

import pytest

from alexnet.convolution.algorithms import ALGORITHMS, find


def test_each_is_found_by_its_own_name() -> None:
    for name, algorithm in ALGORITHMS.items():
        assert find(name) is algorithm
        assert algorithm.name == name
    assert {"direct", "native"} <= set(ALGORITHMS)


def test_an_unknown_name_is_refused_with_the_nearest_and_all_others() -> None:
    with pytest.raises(ValueError, match=r"no algorithm is called 'dirct'.*'direct'") as error:
        find("dirct")
    *_, choices = str(error.value).partition("choose one of ")
    assert choices.split(", ") == [*ALGORITHMS, "winograd-M", "auto"]


def test_winograd_is_found_by_the_size_of_its_tiles() -> None:
    assert find("winograd-3").name == "winograd-3"
    for name in ("winograd-", "winograd-x", "winograd--2", "direct-2"):
        with pytest.raises(ValueError, match=f"no algorithm is called '{name}'"):
            find(name)
