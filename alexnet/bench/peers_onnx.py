"""ONNX Runtime and OpenVINO on the graph that `alexnet export` writes; answers only.

Its norms run across the columns here, as those of the other peers do: one LRN for a norm.

int8 is a graph that ONNX Runtime's static quantisation wrote: 8-bit weights, a scale for each
channel, and 8-bit activations whose ranges were seen on the pictures that are timed.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet.bench.case import Case, Contender, require
from alexnet.export.onnx_net import INPUTS, net_model
from alexnet.measure import stopwatch


def onnxruntime(case: Case) -> Contender:
    """Return an answer by ONNX Runtime; bf16, which it lacks on a CPU, is done in float32.

    Raises: PeerMissing if onnxruntime or onnx is not installed.
    """
    (runtime,) = require(("onnxruntime", "onnx"), peer="onnxruntime")[:1]
    note = "has no bf16 on a CPU: float32" if case.precision == "bf16" else ""
    case = case.with_precision("int8" if case.precision == "int8" else "fp32")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = case.threads
    options.log_severity_level = 3
    # Its threads would go on spinning after an answer, in the time of those who come next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(
        _model(case, peer="onnxruntime").SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    feed = {INPUTS: _pictures(case)}

    def answer() -> Tensor:
        return torch.from_numpy(session.run(None, feed)[0])

    return Contender("onnxruntime", case.precision, stopwatch(answer), answer, note)


def openvino(case: Case) -> Contender:
    """Return an answer by OpenVINO, which chooses bf16 itself where the chip has it and we ask.

    Raises: PeerMissing if openvino or onnx is not installed, and for int8 onnxruntime.
    """
    (vino,) = require(("openvino", "onnx"), peer="openvino")[:1]
    core = vino.Core()
    compiled = core.compile_model(
        core.read_model(_model(case, peer="openvino").SerializeToString()),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32" if case.precision == "fp32" else "bf16",
            "INFERENCE_NUM_THREADS": case.threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request = compiled.create_infer_request()
    pictures = [_pictures(case)]

    def answer() -> Tensor:
        outputs = request.infer(pictures, share_inputs=True, share_outputs=True)
        return torch.from_numpy(outputs[0])

    found = str(compiled.get_property("INFERENCE_PRECISION_HINT"))
    wanted_bf16 = case.precision == "bf16"
    note = "this chip has no bf16: float32" if wanted_bf16 and "bf" not in found else ""
    return Contender("openvino", case.precision, stopwatch(answer), answer, note)


class Calibration:
    """Hands the quantisation the pictures of the case, once."""

    def __init__(self, pictures: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        self._batches: Iterator[dict[str, Any]] = iter([{INPUTS: pictures}])

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, None after the last."""
        return next(self._batches, None)


def _model(case: Case, *, peer: str) -> Any:
    require(("onnx",), peer=peer)
    assert case.variant  # only the nets called AlexNet are timed against others
    net = case.draw_crossing().eval()
    model = net_model(net, channels=case.architecture.channels, batch=case.batch)
    if case.precision != "int8":
        return model
    onnx, quantization, shapes = require(
        ("onnx", "onnxruntime.quantization", "onnxruntime.quantization.shape_inference"),
        peer=f"{peer} in int8",
    )
    with tempfile.TemporaryDirectory(prefix="alexnet-bench-") as folder:
        prepared, quantised = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        shapes.quant_pre_process(model, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            quantised,
            Calibration(_pictures(case)),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=["Conv", "Gemm", "MaxPool"],
        )
        return onnx.load(quantised)


def _pictures(case: Case) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ascontiguousarray(case.draw_pictures().numpy())
