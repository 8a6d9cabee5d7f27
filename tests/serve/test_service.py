"""Who must wait, and what is said of models and decoders that fail."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alexnet.serve.answers import Refused
from alexnet.serve.bodies import Upload
from alexnet.serve.models import Shelf
from alexnet.serve.service import Service
from tests.serve.live import write_run

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Return a service without a server."""
    write_run(tmp_path)
    made = Service(Shelf(tmp_path / "runs", device=torch.device("cpu")), most_pending=4)
    yield made
    made.close()


def test_pictures_beyond_the_bound_come_again_later(service: Service) -> None:
    service.check_load(64)  # a lone request is never too large
    service.pending = 3
    service.check_load(1)
    service.compute.answered, service.compute.seconds = 10, 20.0
    with pytest.raises(Refused, match="the server is busy: 3 pictures wait") as refused:
        service.check_load(2)
    assert refused.value.headers["retry-after"] == "6"
    assert refused.value.hint == "send it again after 6 s"


def test_a_server_that_stops_takes_nothing_new(service: Service) -> None:
    service.is_stopping = lambda: True
    with pytest.raises(Refused, match="the server is stopping"):
        service.check_load()
    with pytest.raises(Refused, match="other requests are being computed"):
        asyncio.run(service.compute_alone(lambda: 1))


def test_other_work_beyond_its_bound_comes_again_later(service: Service) -> None:
    async def crowd() -> None:
        gate = threading.Event()
        waiting = [asyncio.create_task(service.compute_alone(gate.wait)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="4 other requests are being computed"):
            await service.compute_alone(lambda: 1)
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 4
        assert await service.compute_alone(lambda: 5) == 5

    asyncio.run(crowd())
    assert service.looks == 0


def test_a_model_that_is_damaged_is_named(service: Service) -> None:
    folder = service.shelf.path / "one" / "model"
    weights = next(folder.glob("weights*"))
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    with pytest.raises(Refused, match=r"the model one cannot be read: .*damaged") as refused:
        asyncio.run(service.open(""))
    assert refused.value.status == 503
    shutil.rmtree(folder)
    with pytest.raises(Refused, match="there is no model yet"):
        asyncio.run(service.open(""))


def test_a_decoder_that_cannot_be_started_is_no_fault_of_the_picture(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(service.pool, "decode", fail)
    with pytest.raises(Refused, match="no decoder can be started: no more processes") as refused:
        asyncio.run(service.decode(Upload("", b"x"), 72))
    assert refused.value.status == 503
