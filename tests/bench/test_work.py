"""What is timed of ours."""

import pytest
import torch

from alexnet.bench import work
from alexnet.bench.case import Case, Precision, difference
from alexnet.bench.work import inference, inference_flop, training, training_flop


def test_the_papers_operations_a_picture() -> None:
    case = Case(batch=4)
    products, conv1 = 724_406_816, 55 * 55 * 96 * 11 * 11 * 3
    assert inference_flop(case) == 4 * 2 * products
    assert training_flop(case) == 4 * (6 * products - 2 * conv1)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 1e-5), ("bf16", 0.05), ("int8", 0.1)])
def test_our_answer_is_the_nets(case: Case, precision: Precision, most: float) -> None:
    ours = inference(case.with_precision(precision))
    assert ours.answer is not None
    answer = ours.answer()
    assert answer.dtype == torch.float32
    assert difference(answer, case.reference(crossing=False)) < most
    assert ours.lap(2) > 0


def test_a_training_step_moves_the_weights(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "RATE", 1e-3)
    torch.manual_seed(0)
    ours = training(case)
    assert ours.answer is not None
    before = ours.answer()
    assert difference(before, case.reference(crossing=False)) < 1e-5
    ours.lap(1)
    assert difference(ours.answer(), before) > 1e-4
