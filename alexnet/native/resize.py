"""Pictures of bytes scaled down or up, and only the window of them that is wanted.

The filter is the antialiased bilinear one: a triangle as wide as a new pixel, as in Pillow and in
torchvision. By the compiled kernel, or where there is none by torch's own operation; both add up
the same integers, so that a picture has the same bytes on every machine. Torch is imported when
something is scaled: a process that only decodes pictures does without it.
"""

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Window(NamedTuple):
    """A part of a scaled picture, in its pixels."""

    top: int
    left: int
    height: int
    width: int


def resize(pixels: Pixels, sides: tuple[int, int], window: Window) -> Pixels:
    """Return a window of a picture as if scaled to `sides`, its new height and width.

        y[i] = sum over j of t((j + 1/2 - (i + 1/2) s) / max(s, 1)) x[j],  normalised

    along each axis, with t(d) = max(1 - |d|, 0) and s = old side / new side; rows first, rounded
    to bytes, then columns.

    Shapes:  (H, W, 3) -> (window.height, window.width, 3), C-contiguous; the window lies inside.
    """
    from alexnet.native import library

    kernels = library.library()
    if kernels is None:
        return resize_twin(pixels, sides, window)
    pixels = np.ascontiguousarray(pixels)
    out = np.empty((window.height, window.width, 3), dtype=np.uint8)
    described = library.Resize(*pixels.shape[:2], *sides, *window)
    kernels["resize"](ctypes.byref(described), pixels.ctypes.data, out.ctypes.data)
    return out


def resize_twin(pixels: Pixels, sides: tuple[int, int], window: Window) -> Pixels:
    """Do the same with torch's operation, which scales all of the picture."""
    import torch
    from torch.nn.functional import interpolate

    # The batch axis comes first: only then does torch see the channels-last layout that its fast
    # kernel is for.
    batch = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))[None].permute(0, 3, 1, 2)
    scaled = interpolate(batch, size=sides, mode="bilinear", antialias=True)
    top, left, height, width = window
    part = scaled[0, :, top : top + height, left : left + width]
    found: Pixels = part.permute(1, 2, 0).contiguous().numpy()
    return found
