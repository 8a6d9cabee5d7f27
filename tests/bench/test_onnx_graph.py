"""The ONNX graph: its nodes and its refusals. What it computes is tested by those who run it."""

from dataclasses import replace

import pytest

from alexnet.bench.case import Case
from alexnet.bench.onnx_graph import onnx_model

pytest.importorskip("onnx")


def test_the_graph_is_the_paper_node_by_node(case: Case) -> None:
    graph = onnx_model(case, peer="onnxruntime").graph
    operators = " ".join(node.op_type for node in graph.node)
    assert operators == (
        "Conv Relu LRN MaxPool Conv Relu LRN MaxPool Conv Relu Conv Relu Conv Relu MaxPool "
        "Flatten Gemm Relu Gemm Relu Gemm"
    )
    attributes = {a.name: a for a in graph.node[2].attribute}
    assert attributes["size"].i == 5
    assert attributes["alpha"].f == pytest.approx(5e-4)  # ONNX divides it by the window
    assert attributes["bias"].f == 2.0
    groups = [a.i for node in graph.node for a in node.attribute if a.name == "group"]
    assert groups == [1, 2, 1, 2, 2]


def test_zeros_around_the_picture_are_conv1s_padding(case: Case) -> None:
    graph = onnx_model(replace(case, net="keras", input_size=64), peer="onnxruntime").graph
    pads = next(a.ints for a in graph.node[0].attribute if a.name == "pads")
    assert list(pads) == [3, 3, 0, 0]  # above, left, below, right


def test_an_average_pool_that_does_not_divide_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="from 1 to 6 pixels; use --input-size 224"):
        onnx_model(replace(case, net="torchvision", input_size=67), peer="onnxruntime")
