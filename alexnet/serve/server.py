"""A server that runs until it is asked to stop, and then finishes what it has begun.

SIGTERM and SIGINT: the socket is closed, so that new connections are refused; what was admitted is
answered within some seconds, trainings save, and the process ends with 0.
"""

import logging
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from alexnet.serve.app import make_app
from alexnet.serve.service import Service
from alexnet.serve.wire import Connection

FINISH_SECONDS = 10
HEAD_BYTES = 16_384
WANTED_FILES = 4096
BACKLOG = 1024
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the one that reads requests and refuses them."""


class Noise(logging.Filter):
    """Leaves out what uvicorn says of each odd request: anybody could fill a log with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep what is worse than odd."""
        return record.levelno >= logging.ERROR


@dataclass
class Running:
    """A server and the socket that it listens on."""

    server: uvicorn.Server
    listener: socket.socket
    port: int
    """The port that it has."""

    def run(self) -> None:
        """Serve until a signal comes."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self.server.run(sockets=[self.listener])


def prepare(
    service: Service, *, host: str, port: int, connection: type[Connection] = Connection
) -> Running:
    """Bind the socket and make the server; nothing is answered yet.

    Raises: OSError if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server(
        (host.strip("[]"), port), family=family, backlog=BACKLOG, reuse_port=False
    )
    config = uvicorn.Config(
        make_app(service),
        http=connection,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=FINISH_SECONDS,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    logging.getLogger("uvicorn.error").addFilter(Noise())
    server = uvicorn.Server(config)
    service.is_stopping = lambda: server.should_exit
    return Running(server, listener, listener.getsockname()[1])


def allow_many_files() -> None:
    """Let this process have as many connections as the system grants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exit_quietly() -> None:
    """Let the signals that end the server end it with 0: uvicorn raises them again at its end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
