"""BVLC Caffe: its own `caffe time` on the net, with data that it makes up.

Caffe is a program of its own: each turn starts it once, and what it prints of its iterations is
taken. There are no answers to compare, and a training step is forward and backward without the
update. ALEXNET_CAFFE names the program, else it is looked for on PATH.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from alexnet.bench.case import Case, Contender, PeerMissing
from alexnet.bench.geometry import (
    conv1_padding,
    convolution_geometry,
    kind_of,
    pools_divide,
    torch_alpha,
)
from alexnet.nets.alexnet import POOL_STRIDE, AlexNet

PASSES = {"TRAIN": "Forward-Backward", "TEST": "Forward pass"}


def training(case: Case) -> Contender:
    """Return Caffe's forward and backward pass.

    Raises: PeerMissing if there is no caffe, ValueError for a net that Caffe has no layers for.
    """
    return _contender(case, "TRAIN", "forward and backward only; answers not compared")


def inference(case: Case) -> Contender:
    """Return Caffe's forward pass.

    Raises: as `training`.
    """
    return _contender(case, "TEST", "answers not compared")


def find_program() -> str:
    """Return the caffe to run.

    Raises: PeerMissing if there is none.
    """
    program = shutil.which(os.environ.get("ALEXNET_CAFFE") or "caffe")
    if program is None:
        raise PeerMissing(
            "caffe is not installed here; build BVLC Caffe (there is no package to pip install) "
            "and set ALEXNET_CAFFE to the program"
        )
    return program


def prototxt(case: Case) -> str:
    """Return the net as Caffe's network definition, with pictures and labels that it makes up.

    Raises: ValueError if Caffe has no such layer.
    """
    with torch.device("meta"):
        net = case.variant.build(classes=case.classes, input_size=case.side)
    layers = [
        f"""name: "{case.net}"
layer {{ name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {{
  shape {{ dim: {case.batch} dim: 3 dim: {case.side} dim: {case.side} }}
  shape {{ dim: {case.batch} }}
  data_filler {{ type: "gaussian" std: 30 }} data_filler {{ type: "constant" }} }} }}"""
    ]
    bottom = "data"
    for name, _ in net.named_children():
        text, bottom = _layer(name, bottom, net, case)
        layers += [text] if text else []
    layers.append(
        f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "label" '
        'top: "loss" }'
    )
    return "\n".join(layers) + "\n"


def _contender(case: Case, phase: str, note: str) -> Contender:
    program = find_program()
    text = prototxt(case)

    def lap(calls: int) -> float:
        with tempfile.TemporaryDirectory(prefix="alexnet-bench-") as folder:
            path = Path(folder) / "net.prototxt"
            path.write_text(text)
            return _time(program, path, phase, calls, case.threads)

    return Contender("caffe", "fp32", lap, None, note)


def _time(program: str, path: Path, phase: str, iterations: int, threads: int) -> float:
    """Run `caffe time` and return the seconds of one iteration."""
    words = [program, "time", f"-model={path}", f"-phase={phase}", f"-iterations={iterations}"]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(threads))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    printed = done.stderr + done.stdout
    found = re.search(rf"Average {PASSES[phase]}: ([0-9.e+-]+) ms", printed)
    if done.returncode or not found:
        lines = printed.strip().splitlines()[-3:] or ["nothing"]
        raise OSError(
            f"{program} time ended with code {done.returncode} and no average; it said: "
            + " / ".join(lines)
        )
    return float(found[1]) / 1e3


def _layer(name: str, bottom: str, net: AlexNet, case: Case) -> tuple[str, str]:
    """Return a layer's text, empty where Caffe needs none, and the blob that holds its output."""
    variant, kind = case.variant, kind_of(name)
    if kind == "pad":
        left, right, above, below = conv1_padding(variant, case.side)
        if not left == right == above == below:
            raise ValueError(
                f"caffe pads all sides alike, {case.net} does not; use --net bvlc-alexnet"
            )
    if kind == "average":
        side, wanted = variant.pool5_size(case.side), variant.average_pool or 1
        if side != wanted:
            raise ValueError(
                f"caffe has no average pool from {side} to {wanted} pixels; "
                f"use --input-size {variant.input_size}"
            )
    if kind in ("pad", "average", "flatten"):  # conv1 pads, InnerProduct reads any shape
        return "", bottom
    type_, fields = _type(name, net, case)
    top = bottom if kind in ("relu", "tanh", "drop") else name
    ends = f'bottom: "{bottom}" top: "{top}"'
    return f'layer {{ name: "{name}" type: "{type_}" {ends} {fields} }}', top


def _type(name: str, net: AlexNet, case: Case) -> tuple[str, str]:
    """Return the type of a layer and its parameters, as Caffe writes them."""
    variant, norm = case.variant, case.variant.norm
    match kind_of(name):
        case "conv":
            return "Convolution", _convolution(name, net, case)
        case "fc":
            outputs = net.get_parameter(f"{name}.bias").numel()
            filler = 'weight_filler { type: "gaussian" std: 0.01 }'
            return "InnerProduct", f"inner_product_param {{ num_output: {outputs} {filler} }}"
        case "relu":
            return "ReLU", ""
        case "tanh":
            return "TanH", ""
        case "drop":
            return "Dropout", f"dropout_param {{ dropout_ratio: {variant.dropout_rate} }}"
        case "norm":
            size, alpha = norm.window, torch_alpha(variant)
            constants = f"alpha: {alpha:g} beta: {norm.beta:g} k: {norm.bias:g}"
            return "LRN", f"lrn_param {{ local_size: {size} {constants} }}"
        case "cnorm":
            constants = f"local_size: 5 alpha: {variant.spatial_alpha:g} beta: 0.75"
            return "LRN", f"lrn_param {{ {constants} norm_region: WITHIN_CHANNEL }}"
        case "pool":  # Caffe rounds up; only newer versions can be told otherwise
            down = variant.pool_rounding == "floor" and not pools_divide(variant, case.side)
            window = f"kernel_size: {variant.pool_size} stride: {POOL_STRIDE}"
            rounding = " round_mode: FLOOR" if down else ""
            return "Pooling", f"pooling_param {{ pool: MAX {window}{rounding} }}"
    raise AssertionError(f"no layer of Caffe for {name}")


def _convolution(name: str, net: AlexNet, case: Case) -> str:
    kernels, _, size, _ = net.get_parameter(f"{name}.weight").shape
    stride, padding, groups = convolution_geometry(net, name)
    if name == "conv1":
        padding = conv1_padding(case.variant, case.side)[0]
    return (
        f"convolution_param {{ num_output: {kernels} kernel_size: {size} stride: {stride} "
        f'pad: {padding} group: {groups} weight_filler {{ type: "gaussian" std: 0.01 }} }}'
    )
