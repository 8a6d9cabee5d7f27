"""Nets by name."""

import pytest

from alexnet.nets import ALEXNETS, NETS, find, variants


def test_a_net_is_found_by_its_name() -> None:
    assert find("alexnet") is variants.ALEXNET
    assert find("caffenet") is variants.CAFFENET
    assert all(find(name) is variant for name, variant in NETS.items())


def test_the_names_are_those_of_the_documents() -> None:
    assert list(ALEXNETS) == [
        "alexnet",
        "alexnet-2012",
        "alexnet-2012-half",
        "alexnet-1col",
        "alexnet-owt",
        "torchvision",
        "bvlc-alexnet",
        "caffenet",
        "keras",
    ]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("alexnett", " (did you mean 'alexnet'?)"),
        ("cafenet", " (did you mean 'caffenet'?)"),
        ("AlexNet-2012-half", " (did you mean 'alexnet-2012-half'?)"),
        ("inceptron", ""),
        ("", ""),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_names(name: str, near: str) -> None:
    with pytest.raises(ValueError, match="no net is called") as caught:
        find(name)
    everything = ", ".join(NETS)
    assert str(caught.value) == f"no net is called {name!r}{near}; the nets are {everything}"
