"""The machine: which device and arithmetic to use, and how memory is to be kept."""

import ctypes
import sys
from typing import Literal

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


class DeviceError(OSError):
    """The device asked for is not there."""


def choose_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device of that name; auto is CUDA where there is one.

    Raises: DeviceError if CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device is 'cuda', but torch finds no CUDA device; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_dtype(name: Literal["auto", "bf16", "fp32"], device: torch.device) -> torch.dtype:
    """Return the arithmetic of that name; auto is bf16 where the chip multiplies in it."""
    if name == "auto":
        if device.type == "cuda":
            name = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        else:
            capabilities = torch.cpu.get_capabilities()
            name = (
                "bf16"
                if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
                else "fp32"
            )
    return torch.bfloat16 if name == "bf16" else torch.float32


def keep_pages() -> None:
    """Make glibc keep freed memory: a page costs more to touch first than to compute on.

    Activations and gradients are allocated anew in every step; without this the kernel takes
    their pages back and clears them again each time. Elsewhere than on glibc nothing happens.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
            libc.mallopt(M_TOP_PAD, 64 * 2**20)
