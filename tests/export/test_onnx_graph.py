"""A graph while it is written."""

import numpy as np
import pytest
import torch

from alexnet.export import onnx_graph
from alexnet.export.onnx_graph import NO_PADS, Graph, Pads, Value


def test_what_is_to_be_done_to_a_value_is_done_when_it_settles() -> None:
    graph = Graph()
    value = graph.settled(Value("x", (3, 4, 5), 0.5, Pads(1, 2, 3, 4)))
    assert [node.op_type for node in graph.nodes] == ["Mul", "Pad"]
    assert value == Value("x.kept.padded", (3, 8, 11), 1.0, NO_PADS)
    assert graph.settled(value) == value
    assert len(graph.nodes) == 2


def test_more_weights_than_a_file_may_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 100)
    graph = Graph()
    graph.constant("a", np.zeros(20, np.float32))
    assert graph.bytes == 80
    with pytest.raises(ValueError, match="which a file of ONNX may hold; export with --weights"):
        graph.kernel("b", torch.zeros(6))
    halved = Graph(weights="bf16")
    halved.kernel("a", torch.zeros(50))
    with pytest.raises(ValueError, match="which a file of ONNX may hold; export with --weights"):
        halved.kernel("b", torch.zeros(1))


def test_weights_that_are_not_finite_have_no_int8() -> None:
    with pytest.raises(ValueError, match="a weight is not finite"):
        Graph(weights="int8").matrix("w", torch.tensor([[1.0, float("nan")]]))
