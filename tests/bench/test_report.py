"""A comparison from beginning to end."""

import json

import pytest
import torch

from alexnet.bench.case import Case, Contender, WrongAnswer
from alexnet.bench.peers import Chosen, choose
from alexnet.bench.report import compare
from alexnet.bench.work import training_flop


def test_ours_and_torch_in_turn(case: Case) -> None:
    report = compare("train", case, choose(["torch"], "train", "fp32"), repeats=2)
    ours, theirs = report.row("ours"), report.row("torch:fp32")
    assert [row.name for row in report.rows] == ["ours", "torch:fp32"]
    for row in report.rows:
        assert row.n == 2
        assert row.images_per_second == pytest.approx(2 / row.median_ms * 1e3)
        share = training_flop(case) / (row.median_ms / 1e3) / report.gemm_ceilings["fp32"]
        assert row.share_of_gemm_ceiling == pytest.approx(share)
        assert row.difference is not None
        assert row.difference < 1e-5
    assert ours.times_ours == 1.0
    assert ours.peak_memory_mib is not None
    assert theirs.peak_memory_mib is None
    assert any("run across the edge of a column" in note for note in report.notes)
    assert json.loads(json.dumps(report.to_json()))["input_size"] == 67


def test_a_peer_that_computes_something_else_is_not_timed(case: Case) -> None:
    laps: list[int] = []

    def build(case: Case) -> Contender:
        def lap(calls: int) -> float:
            laps.append(calls)
            return 1.0

        return Contender("liar", "fp32", lap, lambda: torch.zeros(2, 3))

    with pytest.raises(WrongAnswer, match="liar differs from our logits by 1 of their scale"):
        compare("infer", case, [Chosen("liar", "fp32", build)], repeats=1)
    assert not laps


def test_a_peer_without_answers_is_timed_and_its_note_printed(case: Case) -> None:
    chosen = Chosen("mute", "fp32", lambda _: Contender("mute", "int8", lambda _: 2.0, None, "hm"))
    said: list[str] = []
    report = compare("infer", case, [chosen], repeats=3, say=said.append)
    row = report.row("mute:int8")
    assert (row.median_ms, row.spread_ms, row.difference) == (2000.0, 0.0, None)
    assert row.share_of_gemm_ceiling is None
    assert row.times_ours > 1
    assert "mute:int8: hm" in report.notes
    assert said == ["setting up mute in fp32", "timing ours, mute:int8 in turn, 3 times"]
