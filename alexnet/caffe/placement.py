"""Where a net of Caffe's runs: -gpu and solver_mode, and batches brought there.

What differs from the original: without -gpu, a solver that asks for the GPU runs on the CPU where
there is none, and says so; more than one GPU is refused.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from alexnet.caffe.log import LOG
from alexnet.device import DeviceError
from alexnet.text.assembly import as_tuple
from alexnet.text.graph import Pass, TextNet
from alexnet.text.kind import Source

CPU = torch.device("cpu")


def choose_place(gpu: str, *, asked: int | None = None) -> torch.device:
    """Return the device that -gpu names: "" for the CPU, a number, or "all".

    `asked` is the GPU that a solver asks for in its text; -gpu goes before it.

    Raises: ValueError if the number is none, or several are given; DeviceError if it is not there.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not gpu:
        if asked is None or not there:
            if asked is not None:
                LOG.info("solver_mode is GPU, but torch finds no CUDA device here.")
            LOG.info("Use CPU.")
            return CPU
        gpu = str(asked)
    numbers = list(range(there)) if gpu == "all" else [_number(word) for word in gpu.split(",")]
    missing = [number for number in numbers if number >= there]
    if missing or not numbers:
        raise DeviceError(
            f"gpu is {gpu!r}, but torch finds {there or 'no'} CUDA device{'s' * (there != 1)}; "
            f"{f'give a number below {there}' if there else 'leave it out to run on the CPU'}"
        )
    if len(numbers) > 1:
        raise ValueError(f"gpu is {gpu!r}, {len(numbers)} devices; give one, as in --gpu 0")
    LOG.info(f"Using GPUs {numbers[0]}")
    LOG.info(f"GPU {numbers[0]}: {torch.cuda.get_device_name(numbers[0])}")
    return torch.device("cuda", numbers[0])


def _number(word: str) -> int:
    if not word.strip().isdecimal():
        raise ValueError(f"gpu is {word!r}; give a device's number, or all")
    return int(word)


def describe_gpus(gpu: str) -> None:
    """Log what Caffe's device_query says of GPUs, as far as torch knows it.

    Raises: DeviceError or ValueError as `choose_place` does.
    """
    LOG.info(f"Querying GPUs {gpu}")
    if not torch.cuda.is_available():
        threads = torch.get_num_threads()
        LOG.info(f"torch finds no CUDA device; nets run on the CPU, with {threads} threads.")
    for word in gpu.split(",") if gpu and gpu != "all" else map(str, _all(gpu)):
        place = choose_place(word)
        found = torch.cuda.get_device_properties(place)
        rows = {
            "Device id": place.index,
            "Major revision number": found.major,
            "Minor revision number": found.minor,
            "Name": found.name,
            "Total global memory": found.total_memory,
            "Number of multiprocessors": found.multi_processor_count,
        }
        for title, value in rows.items():
            LOG.info(f"{title + ':':<30} {value}")


def _all(gpu: str) -> range:
    return range(torch.cuda.device_count() if gpu else 0)


def place_net(net: TextNet, place: torch.device) -> TextNet:
    """Move a net to a device."""
    if place != CPU:
        net.to(place)
    return net


def run_there(
    net: TextNet,
    place: torch.device,
    inputs: Mapping[str, Tensor] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Pass:
    """Run a net on its inputs and the next batches of its data layers, brought to its device.

    With the type bfloat16 products are taken in it; weights, sums and losses stay float32.
    """
    given = dict(inputs or {})
    if place != CPU:
        given = read_batch(net, place) | given
    with torch.autocast(place.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return net.run(given)


def read_batch(net: TextNet, place: torch.device) -> dict[str, Tensor]:
    """Return what a net's data layers read next, by the names of their tops, on a device."""
    found: dict[str, Tensor] = {}
    for record in net.records:
        module = net.layers[record["name"]]
        if isinstance(module, Source) and record["type"] != "Input":
            for name, top in zip(record["top"], as_tuple(module()), strict=True):
                found[name] = top.to(place, non_blocking=True)
    return found
