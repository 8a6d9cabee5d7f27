"""Device, arithmetic and memory of the machine."""

import ctypes
import subprocess
import sys
from typing import Literal

import pytest
import torch

from alexnet import device as machine
from alexnet.device import DeviceError, choose_device, choose_dtype

Device = Literal["auto", "cpu", "cuda"]


@pytest.mark.parametrize(
    ("name", "present", "chosen"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_auto_is_cuda_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, name: Device, present: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present)
    assert choose_device(name) == torch.device(chosen)


def test_cuda_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = "device is 'cuda', but torch finds no CUDA device; use --device cpu"
    with pytest.raises(DeviceError, match=message):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_is_bf16_on_processors_that_multiply_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype("auto", torch.device("cpu")) == dtype


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_on_cards_that_do_not_emulate_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    def is_bf16_supported(*, including_emulation: bool) -> bool:
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert choose_dtype("auto", torch.device("cuda")) == dtype


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_an_arithmetic_asked_for_is_used_on_any_device(device: str) -> None:
    assert choose_dtype("bf16", torch.device(device)) == torch.bfloat16
    assert choose_dtype("fp32", torch.device(device)) == torch.float32


def test_the_real_processor_gives_one_of_the_two() -> None:
    capable = torch.cpu.get_capabilities()
    expected = capable.get("amx_bf16") or capable.get("avx512_bf16")
    dtype = choose_dtype("auto", torch.device("cpu"))
    assert dtype == (torch.bfloat16 if expected else torch.float32)


# 36 MiB: glibc maps and unmaps anything above 32 MiB each time. Aligned memory moves about in the
# heap before it comes to rest (glibc 2.36 wants room for the alignment also in a hole that fits).
COUNT_FAULTS = """
import resource, torch
from alexnet.device import keep_pages

def count_faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.empty(9 * 2**20).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

given_back = count_faults(4)
keep_pages()
count_faults(30)
print(given_back, count_faults(4))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's malloc is told to keep pages")
def test_kept_pages_are_not_touched_anew_by_the_next_allocation() -> None:
    command = [sys.executable, "-c", COUNT_FAULTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 10


def test_elsewhere_than_on_linux_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str | None) -> None:
        raise AssertionError(f"the C library {name} was opened")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    machine.keep_pages()


class Musl:
    """A C library without mallopt."""


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Musl())
    machine.keep_pages()
