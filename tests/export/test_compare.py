"""Differences and costs, counted by hand."""

import pytest
import torch
from torch import nn

from alexnet.export.compare import cost, difference, generated_pictures, rounded
from alexnet.model import Model

OURS = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
THEIRS = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.3, 0.3, 0.4]])


def test_the_largest_difference_and_the_same_answers_are_counted() -> None:
    found = difference(OURS, THEIRS)
    assert found.largest == pytest.approx(0.1)
    assert (found.pictures, found.same_first) == (3, 2)
    assert found.text() == (
        "3 pictures: the largest difference of a probability is 1.0e-01, 2 first answers are the "
        "same"
    )


def test_answers_that_are_no_numbers_are_infinitely_far() -> None:
    assert difference(OURS, OURS * float("nan")).largest == float("inf")


def test_errors_before_and_after_are_counted_where_labels_are_known() -> None:
    found = cost(OURS, THEIRS, torch.tensor([0, 1, 0]))
    assert (found.errors_before, found.errors_after) == (1, 2)
    assert cost(OURS, THEIRS, None).errors_before is None


def test_rounding_leaves_the_net_itself_as_it_was(model: Model) -> None:
    before = {name: tensor.clone() for name, tensor in model.net.state_dict().items()}
    for kind in ("int8", "bf16"):
        made = rounded(model.net, "int8" if kind == "int8" else "bf16")
        conv, fc = made.get_submodule("conv1"), made.get_submodule("fc8")
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(fc, nn.Linear)
        assert not torch.equal(fc.weight, before["fc8.weight"])
        assert torch.equal(conv.weight, before["conv1.weight"]) == (kind == "int8")
        if kind == "int8":
            levels = fc.weight / (fc.weight.abs().amax(1, keepdim=True) / 127)
            assert torch.allclose(levels, levels.round(), atol=1e-4)
        else:
            assert torch.equal(fc.weight, fc.weight.bfloat16().float())
    after = model.net.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_generated_pictures_are_the_same_each_time_and_differ() -> None:
    made = generated_pictures(2, 40)
    assert torch.equal(made, generated_pictures(2, 40))
    assert (made.shape, made.dtype) == ((2, 40, 40, 3), torch.uint8)
    assert made.float().std() > 30
    assert not torch.equal(made[0], made[1])
