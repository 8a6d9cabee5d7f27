"""What the building of layers looks at: axes, pairs of numbers, initial values and blobs."""

from typing import Any

import pytest
import torch
from torch import nn

from alexnet.text.kind import Initial, Kind, Setting, blobs, fillers, pair
from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import parse


def record_of(text: str) -> Message:
    whole = f'layer {{ name: "it" {text} }}'
    found: Message = parse(whole, "NetParameter", source="net.prototxt")["layer"][0]
    return found


def setting(text: str, *shapes: tuple[int, ...]) -> Setting:
    return Setting(record_of(text), shapes, "TEST")


def test_an_axis_may_be_counted_from_the_back() -> None:
    found = setting("", (2, 3, 4, 5), (6, 7))
    assert [found.axis(a) for a in (0, 3, -1, -4)] == [0, 3, 3, 0]
    assert found.axis(-1, bottom=1) == 1
    assert found.bottom == (2, 3, 4, 5)


@pytest.mark.parametrize(("axis", "bottom", "rank"), [(4, 0, 4), (-5, 0, 4), (2, 1, 2)])
def test_an_axis_that_is_not_there_is_refused(axis: int, bottom: int, rank: int) -> None:
    found = setting("", (2, 3, 4, 5), (6, 7))
    with pytest.raises(TextError, match=rf"layer 'it': axis {axis} is not in a blob of {rank} ax"):
        found.axis(axis, bottom=bottom)


def test_tops_are_those_that_the_text_names() -> None:
    assert setting('top: "a" top: "b"').tops == 2
    assert setting("").tops == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", (9, 9)),
        ("kernel_size: 3", (3, 3)),
        ("kernel_size: 3 kernel_size: 5", (3, 5)),
        ("kernel_h: 3 kernel_w: 5", (3, 5)),
        ("kernel_h: 3", (3, 0)),
        ("kernel_w: 5", (0, 5)),
    ],
)
def test_height_and_width_are_one_number_two_or_one_each(
    text: str, wanted: tuple[int, int]
) -> None:
    found = setting(f"convolution_param {{ {text} }}")
    assert pair(found, found.record["convolution_param"], "kernel_size", 9) == wanted


def test_a_field_that_stands_once_holds_for_both() -> None:
    found = setting("pooling_param { kernel_size: 4 stride_h: 2 stride_w: 3 }")
    assert pair(found, found.record["pooling_param"], "kernel_size", 0) == (4, 4)
    assert pair(found, found.record["pooling_param"], "stride", 1) == (2, 3)
    assert pair(found, found.record["pooling_param"], "pad", 0) == (0, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pad: 1 pad_h: 1", "layer 'it': pad and pad_h or pad_w are both given; use one form"),
        ("pad: 1 pad: 2 pad: 3", "layer 'it': pad has 3 numbers; give one or two"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(text: str, why: str) -> None:
    found = setting(f"convolution_param {{ {text} }}")
    with pytest.raises(TextError, match=why):
        pair(found, found.record["convolution_param"], "pad", 0)


class Two(nn.Module):
    """A parameter, a buffer that is a blob and one that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("sums", torch.zeros(3))
        self.register_buffer("constant", torch.ones(4), persistent=False)


def test_blobs_are_the_entries_of_the_state_dict_as_they_are() -> None:
    module = Two()
    found = blobs(module)
    assert [tuple(each.shape) for each in found] == [(2,), (3,)]
    assert found[0] is module.weight
    assert found[1] is module.sums


def kind(initial: Any) -> Kind:
    return Kind(lambda setting: nn.Identity(), initial=initial)


def test_fillers_are_those_of_the_text_or_a_constant() -> None:
    record = record_of('convolution_param { weight_filler { type: "xavier" } }')
    weight = Initial("convolution_param.weight_filler")
    bias = Initial("convolution_param.bias_filler", 0.5)
    (filler, otherwise), *rest = fillers(kind((weight, bias)), record, 3)
    assert filler is not None
    assert (filler["type"], otherwise) == ("xavier", 0.0)
    assert rest == [(None, 0.5), (None, 0.0)]
    assert fillers(kind((weight, bias)), record, 0) == []


def test_a_function_may_say_which_filler_is_whose() -> None:
    record = record_of("scale_param { bias_filler { value: 3 } }")

    def of_last(given: Message, count: int) -> tuple[Initial, ...]:
        assert given is record
        return (Initial("scale_param.filler", 1.0),) * (count - 1) + (
            Initial("scale_param.bias_filler"),
        )

    found = fillers(kind(of_last), record, 3)
    assert found[:2] == [(None, 1.0), (None, 1.0)]
    assert found[2][0] is not None
    assert found[2][0]["value"] == 3
