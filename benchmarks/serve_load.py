"""Load the server with clients that each wait for their answer, and print what they met.

    python -m benchmarks.serve_load MODEL PICTURES [--clients 8,64,256] [--seconds 20] [--soak N]

starts `alexnet serve MODEL` on this machine, sends it the pictures of a folder as they are, and
prints a Markdown table: requests answered a second, how long the median and the slowest hundredth
took, refusals (503) and how soon those came, /healthz meanwhile, the server's memory; and the share
of the limit, which is named: pictures a second of the model alone at the batch that it met. The
clients share the processors with the server. With --soak, eight clients then ask until N requests
are answered, and the server's memory is printed at each tenth of them.
"""

import argparse
import asyncio
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from alexnet.data.folder import SUFFIXES
from alexnet.data.image import decode_file, fit_square
from alexnet.device import choose_device, choose_dtype, keep_pages
from alexnet.evaluation.evaluate import probabilities
from alexnet.model import open_model
from alexnet.predict import packed

BATCHES = (1, 8, 32)
MOST_PICTURES = 200
SOAK_SECONDS = 2.0


@dataclass
class Met:
    """What the clients met."""

    answered: list[float] = field(default_factory=list)
    """Seconds to each answer."""
    refused: list[float] = field(default_factory=list)
    """Seconds to each 503."""
    others: int = 0
    """Answers of other kinds, and connections that broke."""
    health: list[float] = field(default_factory=list)
    """Seconds to each answer of /healthz."""


async def ask(port: int, request: bytes) -> int:
    """Send a request on a connection of its own and return the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1]) if answer else 0
    finally:
        writer.close()


async def client(port: int, requests: Sequence[bytes], met: Met, end: float) -> None:
    """Send one request after another until the end; after a 503 wait a second, more or less."""
    for request in cycle(requests):
        if time.perf_counter() >= end:
            return
        started = time.perf_counter()
        try:
            status = await ask(port, request)
        except OSError:
            status = 0
        seconds = time.perf_counter() - started
        if status == 200:
            met.answered.append(seconds)
        elif status == 503:
            met.refused.append(seconds)
            await asyncio.sleep(random.uniform(0.5, 1.5))
        else:
            met.others += 1


async def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Met:
    """Let so many clients come within a second, and ask for so long."""
    met, end = Met(), time.perf_counter() + seconds

    async def watch() -> None:
        while time.perf_counter() < end:
            started = time.perf_counter()
            await ask(port, head("GET /healthz"))
            met.health.append(time.perf_counter() - started)
            await asyncio.sleep(0.25)

    turns = [[*requests[n:], *requests[:n]] for n in range(len(requests))]

    async def come(number: int) -> None:
        await asyncio.sleep(number / clients)
        await client(port, turns[number % len(turns)], met, end)

    some = [come(number) for number in range(clients)]
    await asyncio.gather(watch(), *some)
    return met


async def soak(port: int, requests: Sequence[bytes], count: int, process: int) -> None:
    """Ask for so many answers, and print the memory after each tenth of them."""
    print("\n| answered | server MB | others |\n|--:|--:|--:|")
    met = Met()
    for tenth in range(1, 11):
        while len(met.answered) < count * tenth // 10:
            end = time.perf_counter() + SOAK_SECONDS
            await asyncio.gather(*(client(port, requests[n:], met, end) for n in range(8)))
        others = met.others + len(met.refused)
        print(f"| {len(met.answered):,} | {memory(process):.1f} | {others} |", flush=True)


def head(line: str, *headers: str) -> bytes:
    """Return a request's head, after whose answer the connection ends."""
    lines = (f"{line} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode()


def requests_of(files: Sequence[Path]) -> list[bytes]:
    """Return a prediction's request for each picture."""
    found = []
    for file in files:
        data = file.read_bytes()
        kind = ("Content-Type: image/jpeg", f"Content-Length: {len(data)}")
        found.append(head("POST /api/predict", *kind) + data)
    return found


def limits(model: Path, files: Sequence[Path]) -> dict[int, float]:
    """Return the pictures a second that the model alone answers, by batch."""
    keep_pages()
    opened = open_model(model, device=choose_device("auto"))
    device = next(opened.net.parameters()).device
    dtype = choose_dtype("auto", device)
    net = packed(opened, dtype, "same")
    size = opened.preprocessing.picture_size
    pictures = [fit_square(decode_file(file, at_least=size), size) for file in files[: BATCHES[-1]]]
    found = {}
    for count in BATCHES:
        batch = torch.from_numpy(np.stack(pictures * count)[:count]).to(device)
        times = []
        for _ in range(8):
            started = time.perf_counter()
            probabilities(net, batch, opened.preprocessing, dtype=dtype)
            times.append(time.perf_counter() - started)
        found[count] = count / statistics.median(times[3:])
    return found


def memory(process: int) -> float:
    """Return the megabytes of memory that a process has; 0 where the system does not say."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found[1]) / 1000 if found else 0.0


def share(values: Sequence[float], part: float) -> str:
    """Return a quantile of seconds as milliseconds, "-" where there is none."""
    if not values:
        return "-"
    return f"{1000 * sorted(values)[min(len(values) - 1, int(part * len(values)))]:.0f}"


def row(met: Met, clients: int, seconds: float, *, limit: float, megabytes: float) -> str:
    """Return a row of the table."""
    rate = len(met.answered) / seconds
    cells = (
        *(clients, f"{rate:.1f}", share(met.answered, 0.5), share(met.answered, 0.99)),
        *(
            len(met.refused),
            share(met.refused, 0.5),
            share(met.refused, 0.99),
            met.others,
            share(met.health, 0.99),
        ),
        *(f"{rate / limit:.2f}", f"{megabytes:.0f}"),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Load the server.")
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--clients", default="8,64,256")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--soak", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    found = sorted(p for p in asked.pictures.rglob("*") if p.suffix.lower() in SUFFIXES)
    files = found[:: max(1, len(found) // MOST_PICTURES)][:MOST_PICTURES]
    if not files:
        parser.error(f"{asked.pictures} has no pictures")
    alone = limits(asked.model, files)
    print("the model alone, pictures a second: ", end="")
    print(", ".join(f"{rate:.1f} at batch {count}" for count, rate in alone.items()), "\n")
    limit = max(alone.values())
    words = ("serve", str(asked.model), "--port", "0")
    server = subprocess.Popen(
        [sys.executable, "-m", "alexnet", *words], stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    line = server.stderr.readline()
    place = re.search(r":(\d+)/", line)
    if place is None:
        raise SystemExit(f"the server did not start: {line}")
    try:
        requests = requests_of(files)
        asyncio.run(load(int(place[1]), requests, 8, min(3.0, asked.seconds)))  # to warm up
        print(
            "| clients | answers/s | p50 ms | p99 ms | 503 | their p50 ms | p99 ms | others ",
            end="",
        )
        print("| healthz p99 ms | of the model alone | server MB |")
        print("|--:" * 11 + "|")
        for clients in map(int, asked.clients.split(",")):
            met = asyncio.run(load(int(place[1]), requests, clients, asked.seconds))
            megabytes = memory(server.pid)
            print(row(met, clients, asked.seconds, limit=limit, megabytes=megabytes), flush=True)
        if asked.soak:
            asyncio.run(soak(int(place[1]), requests, asked.soak, server.pid))
    finally:
        server.terminate()
        print(f"\nthe server ended with {server.wait()}")


if __name__ == "__main__":
    main()
