"""ONNX Runtime and OpenVINO compute our nets."""

from dataclasses import replace

import pytest

from alexnet.bench import peers_onnx
from alexnet.bench.case import Case, check_answer, difference

pytest.importorskip("onnx")
NETS = ("alexnet", "alexnet-2012", "keras")


@pytest.mark.parametrize("name", NETS)
def test_onnx_runtime_answers_as_ours(name: str, case: Case) -> None:
    pytest.importorskip("onnxruntime")
    case = replace(case, net=name)
    theirs = peers_onnx.onnxruntime(case)
    assert theirs.answer is not None
    assert difference(theirs.answer(), case.reference(crossing=True)) < 1e-5
    assert theirs.lap(2) > 0


def test_onnx_runtime_says_that_it_has_no_bf16(case: Case) -> None:
    pytest.importorskip("onnxruntime")
    theirs = peers_onnx.onnxruntime(case.with_precision("bf16"))
    assert (theirs.precision, theirs.note) == ("fp32", "has no bf16 on a CPU: float32")


@pytest.mark.filterwarnings("ignore:.*SwigPy.*:DeprecationWarning")
@pytest.mark.parametrize("name", NETS)
def test_openvino_answers_as_ours(name: str, case: Case) -> None:
    pytest.importorskip("openvino")
    case = replace(case, net=name)
    theirs = peers_onnx.openvino(case)
    assert theirs.answer is not None
    assert difference(theirs.answer(), case.reference(crossing=True)) < 1e-5
    assert theirs.lap(2) > 0


def test_int8_is_the_same_net_rounded(case: Case) -> None:
    pytest.importorskip("onnxruntime")
    theirs = peers_onnx.onnxruntime(case.with_precision("int8"))
    assert theirs.answer is not None
    found = check_answer(theirs, theirs.answer(), case.reference(crossing=True))
    assert 1e-4 < found < 0.2  # 8 bits in eight layers
