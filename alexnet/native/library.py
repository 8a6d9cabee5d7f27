"""The compiled kernels of this machine: found, loaded and described to ctypes.

They are built when the package is installed (pyproject.toml names the sources), once for each
width of vectors; the processor decides which is loaded. Without a compiler there are none, and
callers use `alexnet.native.twins`.
"""

import ctypes
import os
import warnings
from collections.abc import Callable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch

PATHS = ("avx512", "avx2", "portable")
"""The compiled forms, the widest first."""
TRITON = find_spec("triton") is not None
"""Whether there are kernels for CUDA: Triton comes with torch's CUDA builds on Linux."""
CHOICE = "ALEXNET_KERNELS"
"""Environment variable that names one of PATHS, or "torch" for none."""

KERNELS = {
    "norm_pool": 4,
    "norm_pool_backward": 5,
    "spatial_norm": 3,
    "spatial_norm_backward": 4,
    "cut": 8,
    "update": 5,
    "linear_float32": 6,
    "linear_bfloat16": 6,
    "linear_int8": 6,
    "weight_gradient": 4,
    "im2col": 7,
    "im2col_pack": 4,
    "im2col_weights": 7,
    "depthwise": 6,
    "depthwise_weights": 6,
    "winograd": 6,
    "winograd_weights": 5,
}
"""Number of arguments of each kernel; all are pointers."""
BYTE_KERNELS = {"resize": 3}
"""The same of those that work on bytes and have one form only."""
Kernels = dict[str, Callable[..., None]]

TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
"""The types that each kernel exists in."""


class NormPool(ctypes.Structure):
    """`struct NormPool` of norm_pool.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c")),
        *((name, ctypes.c_int64) for name in ("below", "above", "columns", "power")),
        *((name, ctypes.c_float) for name in ("bias", "alpha")),
        *((name, ctypes.c_int64) for name in ("size", "stride", "padding", "out_h", "out_w")),
        *((name, ctypes.c_int64) for name in ("relu_first", "relu_last")),
    )


class SpatialNorm(ctypes.Structure):
    """`struct SpatialNorm` of spatial_norm.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c", "below", "above", "power")),
        *((name, ctypes.c_float) for name in ("bias", "alpha")),
    )


class Cut(ctypes.Structure):
    """`struct Cut` of training.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "size")),
        ("divide_by", ctypes.c_float),
    )


class Resize(ctypes.Structure):
    """`struct Resize` of resize.cpp."""

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in ("h", "w", "new_h", "new_w", "top", "left", "out_h", "out_w")
    )


class WeightGradient(ctypes.Structure):
    """`struct WeightGradient` of weight_gradient.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c", "k", "out_h", "out_w")),
        *((name, ctypes.c_int64) for name in ("size_h", "size_w", "padding", "groups")),
    )


class Winograd(ctypes.Structure):
    """`struct Winograd` of winograd.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("n", "h", "w", "c", "k", "out_h", "out_w")),
        *((name, ctypes.c_int64) for name in ("padding_h", "padding_w")),
        *((name, ctypes.c_int64) for name in ("groups", "m", "block", "threads")),
        *((name, ctypes.c_int64) for name in ("kernel_step", "channel_step", "tap_step")),
        *((name, ctypes.c_int64) for name in ("group_step", "turned")),
    )


class Im2col(ctypes.Structure):
    """`struct Im2col` of im2col.h."""

    _fields_ = (
        ("pictures", ctypes.c_int64),
        *((name, ctypes.c_int64 * 3) for name in ("size", "grid", "stride", "out", "first")),
        ("step", ctypes.c_int64 * 3),
        *((name, ctypes.c_int64) for name in ("groups", "channels", "kernels", "origin", "count")),
        *((name, ctypes.c_int64) for name in ("taps", "rows", "depth", "width", "threads")),
        ("buffer", ctypes.c_int64),
    )


class Im2colWeights(ctypes.Structure):
    """`struct Im2colWeights` of im2col.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("groups", "channels", "origin", "count", "taps")),
        *((name, ctypes.c_int64) for name in ("group_step", "kernel_step", "channel_step")),
    )


class Update(ctypes.Structure):
    """`struct Update` of training.cpp."""

    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_float) for name in ("momentum", "rate", "decay")),
    )


class Linear(ctypes.Structure):
    """`struct Linear` of linear.cpp."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("n", "inputs", "outputs", "relu"))


@cache
def has_matrix_units() -> bool:
    """Return whether the processor multiplies bfloat16 matrices in units of their own (AMX)."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


_found: list[Kernels | None] = []  # of this process, once looked for


def library() -> Kernels | None:
    """Return the kernels for this processor, or None where there are none; says so once."""
    if not _found:
        _found.append(_find())
    return _found[0]


def _find() -> Kernels | None:
    name = os.environ.get(CHOICE, "")
    if name == "torch":
        return None
    if name:
        return load(name)
    for path in _paths_of(torch.backends.cpu.get_cpu_capability()):
        if file := _file(path):
            return _open(file)
    warnings.warn(
        "alexnet's compiled kernels are not installed; torch's own operations give the same "
        "numbers more slowly. Install a C++ compiler, then alexnet again",
        RuntimeWarning,
        stacklevel=2,
    )
    return None


@cache
def load(path: str) -> Kernels:
    """Return the kernels of one of PATHS.

    Raises: ValueError if there is no such path, OSError if this machine has not built or cannot
            run it.
    """
    if path not in PATHS:
        raise ValueError(f"no kernels are called {path!r}; choose one of {', '.join(PATHS)}")
    if path not in _paths_of(torch.backends.cpu.get_cpu_capability()):
        raise OSError(f"this processor cannot run the kernels {path}; unset {CHOICE}")
    file = _file(path)
    if file is None:
        raise OSError(f"the kernels {path} are not built; install a C++ compiler, then alexnet")
    return _open(file)


def run(
    name: str, description: ctypes.Structure, *tensors: torch.Tensor | None, form: torch.dtype
) -> None:
    """Run a kernel in its form for one of TYPES.

    The tensors are dense and laid out as the kernel's source says; None is a null pointer.
    """
    kernels = library()
    assert kernels is not None
    addresses = (None if tensor is None else tensor.data_ptr() for tensor in tensors)
    kernels[f"{name}_{TYPES[form]}"](ctypes.byref(description), *addresses)


def _paths_of(capability: str) -> tuple[str, ...]:
    """Return the forms that a processor can run, the widest first."""
    widest = {"AVX512": 0, "AVX2": 1}.get(capability, 2)
    return PATHS[widest:]


def _file(path: str) -> Path | None:
    files = (Path(__file__).with_name(f"kernels_{path}{end}") for end in EXTENSION_SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _open(file: Path) -> Kernels:
    found = ctypes.CDLL(str(file))
    kernels: Kernels = {}
    forms = {f"{name}_{form}": n for name, n in KERNELS.items() for form in TYPES.values()}
    for name, arguments in (forms | BYTE_KERNELS).items():
        try:
            function = found[name]
        except AttributeError:
            raise OSError(
                f"{file} lacks the kernel {name}; it is older than this version of alexnet: "
                "install alexnet again"
            ) from None
        function.argtypes = [ctypes.c_void_p] * arguments
        function.restype = None
        kernels[name] = function
    return kernels
