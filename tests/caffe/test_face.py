"""What scripts call before they open a net: modes, devices, seeds, kinds of layers."""

import pytest
import torch

from alexnet.caffe import face


def test_the_cpu_is_the_only_mode() -> None:
    face.set_mode_cpu()
    with pytest.raises(ValueError, match=r"run on the CPU.*call set_mode_cpu\(\), or run"):
        face.set_mode_gpu()
    with pytest.raises(ValueError, match=r"device 1 cannot be set.*with --gpu 1"):
        face.set_device(1)


def test_a_seed_decides_what_is_drawn() -> None:
    before = torch.get_rng_state()
    try:
        face.set_random_seed(3)
        first = torch.rand(4)
        face.set_random_seed(3)
        assert torch.equal(first, torch.rand(4))
    finally:
        torch.set_rng_state(before)


def test_the_kinds_of_layers_are_listed() -> None:
    kinds = face.layer_type_list()
    assert kinds == sorted(kinds)
    assert {"Convolution", "LRN", "SoftmaxWithLoss"} <= set(kinds)
