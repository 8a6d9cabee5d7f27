"""Bytes that a piece of work takes from torch's allocator, to the byte.

On the CPU torch's profiler notes each allocation and each release in their order. What libraries
take from the system behind torch's back is not in it: scratch of oneDNN and MKL, vectors of C++.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd import profiler

QUIET = ("KINETO_LOG_LEVEL", "99")
"""Environment variable that keeps the profiler from writing to standard error, and its value."""


@dataclass(frozen=True)
class Held:
    """What a call held above what was held before it; in bytes."""

    most: int
    """At its peak, its result included."""
    kept: int
    """When it was done: its result, and what else it left behind."""

    @property
    def workspace(self) -> int:
        """Return what was held at the peak besides what was kept."""
        return self.most - self.kept


def held(function: Callable[[], object], device: torch.device | None = None) -> Held:
    """Call a function once and return the bytes it held; `device` is the CPU unless given.

    Tensors that share memory count once, and a view counts nothing. On the CPU nothing is gained by
    releasing what was there before: the profiler does not know its size.
    """
    if device is not None and device.type == "cuda":
        return _held_on_cuda(function, device)
    os.environ.setdefault(*QUIET)
    with profiler.profile(profile_memory=True) as profile:
        result = function()
    del result  # only now, so that what it holds is kept when the profile ends
    assert profile.kineto_results is not None
    events = profile.kineto_results.events()
    changes = sorted(
        ((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"),
        key=lambda change: change[0],  # of the same nanosecond in the order they were noted
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return Held(most, now)


def peak_bytes(function: Callable[[], object], device: torch.device | None = None) -> int:
    """Call a function once and return the bytes it held at most, its result included."""
    return held(function, device).most


def _held_on_cuda(function: Callable[[], object], device: torch.device) -> Held:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = function()
    torch.cuda.synchronize(device)
    most = torch.cuda.max_memory_allocated(device) - before
    kept = torch.cuda.memory_allocated(device) - before
    del result
    return Held(most, kept)
