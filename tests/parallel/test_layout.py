import pytest

from alexnet.parallel.layout import Layout


def test_one_weird_trick_and_columns_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="hybrid is 'a' and columns 2; one weird trick cuts"):
        Layout(columns=2, hybrid="a")


def test_there_is_at_least_one_column() -> None:
    with pytest.raises(ValueError, match="columns is 0; it must be at least 1"):
        Layout(columns=0)


def test_rounded_messages_go_with_either() -> None:
    assert Layout(columns=2, crossing="fp16").crossing == "fp16"
    assert Layout(hybrid="b", crossing="bf16").crossing == "bf16"
