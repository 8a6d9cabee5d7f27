"""Each layer that was held to the original alone gives the same in a net from text."""

import numpy as np
import pytest
import torch

from alexnet.text.graph import TextNet
from alexnet.text.prototxt import parse
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import RELATIVE

NAMES = "vision", "norms", "neurons", "losses", "shaping"
CASES = [case for name in NAMES for case in read_cases(name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_in_a_net_gives_what_the_original_gives(case: Case) -> None:
    text = ""
    for index, bottom in enumerate(case.bottoms):
        dims = " ".join(f"dim: {side}" for side in bottom.shape)
        text += (
            f'layer {{ name: "in{index}" type: "Input" top: "x{index}" '
            f"input_param {{ shape {{ {dims} }} }} }}\n"
        )
    net = TextNet(parse(text + case.layer, "NetParameter"), "TRAIN")
    given = case.numbered("blob")
    assert net.load_blobs({"layer": given} if given else {}) == []
    arrays = case.numbered("x")
    xs = {
        f"x{i}": torch.from_numpy(x).requires_grad_(case.bottoms[i].learns)
        for i, x in enumerate(arrays)
    }
    tops = net.run(xs).blobs
    wanted = {f"y{i}": y for i, y in enumerate(case.numbered("y"))}
    assert tops.keys() == wanted.keys()
    for name, y in wanted.items():
        largest = float(np.abs(y[np.isfinite(y)]).max(initial=0))
        np.testing.assert_allclose(
            tops[name].detach(), y, rtol=RELATIVE, atol=RELATIVE * largest, err_msg=name
        )
    weights = case.numbered("w")
    loss = sum((tops[f"y{i}"] * torch.from_numpy(w)).sum() for i, w in enumerate(weights))
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
    for index in range(len(arrays)):
        if f"dx{index}" in case.arrays:
            theirs, ours = case.arrays[f"dx{index}"], xs[f"x{index}"].grad
            largest = float(np.abs(theirs).max(initial=0))
            found = np.zeros_like(theirs) if ours is None else ours.numpy()
            np.testing.assert_allclose(found, theirs, rtol=RELATIVE, atol=RELATIVE * largest)
