"""Where a net runs: what -gpu and solver_mode mean, and batches that are brought there."""

import io

import pytest
import torch

from alexnet.caffe.log import log_to
from alexnet.caffe.placement import (
    CPU,
    choose_place,
    describe_gpus,
    place_net,
    read_batch,
    run_there,
)
from alexnet.device import DeviceError
from tests.caffe.conftest import Make


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: f"chip {number}")


def logged(gpu: str, asked: int | None = None) -> tuple[torch.device, str]:
    log = io.StringIO()
    with log_to(log):
        place = choose_place(gpu, asked=asked)
    return place, log.getvalue()


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_a_solver_that_asks_for_one_runs_on_the_cpu_and_says_so() -> None:
    place, log = logged("", asked=0)
    assert place == CPU
    assert "solver_mode is GPU, but torch finds no CUDA device here." in log
    assert "Use CPU." in log


@pytest.mark.usefixtures("two_gpus")
def test_the_gpu_of_the_solver_is_taken_and_named() -> None:
    place, log = logged("", asked=1)
    assert place == torch.device("cuda", 1)
    assert "GPU 1: chip 1" in log


@pytest.mark.usefixtures("two_gpus")
def test_the_flag_goes_before_the_solver() -> None:
    assert logged("0", asked=1)[0] == torch.device("cuda", 0)
    assert logged("")[0] == CPU


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("gpu", ["0", "all"])
def test_a_gpu_that_is_asked_for_and_not_there_is_refused(gpu: str) -> None:
    message = f"gpu is '{gpu}', but torch finds no CUDA devices; leave it out to run on the CPU"
    with pytest.raises(DeviceError, match=message):
        choose_place(gpu)


@pytest.mark.usefixtures("two_gpus")
def test_a_number_beyond_the_last_gpu_is_refused() -> None:
    with pytest.raises(DeviceError, match="finds 2 CUDA devices; give a number below 2"):
        choose_place("2")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("gpu", ["0,1", "all"])
def test_several_gpus_are_refused(gpu: str) -> None:
    with pytest.raises(ValueError, match=f"gpu is '{gpu}', 2 devices; give one, as in --gpu 0"):
        choose_place(gpu)


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="gpu is 'x'; give a device's number, or all"):
        choose_place("x")


@pytest.mark.usefixtures("two_gpus")
def test_each_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        major, minor, name, total_memory, multi_processor_count = 9, 0, "chip", 2**30, 132

    monkeypatch.setattr("torch.cuda.get_device_properties", lambda place: Properties)
    log = io.StringIO()
    with log_to(log):
        describe_gpus("all")
    lines = [line.split("] ", 1)[-1] for line in log.getvalue().splitlines()]
    assert lines.count("Name:                          chip") == 2
    assert "Device id:                     1" in lines
    assert "Total global memory:           1073741824" in lines


def test_a_batch_that_is_read_and_given_runs_as_the_net_s_own(make: Make) -> None:
    first, second = (make("sgd", 'weights: "start.caffemodel.h5"').net for _ in range(2))
    batch = read_batch(second, CPU)
    assert set(batch) == {"data", "label"}
    assert torch.equal(second.run(batch).loss, run_there(first, CPU).loss)


def test_a_net_that_stays_keeps_its_tensors(make: Make) -> None:
    net = make("sgd").net
    before = [each.tensor for each in net.learnable]
    assert place_net(net, CPU) is net
    for each, tensor in zip(net.learnable, before, strict=True):
        assert each.tensor is tensor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_follows_training_on_the_cpu(make: Make) -> None:
    ours = make("sgd", 'weights: "start.caffemodel.h5" max_iter: 5')
    ours.solve()
    text = ours.parameters
    theirs = type(ours)(text, place=choose_place("0"))
    theirs.solve()
    for layer, blobs in ours.net.blobs().items():
        for blob, other in zip(blobs, theirs.net.blobs()[layer], strict=True):
            # float32 sums in another order
            torch.testing.assert_close(blob, other.cpu(), rtol=1e-3, atol=1e-5)
