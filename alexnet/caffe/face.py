"""All names that a script for pycaffe finds in `caffe`; `alexnet.caffe` hands them on.

Source: BVLC Caffe, python/caffe/__init__.py.
"""

import torch

from alexnet.caffe import pictures as io
from alexnet.caffe.classifier import Classifier
from alexnet.caffe.pictures import Transformer
from alexnet.caffe.pycaffe import TEST, TRAIN, Net
from alexnet.text.kinds import KINDS

__all__ = [
    "TEST",
    "TRAIN",
    "Classifier",
    "Net",
    "Transformer",
    "io",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]


def set_mode_cpu() -> None:
    """Do nothing: nets of this face run on the CPU."""


def set_mode_gpu() -> None:
    """Refuse: blobs are numpy's arrays here, in the CPU's memory.

    Raises: ValueError always, with what to do instead.
    """
    raise ValueError(
        "nets of alexnet.caffe run on the CPU, where their arrays are; call set_mode_cpu(), or "
        "run `alexnet caffe train`, `test` or `time` with --gpu 0"
    )


def set_device(device: int) -> None:
    """Refuse, as `set_mode_gpu` does.

    Raises: ValueError always.
    """
    raise ValueError(
        f"device {device} cannot be set: nets of alexnet.caffe run on the CPU; leave the call out, "
        f"or run `alexnet caffe train`, `test` or `time` with --gpu {device}"
    )


def set_random_seed(seed: int) -> None:
    """Seed the generator that fillers and dropout draw from."""
    torch.manual_seed(seed)


def layer_type_list() -> list[str]:
    """Return the kinds of layers that nets may have."""
    return sorted(KINDS)
