"""Nets with branches beside BVLC Caffe, which reads our weights: needs ALEXNET_CAFFE, its program.

The nets are those of the tests beside OpenCV, with what OpenCV does not know or computes otherwise.
"""

import os
from pathlib import Path

import pytest

pytest.importorskip("cv2")
pytest.importorskip("h5py")

from benchmarks.caffe_equality import compare, run_caffe
from tests.caffe.test_opencv import CLOSE, NETS, SIZES, draw_case, layer

CAFFE = os.environ.get("ALEXNET_CAFFE", "")
pytestmark = pytest.mark.skipif(not CAFFE, reason="ALEXNET_CAFFE names no program")
MORE = {
    "AlexNet": NETS["AlexNet"].replace("beta: 0.75", "beta: 0.75 k: 2"),
    "scalars": NETS["scalars"]
    + layer("bias", "Bias", "conv")
    + layer("best", "ArgMax", "conv", "argmax_param { axis: 1 }")
    + layer("within", "LRN", "conv", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 }"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETS)
def test_blobs_equal_caffes(name: str, size: tuple[int, int, int], tmp_path: Path) -> None:
    case = draw_case(MORE.get(name, NETS[name]), size, tmp_path)
    case.net.blobs["data"].data[...] = case.pictures
    case.net.forward()
    ours = {n: blob.data for n, blob in case.net.blobs.items() if n != "data"}

    theirs = run_caffe(Path(CAFFE), case.text, case.weights, case.pictures, list(ours))

    assert {n: d for n, d in compare(ours, theirs).items() if not d < CLOSE} == {}
