"""What all routes share: the models, the decoders, the thread that computes, and who must wait."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from alexnet.data.image import ImageError, fit_square
from alexnet.serve.answers import Refused
from alexnet.serve.batching import ComputeThread
from alexnet.serve.bodies import Limits, Room, Upload
from alexnet.serve.decoding import DecoderPool
from alexnet.serve.guard import Rules
from alexnet.serve.models import Opened, Shelf
from alexnet.serve.tested import Looks
from alexnet.serve.training import Trainings
from alexnet.store import StoreError

T = TypeVar("T")


@dataclass
class Service:
    """The server's state."""

    shelf: Shelf
    data: Path | None = None
    """Labelled pictures, for confusion, mistakes and neighbours."""
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    most_pending: int = 128
    """Pictures that are admitted and not yet answered; more are told to come again."""
    most_looks: int = 4
    """Pieces of other work that may wait for the thread that computes."""
    pool: DecoderPool = field(default_factory=DecoderPool)
    compute: ComputeThread = field(default_factory=ComputeThread)
    is_stopping: Callable[[], bool] = bool
    """Whether the server has been asked to stop."""
    allows_training: bool = True
    """Whether runs may be started; on loopback only."""
    pending: int = 0
    looks: int = 0
    followers: int = 0
    """Readers of runs' events."""

    def __post_init__(self) -> None:
        self.room = Room(self.limits)
        self.tested = Looks(self.data)
        self.trainings = Trainings(self.shelf, self.data)
        self._decoders = ThreadPoolExecutor(self.pool.workers, thread_name_prefix="decode")

    def close(self) -> None:
        """Finish what was admitted, save trainings, and end."""
        self.tested.close()
        self.trainings.close()
        self._decoders.shutdown(cancel_futures=True)
        self.pool.close()
        self.compute.close()

    def check_load(self, pictures: int = 1) -> None:
        """Refuse what would have to wait too long; a lone request is never too large.

        Raises: Refused with 503 and Retry-After.
        """
        if self.is_stopping():
            raise self._busy("the server is stopping", 5.0)
        if self.pending and self.pending + pictures > self.most_pending:
            waiting = f"{self.pending} pictures wait for an answer"
            raise self._busy(waiting, self.compute.seconds_for(self.pending))

    async def open(self, name: str) -> Opened:
        """Return a model by name, "" for the newest.

        Raises: Refused if there is none, or it is damaged.
        """
        place = self.shelf.find_model(name)
        try:
            found = self.shelf.opened(place)
            if found is None:
                found = await self.compute_alone(lambda: self.shelf.open(place))
            return found
        except (StoreError, ValueError, OSError) as error:
            raise Refused(503, "model", f"the model {place.name} cannot be read: {error}") from None

    async def decode(self, upload: Upload, size: int) -> NDArray[np.uint8]:
        """Return an upload as a net takes it: the centre square, `size` pixels a side.

        Raises: Refused with 422 if it is no picture.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._decoders, self._decode, upload.data, size)
        except ImageError as error:
            raise Refused(422, "picture", str(error), hint="send a JPEG or PNG") from None
        except OSError as error:
            raise Refused(503, "decoder", f"no decoder can be started: {error}") from None

    async def compute_alone(self, work: Callable[[], T]) -> T:
        """Run other work than answers on the thread that computes.

        Raises: Refused with 503 if too much waits there already; whatever the work raises.
        """
        if self.looks >= self.most_looks or self.is_stopping():
            raise self._busy(f"{self.looks} other requests are being computed", 2.0)
        self.looks += 1
        try:
            return await asyncio.wrap_future(self.compute.run(work))
        finally:
            self.looks -= 1

    def _decode(self, data: bytes, size: int) -> NDArray[np.uint8]:
        return fit_square(self.pool.decode(data, at_least=size), size)

    def _busy(self, why: str, seconds: float) -> Refused:
        after = str(max(1, math.ceil(seconds)))
        return Refused(
            503,
            "busy",
            f"the server is busy: {why}",
            hint=f"send it again after {after} s",
            headers={"retry-after": after},
        )


def service_of(request: Request) -> Service:
    """Return the service that a request is for."""
    service: Service = request.app.state.service
    return service
