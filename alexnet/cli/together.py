"""Commands that several processes run together, started by torchrun."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from alexnet.parallel.layout import Layout

if TYPE_CHECKING:
    from alexnet.parallel.logs import Log
    from alexnet.parallel.team import Team


@contextmanager
def together(
    device: Literal["auto", "cpu", "cuda"], layout: Layout | None = None
) -> "Iterator[tuple[Team, Log]]":
    """Meet the other processes of the command; from here on only the first one speaks.

    Raises: ValueError for a layout that does not fit their number, PeerError if one is lost.
    """
    from alexnet.device import choose_device
    from alexnet.parallel.logs import Log
    from alexnet.parallel.mesh import World, join
    from alexnet.parallel.team import Team

    # of kernels of one element, whose memory can be described in two ways; nothing is slower
    warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)
    log = Log(World.of(os.environ))
    chosen = layout or Layout()
    with join(chosen.columns, device=choose_device(device)) as mesh:
        yield Team(mesh, chosen), log
