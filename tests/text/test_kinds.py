"""All kinds of layers are found by the names of the original's, and none hides another."""

from alexnet.text import (
    combining,
    losses,
    metric_losses,
    neurons,
    norms,
    output,
    recurrent,
    shaping,
    sources,
    spatial,
    vision,
)
from alexnet.text.kind import MANY
from alexnet.text.kinds import KINDS

MODULES = (
    *(combining, losses, metric_losses, neurons, norms, output),
    *(recurrent, shaping, sources, spatial, vision),
)
# Every REGISTER_LAYER_CLASS and REGISTER_LAYER_CREATOR of BVLC Caffe, as of 2020.
ORIGINAL = """
AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop
Data Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data
HDF5Output HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN
MemoryData MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape
SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH
Threshold Tile WindowData
"""


def test_the_kinds_are_those_of_the_original() -> None:
    assert set(KINDS) == set(ORIGINAL.split())


def test_no_kind_stands_in_two_files() -> None:
    assert sum(len(module.KINDS) for module in MODULES) == len(KINDS)


def test_counts_of_bottoms_and_tops_are_ranges() -> None:
    for name, kind in KINDS.items():
        for least, most in (kind.bottoms, kind.tops):
            assert 0 <= least <= most <= MANY, name
        assert not kind.loss or kind.tops[0] == 1, name
