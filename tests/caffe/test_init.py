"""`import alexnet.caffe as caffe`: the names that scripts take from it."""

import pytest
import torch

import alexnet.caffe as caffe
from alexnet.caffe import pictures, pycaffe
from alexnet.caffe.classifier import Classifier


def test_names_are_those_of_the_modules() -> None:
    assert caffe.io is pictures
    assert caffe.io.Transformer is caffe.Transformer
    assert caffe.Net is pycaffe.Net
    assert caffe.Classifier is Classifier
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_the_cpu_is_the_only_mode() -> None:
    caffe.set_mode_cpu()
    with pytest.raises(ValueError, match=r"run on the CPU.*call set_mode_cpu\(\), or run"):
        caffe.set_mode_gpu()
    with pytest.raises(ValueError, match=r"device 1 cannot be set.*with --gpu 1"):
        caffe.set_device(1)


def test_a_seed_decides_what_is_drawn() -> None:
    before = torch.get_rng_state()
    try:
        caffe.set_random_seed(3)
        first = torch.rand(4)
        caffe.set_random_seed(3)
        assert torch.equal(first, torch.rand(4))
    finally:
        torch.set_rng_state(before)


def test_the_kinds_of_layers_are_listed() -> None:
    kinds = caffe.layer_type_list()
    assert kinds == sorted(kinds)
    assert {"Convolution", "LRN", "SoftmaxWithLoss"} <= set(kinds)
