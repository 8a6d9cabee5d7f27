"""What is timed, and that nobody is timed on something else."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet.bench.case import (
    Case,
    Contender,
    PeerMissing,
    WrongAnswer,
    check_answer,
    check_installed,
    difference,
    require,
)
from alexnet.bench.layers import time_layers
from alexnet.nets.chain import Chain


def contender(answer: torch.Tensor) -> Contender:
    return Contender("somebody", "fp32", lambda _: 1.0, lambda: answer)


def test_a_case_draws_the_same_net_and_the_same_pictures_each_time(case: Case) -> None:
    first, second = case.draw_net().state_dict(), case.draw_net().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(case.draw_pictures(), case.draw_pictures())
    assert case.draw_pictures().shape == (2, 3, 67, 67)
    assert case.draw_pictures().is_contiguous(memory_format=torch.channels_last)
    assert len(case.draw_labels()) == 2
    assert int(case.draw_labels().max()) < 3


def test_the_logits_of_two_pictures_differ_so_that_a_wrong_net_shows(case: Case) -> None:
    logits = case.reference(crossing=False)
    assert difference(logits[:1], logits[1:]) > 0.05


def test_norms_across_columns_are_another_function_where_ours_end_there(case: Case) -> None:
    assert case.crosses_columns
    within, across = case.reference(crossing=False), case.reference(crossing=True)
    assert difference(across, within) > 1e-4
    single = replace(case, net="caffenet")
    assert not single.crosses_columns
    assert torch.equal(single.reference(crossing=True), single.reference(crossing=False))


def test_the_difference_is_a_share_of_the_largest_logit() -> None:
    assert difference(torch.tensor([[1.0, -8.0]]), torch.tensor([[2.0, -10.0]])) == 0.2


def test_an_answer_within_the_tolerance_is_reported() -> None:
    reference = torch.tensor([[1.0, 2.0]])
    answer = reference + 5e-4
    assert check_answer(contender(answer), answer, reference) == pytest.approx(2.5e-4, rel=1e-3)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.tensor([[1.0, 2.1]]), "somebody differs from our logits by 0.05 of their scale"),
        (torch.tensor([[1.0, torch.nan]]), "somebody differs from our logits by nan"),
        (torch.tensor([[1.0]]), r"answers with shape \(1, 1\), ours \(1, 2\)"),
    ],
)
def test_another_function_is_not_timed(answer: torch.Tensor, message: str) -> None:
    with pytest.raises(WrongAnswer, match=message):
        check_answer(contender(answer), answer, torch.tensor([[1.0, 2.0]]))


def test_a_missing_package_is_named_with_what_installs_it() -> None:
    message = "keras needs no_such_package, not installed here; pip install no_such_package"
    with pytest.raises(PeerMissing, match=message):
        require(("no_such_package.part", "torch"), peer="keras")
    check_installed(("torch", "numpy"), peer="nobody")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch", 0, "batch is 0; it must be at least 1"),
        ("threads", 0, "threads is 0; it must be at least 1"),
        ("input_size", 20, "input size 20 leaves no pixel at pool5"),
        ("net", "alexnt", "no net is called 'alexnt'"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    case: Case, field: str, value: int | str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(case, **{field: value})  # type: ignore[arg-type]


def test_nets_of_other_families_are_timed_alone_and_say_so_of_others() -> None:
    case = Case(net="resnet18", batch=2, classes=3, input_size=32)
    assert not case.crosses_columns
    logits = case.reference(crossing=True)
    with torch.inference_mode():
        assert difference(case.draw_net().eval()(case.draw_pictures()), logits) < 1e-5
    message = (
        "only the nets called AlexNet are built for others to run, and resnet18 is not one; "
        "use one of alexnet, alexnet-2012, .*, or leave --against out"
    )
    with pytest.raises(ValueError, match=message):
        case.draw_alexnet()


def test_a_case_of_a_grey_net_draws_grey_pictures() -> None:
    case = Case(net="lenet-5", batch=2, classes=10)
    assert case.draw_pictures().shape == (2, 1, 32, 32)
    assert case.reference(crossing=False).shape == (2, 10)


def test_a_net_whose_layers_form_no_chain_is_run_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Graph(Chain):
        """y = fc(x) + fc(x), which its children in a row are not."""

        branches = True

        def __init__(self) -> None:
            super().__init__()
            self.classes, self.input_size = 3, 4
            self.flatten, self.fc = nn.Flatten(), nn.Linear(48, 3)

        def forward(self, x: torch.Tensor, *, upto: str | None = None) -> torch.Tensor:
            y: torch.Tensor = self.fc(self.flatten(x))
            return y + y

    torch.manual_seed(0)
    net, case = Graph(), Case(net="resnet18", batch=2, input_size=32)
    monkeypatch.setattr(Case, "draw_net", lambda _: net)
    monkeypatch.setattr(Case, "side", 4)
    x = case.draw_pictures()
    assert torch.equal(case.reference(crossing=False), net(x).detach())
    with pytest.raises(ValueError, match="the layers of resnet18 form no chain, so that none can"):
        time_layers(case, repeats=1)
