"""What a machine offers a training, and what is wrong with it: one problem, one way out.

Nothing is measured here; how fast the parts of a training are is `alexnet.bench.narrowest`.
Versions that are known to be bad are those whose decoders or parsers have published holes.
"""

import os
import platform
import re
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import simplejpeg
import torch
from PIL import features

from alexnet.bench.machine import describe_machine
from alexnet.convolution.choices import place as choices_file
from alexnet.native import library

FLOORS = {
    "pillow": ("13.0.0", "its readers of pictures have published holes below that"),
    "torch": ("2.6", "its loader of files runs code from them below that"),
    "protobuf": ("6.33.5", "its parser can be made to stop the program below that"),
    "onnx": ("1.21", "its loader reads files outside the model's folder below that"),
}
"""Lowest good version of a package, and why; a package that is not installed does no harm."""
LEAST_SHM = 256 * 2**20
LEAST_MEMORY = 4 * 10**9
LEAST_DISK = 3 * 10**9
"""Three checkpoints of the paper's net: weights and velocities in float32 are 0.5 GB each."""
LEAST_FILES = 1024


@dataclass(frozen=True)
class Problem:
    """Something that will go wrong, or slowly."""

    what: str
    """What was found, with its value."""
    fix: str
    """What to do."""


@dataclass(frozen=True)
class Resources:
    """What this process may use of the machine."""

    cores: int
    """Processors that this process may run on."""
    threads: int
    """Threads that torch computes with."""
    memory_bytes: int
    """Memory that can still be had, or 0 where that is not known."""
    shm_bytes: int
    """Size of /dev/shm, where processes share memory; -1 where there is none."""
    disk_bytes: int
    """Free space where runs are written."""
    files: int
    """Files that may be open at a time."""


def resources(folder: Path) -> Resources:
    """Return what this process may use; `folder` is where runs are written."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    shm = Path("/dev/shm")
    return Resources(
        cores=_cores(),
        threads=torch.get_num_threads(),
        memory_bytes=_memory_bytes(),
        shm_bytes=shutil.disk_usage(shm).total if shm.is_dir() else -1,
        disk_bytes=shutil.disk_usage(place).free,
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )


def describe(found: Resources, folder: Path) -> dict[str, str]:
    """Return what there is, in words, by what it is."""
    kernels, reason = kernels_in_use()
    cache = choices_file()
    size = f"{cache.stat().st_size:,} bytes" if cache.is_file() else "not written yet"
    jpeg = re.search(rb"libjpeg-turbo version ([0-9.]+)", _simplejpeg_library())
    omp = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
           if name in os.environ}  # fmt: skip
    set_to = ", ".join(f"{name}={value}" for name, value in omp.items()) or "OMP_NUM_THREADS unset"
    shm = "none" if found.shm_bytes < 0 else f"{found.shm_bytes / 1e9:.1f} GB"
    return {
        "machine": describe_machine(),
        "device": _device(),
        "Pillow": f"{_installed('pillow')}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "simplejpeg": f"{_installed('simplejpeg')}, libjpeg-turbo "
        f"{jpeg[1].decode() if jpeg else 'of unknown version'}",
        "kernels": f"{kernels} ({reason})" if reason else kernels,
        "threads": f"{found.threads} on {found.cores} cores; {set_to}",
        "memory": f"{found.memory_bytes / 1e9:.1f} GB can be had; /dev/shm {shm}",
        "disk": f"{found.disk_bytes / 1e9:.1f} GB free for {folder}",
        "open files": f"{found.files:,} at a time",
        "cache": f"{cache}: {size}",
    }


def problems(found: Resources, folder: Path) -> list[Problem]:
    """Return what is wrong with this machine for a training."""
    installed = {name: _installed(name) for name in FLOORS}
    return [
        *check_versions(installed),
        *check_kernels(),
        *check_threads(found, os.environ),
        *check_space(found, folder),
    ]


def check_versions(installed: Mapping[str, str]) -> list[Problem]:
    """Return the packages that are older than FLOORS; "" is a version of one that is not there."""
    return [
        Problem(
            f"{name} {installed[name]} is older than {floor}: {why}",
            f"pip install '{name}>={floor}'",
        )
        for name, (floor, why) in FLOORS.items()
        if installed.get(name) and _numbers(installed[name]) < _numbers(floor)
    ]


def check_kernels() -> list[Problem]:
    """Return what keeps the compiled kernels from use, unless the user chose to do without."""
    kernels, reason = kernels_in_use()
    if kernels != "none" or os.environ.get(library.CHOICE) == "torch":
        return []
    return [Problem(f"the compiled kernels are not in use: {reason}", "install a C++ compiler "
                    "(apt-get install g++), then alexnet again")]  # fmt: skip


def kernels_in_use() -> tuple[str, str]:
    """Return which of the compiled forms the processor gets, and the reason where it is none."""
    chosen = os.environ.get(library.CHOICE, "")
    if chosen == "torch":
        return "none", f"{library.CHOICE} is torch"
    reasons = []
    for path in (chosen,) if chosen else library.PATHS:
        try:
            library.load(path)
        except (OSError, ValueError) as error:
            reasons.append(str(error))
        else:
            return path, ""
    return "none", reasons[-1]


def check_threads(found: Resources, environment: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the number of threads for the processors there are."""
    if found.threads > found.cores:
        return [
            Problem(
                f"torch computes with {found.threads} threads, but this process may use "
                f"{found.cores} cores",
                f"set OMP_NUM_THREADS={found.cores}",
            )
        ]
    asked = environment.get("OMP_NUM_THREADS")
    if found.threads < found.cores and asked is not None:
        return [
            Problem(
                f"OMP_NUM_THREADS={asked} leaves {found.cores - found.threads} of {found.cores} "
                f"cores without work in the net",
                "unset OMP_NUM_THREADS, unless several trainings share the machine",
            )
        ]
    return []


def check_space(found: Resources, folder: Path) -> list[Problem]:
    """Return what there is too little of."""
    short = []
    if 0 <= found.shm_bytes < LEAST_SHM:
        short.append(
            Problem(
                f"/dev/shm has {found.shm_bytes / 2**20:.0f} MiB, too little for several processes",
                "start the container with --shm-size=1g",
            )
        )
    if 0 < found.memory_bytes < LEAST_MEMORY:
        short.append(
            Problem(
                f"{found.memory_bytes / 1e9:.1f} GB of memory can be had; the paper's net takes "
                f"about 4 at batch 128",
                "end other programs, or take a smaller --batch",
            )
        )
    if found.disk_bytes < LEAST_DISK:
        short.append(
            Problem(
                f"{found.disk_bytes / 1e9:.1f} GB are free for {folder}; checkpoints need about 2",
                "make room, or write elsewhere with --out",
            )
        )
    if found.files < LEAST_FILES:
        short.append(
            Problem(f"only {found.files} files may be open at a time", "run ulimit -n 4096 first")
        )
    return short


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version starts with: 2.13.0+cpu is (2, 13, 0)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _simplejpeg_library() -> bytes:
    files = Path(simplejpeg.__file__).parent.glob("_jpeg*.so")
    return b"".join(file.read_bytes() for file in files)


def _device() -> str:
    if not torch.cuda.is_available():
        why = "torch is built without CUDA" if torch.version.cuda is None else "no CUDA device"
        return f"the CPU only ({why})"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{', '.join(names)}; CUDA {torch.version.cuda}"


def _cores() -> int:
    """Return the processors of this process, fewer where a container has a share of their time."""
    count = len(os.sched_getaffinity(0)) if platform.system() == "Linux" else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    words = quota.read_text().split() if quota.is_file() else ["max"]
    if words[0] != "max":
        count = min(count, max(1, int(words[0]) // int(words[1])))
    return count


def _memory_bytes() -> int:
    """Return the memory that can be had: the machine's, or less in a container with a limit."""
    about = Path("/proc/meminfo")
    text = about.read_text() if about.is_file() else ""
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    free = int(found[1]) * 1024 if found else 0
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, 0)
