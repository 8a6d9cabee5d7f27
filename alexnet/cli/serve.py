"""`alexnet serve`: the page and the API."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from alexnet.cli.tables import note

if TYPE_CHECKING:
    from alexnet.serve.guard import Rules
    from alexnet.serve.service import Service

PACKAGES = ("starlette", "uvicorn", "python_multipart")


@Parameter(name="*")
@dataclass(frozen=True)
class Served:
    """How the net answers."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""
    weights: Literal["same", "bf16", "int8"] = "same"
    """Weights of fc6 to fc8; int8, a quarter of the bytes, changed 2 of 1,000 first answers."""
    pending: int = 128
    """Pictures that may wait for an answer; who sends more is told to come again."""
    decoders: int = 2
    """Processes that decode pictures."""


def serve(
    path: Path = Path("runs"),
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    data: Path | None = None,
    served: Served = Served(),
) -> int:
    """Serve a trained net to a browser and to programs, on this machine alone.

    Parameters
    ----------
    path
        Folder of a run, of a model, or of several runs.
    host
        Address to listen on; one that other machines reach needs --token-file.
    port
        Port to listen on; 0 takes one that is free.
    token_file
        File with a secret that every request must show; readable by its owner alone.
    data
        Labelled pictures for confusion, mistakes and neighbours, and to train on; without them
        those that a run was validated on, if they are still there.
    """
    _check(port, served)
    import socket

    from alexnet.data.door import name_form
    from alexnet.device import keep_pages
    from alexnet.serve.guard import is_loopback, rules_for
    from alexnet.serve.server import allow_many_files, exit_quietly, prepare

    names = () if is_loopback(host) else (socket.gethostname(), socket.getfqdn())
    rules = rules_for(host, token_file, names)
    if data is not None:
        name_form(data)  # what is no data set is said now and not at the first request
    keep_pages()
    service = _service(path, data, served, rules=rules, trains=is_loopback(host))
    try:
        shelf = service.shelf
        place = next((each for each in shelf.places().values() if each.manifest), None)
        about = "no model yet"
        if place is not None:
            dtype = str(shelf.open(place).dtype).removeprefix("torch.")
            about = f"the model {place.name} in {dtype} on {shelf.device}"
        running = prepare(service, host=host, port=port)
        service.pool.warm_up()
    except BaseException:
        service.close()
        raise
    allow_many_files()
    exit_quietly()
    shown = f"[{host}]" if ":" in host else host
    note(f"serving {about} from {path} at http://{shown}:{running.port}/ (Ctrl-C ends it)")
    running.run()
    return 0


def _check(port: int, served: Served) -> None:
    """Check what can be checked at once.

    Raises: ValueError for numbers out of range, OSError where a package is missing.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port is {port}; it must be from 0 to 65535")
    for name, value in (("pending", served.pending), ("decoders", served.decoders)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise OSError(
            f"serving needs {', '.join(missing)}; install it with: pip install 'alexnet[serve]'"
        )


def _service(
    path: Path, data: Path | None, served: Served, *, rules: "Rules", trains: bool
) -> "Service":
    from alexnet.device import choose_device
    from alexnet.serve.decoding import DecoderPool
    from alexnet.serve.models import Shelf
    from alexnet.serve.service import Service

    return Service(
        Shelf(path, device=choose_device(served.device), weights=served.weights),
        data,
        rules=rules,
        most_pending=served.pending,
        pool=DecoderPool(workers=served.decoders),
        allows_training=trains,
    )
