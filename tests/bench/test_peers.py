"""Names of peers, and what is said where one is not known or not there."""

import shutil

import pytest

from alexnet.bench import case as case_module
from alexnet.bench import peers_torch
from alexnet.bench.case import PeerMissing
from alexnet.bench.peers import PEERS, choose


def test_a_peer_takes_our_precision_or_its_own() -> None:
    chosen = choose(["torch", "torch:fp32"], "train", "bf16")
    assert [(each.name, each.precision) for each in chosen] == [
        ("torch", "bf16"),
        ("torch", "fp32"),
    ]
    assert chosen[0].build is peers_torch.training
    assert choose(["torch", "torch"], "infer", "fp32")[0].build is peers_torch.inference


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tourch", r"nobody to compare with is called 'tourch' \(did you mean 'torch'\?\); there"),
        ("torch:fp23", r"no precision is called 'fp23' \(did you mean 'fp32'\?\); write torch:"),
        ("torch:int8", "torch is timed in fp32 and bf16, not in int8; write torch:bf16"),
        ("openvino", "openvino does not train; compare its answers: alexnet bench infer"),
    ],
)
def test_what_cannot_be_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose([word], "train", "fp32")


def test_who_is_not_installed_is_known_before_anything_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(case_module, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    needs = {
        "onnxruntime": "onnxruntime needs onnxruntime onnx, .* pip install onnxruntime onnx",
        "openvino": "openvino needs openvino onnx, .* pip install openvino onnx",
        "keras": "keras needs keras, not installed here; pip install keras",
        "caffe": "caffe is not installed here; build BVLC Caffe",
        "compile": r"compile needs a C\+\+ compiler, not installed here; install g\+\+",
    }
    assert {*needs, "torch"} == set(PEERS)
    for name, message in needs.items():
        with pytest.raises(PeerMissing, match=message):
            choose([name], "infer", "fp32")
