"""Outputs of a net, one line a number, and their means over batches."""

import io

import pytest
import torch

from alexnet.caffe.log import log_to
from alexnet.caffe.scores import Score, Scores, score_net, scores_of
from tests.caffe.conftest import Make


def test_an_output_that_is_part_of_the_loss_says_its_part() -> None:
    assert str(Score("loss", 0.25, 2.0)) == "loss = 0.25 (* 2 = 0.5 loss)"
    assert str(Score("accuracy", 0.987654321, 0.0)) == "accuracy = 0.987654"


def test_numbers_have_six_digits_as_c_plus_plus_prints_them() -> None:
    assert str(Score("a", 1234567.0, 0.0)) == "a = 1.23457e+06"
    assert str(Score("a", 1e-5, 0.0)) == "a = 1e-05"


def test_outputs_stand_in_the_order_of_their_names(make: Make) -> None:
    net = make("sgd").test_nets[0]
    values = {"loss": torch.tensor(0.5), "accuracy": torch.tensor([0.25, 0.75])}
    found = list(scores_of(net, values))
    assert found == [("accuracy", 0.25, 0.0), ("accuracy", 0.75, 0.0), ("loss", 0.5, 1.0)]


def test_means_are_those_of_all_batches(make: Make) -> None:
    net = make("sgd").test_nets[0]
    results = [net.run() for _ in range(3)]
    scores = Scores(net)
    for result in results:
        scores.add(result)
    losses = [float(result.loss.detach()) for result in results]
    assert scores.loss == pytest.approx(sum(losses) / 3, rel=1e-6)
    hits = [float(result.blobs["accuracy"]) for result in results]
    assert scores.means()[0].value == pytest.approx(sum(hits) / 3, rel=1e-6)


def test_without_a_batch_there_is_no_mean(make: Make) -> None:
    assert Scores(make("sgd").test_nets[0]).means() == []


def test_a_net_is_scored_batch_by_batch_in_caffes_words(make: Make) -> None:
    log = io.StringIO()
    with log_to(log):
        net = make("sgd", 'weights: "start.caffemodel.h5"').test_nets[0]
        score_net(net, 2)
    lines = [line.split("] ", 1)[-1] for line in log.getvalue().splitlines()]
    tail = lines[lines.index("Running for 2 iterations.") + 1 :]
    names = [line.partition(" = ")[0] for line in tail]
    batches = [f"Batch {batch}, {name}" for batch in (0, 1) for name in ("accuracy", "loss")]
    assert names[:-3] == batches
    assert tail[-3].startswith("Loss: ")
    loss = tail[-3].removeprefix("Loss: ")
    assert tail[-1] == f"loss = {loss} (* 1 = {loss} loss)"


def test_no_batch_at_all_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="iterations is 0; run at least 1"):
        score_net(make("sgd").test_nets[0], 0)
