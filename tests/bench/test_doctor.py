"""What a machine offers, and each problem with its way out."""

from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.bench import doctor
from alexnet.bench.doctor import Problem, Resources
from alexnet.native import library

GOOD = Resources(
    cores=4,
    threads=4,
    memory_bytes=16 * 10**9,
    shm_bytes=8 * 10**9,
    disk_bytes=50 * 10**9,
    files=4096,
)
RUNS = Path("runs")


def test_a_good_machine_has_no_problem() -> None:
    assert doctor.check_threads(GOOD, {}) == []
    assert doctor.check_threads(GOOD, {"OMP_NUM_THREADS": "4"}) == []
    assert doctor.check_space(GOOD, RUNS) == []
    assert doctor.check_space(replace(GOOD, memory_bytes=0, shm_bytes=-1), RUNS) == []


def test_packages_with_holes_are_named_with_the_version_to_install() -> None:
    installed = {"pillow": "12.9.1", "torch": "2.13.0+cpu", "protobuf": "6.33.4", "onnx": ""}
    assert doctor.check_versions(installed) == [
        Problem(
            "pillow 12.9.1 is older than 13.0.0: its readers of pictures have published holes "
            "below that",
            "pip install 'pillow>=13.0.0'",
        ),
        Problem(
            "protobuf 6.33.4 is older than 6.33.5: its parser can be made to stop the program "
            "below that",
            "pip install 'protobuf>=6.33.5'",
        ),
    ]
    assert doctor.check_versions({"pillow": "13.0.0", "torch": "2.6.0", "onnx": "1.21.0"}) == []


SHORT = {
    "shm": (
        replace(GOOD, shm_bytes=64 * 2**20),
        "/dev/shm has 64 MiB, too little for several processes",
        "start the container with --shm-size=1g",
    ),
    "memory": (
        replace(GOOD, memory_bytes=2_500_000_000),
        "2.5 GB of memory can be had; the paper's net takes about 4 at batch 128",
        "end other programs, or take a smaller --batch",
    ),
    "disk": (
        replace(GOOD, disk_bytes=300_000_000),
        "0.3 GB are free for runs; checkpoints need about 2",
        "make room, or write elsewhere with --out",
    ),
    "files": (
        replace(GOOD, files=256),
        "only 256 files may be open at a time",
        "run ulimit -n 4096 first",
    ),
}


@pytest.mark.parametrize(("found", "what", "fix"), SHORT.values(), ids=SHORT)
def test_what_is_too_little_is_named_with_the_way_out(
    found: Resources, what: str, fix: str
) -> None:
    assert doctor.check_space(found, RUNS) == [Problem(what, fix)]


def test_more_threads_than_cores_and_fewer_by_choice_are_named() -> None:
    assert doctor.check_threads(replace(GOOD, threads=16), {}) == [
        Problem(
            "torch computes with 16 threads, but this process may use 4 cores",
            "set OMP_NUM_THREADS=4",
        )
    ]
    assert doctor.check_threads(replace(GOOD, threads=1), {"OMP_NUM_THREADS": "1"}) == [
        Problem(
            "OMP_NUM_THREADS=1 leaves 3 of 4 cores without work in the net",
            "unset OMP_NUM_THREADS, unless several trainings share the machine",
        )
    ]
    assert doctor.check_threads(replace(GOOD, threads=2), {}) == []  # hyper-threads, left by torch


def test_kernels_that_are_not_built_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.CHOICE, raising=False)

    def missing(path: str) -> None:
        raise OSError(f"the kernels {path} are not built")

    monkeypatch.setattr(library, "load", missing)
    assert doctor.check_kernels() == [
        Problem(
            "the compiled kernels are not in use: the kernels portable are not built",
            "install a C++ compiler (apt-get install g++), then alexnet again",
        )
    ]


def test_kernels_left_out_by_choice_are_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.CHOICE, "torch")
    assert doctor.kernels_in_use() == ("none", "ALEXNET_KERNELS is torch")
    assert doctor.check_kernels() == []


def test_a_form_of_the_kernels_that_does_not_exist_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(library.CHOICE, "mmx")
    name, reason = doctor.kernels_in_use()
    assert (name, reason.partition(";")[0]) == ("none", "no kernels are called 'mmx'")


def test_the_resources_are_those_of_this_process(tmp_path: Path) -> None:
    found = doctor.resources(tmp_path / "not" / "there")
    assert 1 <= found.cores <= 4096
    assert found.disk_bytes > 0
    described = doctor.describe(found, tmp_path)
    assert set(described) >= {"machine", "device", "Pillow", "simplejpeg", "kernels", "cache"}
    assert "libjpeg-turbo 3." in described["simplejpeg"]
    assert described["threads"].startswith(f"{found.threads} on {found.cores} cores; ")
    assert str(tmp_path) in described["disk"]
