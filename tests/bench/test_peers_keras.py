"""Keras computes our nets, where it is installed."""

import os
from dataclasses import replace

import pytest

from alexnet.bench.case import Case, PeerMissing, difference
from alexnet.bench.peers_keras import inference, training


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on torch
@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "keras"])
def test_it_answers_as_ours_and_trains(
    name: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    pytest.importorskip("keras")
    case = replace(case, net=name)
    reference = case.reference(crossing=True)
    for build in (inference, training):
        theirs = build(case)
        assert theirs.answer is not None
        assert difference(theirs.answer(), reference) < 1e-5
        assert theirs.lap(1) > 0
        assert theirs.note.startswith("Keras 3")


def test_without_keras_the_package_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alexnet.bench.case.find_spec", lambda _: None)
    with pytest.raises(PeerMissing, match="keras needs keras, not installed here; pip install"):
        inference(case)


@pytest.mark.parametrize(
    ("net", "size", "message"),
    [
        ("caffenet", 231, "the pools of caffenet round up at 231 pixels, those of Keras down"),
        ("torchvision", 67, "keras has no average pool from 1 to 6 pixels; use --input-size 224"),
    ],
)
def test_pools_that_keras_lacks_are_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch, net: str, size: int, message: str
) -> None:
    monkeypatch.setattr("alexnet.bench.peers_keras.require", lambda modules, peer: [None])
    with pytest.raises(ValueError, match=message):
        inference(replace(case, net=net, input_size=size))


def test_int8_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="keras is timed in fp32 and bf16; use --against keras:"):
        inference(case.with_precision("int8"))
