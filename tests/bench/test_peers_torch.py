"""The net in plain PyTorch."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet.bench import peers_torch
from alexnet.bench.case import Case, WrongAnswer, check_answer, difference
from alexnet.bench.peers_torch import inference, plain_net, training
from alexnet.nets import ALEXNETS


@pytest.mark.parametrize("name", ALEXNETS)
def test_every_net_in_plain_torch_answers_as_ours(name: str, case: Case) -> None:
    case = replace(case, net=name)
    theirs = inference(case)
    assert theirs.answer is not None
    assert difference(theirs.answer(), case.reference(crossing=True)) < 1e-5
    layers = {type(layer).__module__.split(".")[0] for layer in plain_net(case)}
    assert layers <= {"torch", "alexnet"}
    own = [type(layer) for layer in plain_net(case) if type(layer).__module__.startswith("alexnet")]
    assert set(own) <= {peers_torch.SpatialNorm}


def test_a_norm_with_the_papers_alpha_undivided_would_be_found_out(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_torch, "torch_alpha", lambda variant: variant.norm.alpha)
    theirs = inference(case)
    assert theirs.answer is not None
    with pytest.raises(WrongAnswer, match="it is not the same net"):
        check_answer(theirs, theirs.answer(), case.reference(crossing=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_trains_it(case: Case, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_torch, "RATE", 1e-3)
    torch.manual_seed(0)
    theirs = training(case.with_precision("bf16" if precision == "bf16" else "fp32"))
    assert (theirs.name, theirs.precision) == ("torch", precision)
    assert theirs.answer is not None
    before = theirs.answer()
    assert theirs.lap(1) > 0
    assert difference(theirs.answer(), before) > 1e-4


def test_what_is_compiled_is_the_net_that_answers(case: Case) -> None:
    """A compilation takes a minute: the net is handed to a stand-in for torch.compile."""
    seen: list[nn.Module] = []

    def compiled(net: nn.Module) -> nn.Module:
        seen.append(net)
        return net

    for build in (training, inference):
        theirs = build(case, compiled)
        assert (theirs.name, theirs.note) == ("compile", "channels last in memory")
        assert theirs.answer is not None
        assert difference(theirs.answer(), case.reference(crossing=True)) < 1e-5
        theirs.lap(1)
    assert len(seen) == 2
