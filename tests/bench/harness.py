"""Interleaved runs, medians, ratios; servers as child processes; a load generator that costs little."""

import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parents[2]
RUNS = 5
READY_S = 60.0


@dataclass(slots=True)
class Figure:
    """One measured ratio, its runs, and the mark it has to reach."""

    name: str
    ratios: list[float]
    mark: float | None = None
    after: float | None = None
    lower_is_better: bool = False
    rates: dict[str, list[float]] = field(default_factory=dict)
    unit: str = "×"

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        if self.mark is None:
            return None
        return self.median <= self.mark if self.lower_is_better else self.median >= self.mark

    def line(self) -> str:
        spread = f"{min(self.ratios):.3g}–{max(self.ratios):.3g}"
        rates = ", ".join(f"{k} {statistics.median(v):,.0f}/s" for k, v in self.rates.items())
        mark = "" if self.mark is None else f"  mark {self.mark:g} {'met' if self.met else 'MISSED'}"
        return f"{self.name:<58} {self.median:8.3g} {self.unit} ({spread}){mark}   {rates}"


def report(figures: Sequence[Figure], to: str | None = None) -> None:
    for figure in figures:
        print(figure.line(), flush=True)
    if to:
        path = Path(to)
        known = json.loads(path.read_text()) if path.exists() else {}
        known |= {
            f.name: {"median": f.median, "runs": f.ratios, "mark": f.mark, "met": f.met, "rates": f.rates} for f in figures
        }
        path.write_text(json.dumps(known, indent=1) + "\n")


def run(main: Callable[[], Awaitable[Sequence[Figure]]]) -> None:
    """Entry of each bench: `--json FILE` merges its figures into a file."""
    to = sys.argv[sys.argv.index("--json") + 1] if "--json" in sys.argv else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report(runner.run(_awaited(main)), to)


async def _awaited(main: Callable[[], Awaitable[Sequence[Figure]]]) -> Sequence[Figure]:
    return await main()


# --- servers ---


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextmanager
def server(app: str, port: int, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`app` is `module:factory`, served by one uvicorn worker with the product's own settings."""
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        app,
        "--factory",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
    ]
    command += ["--timeout-keep-alive", "75", "--loop", "uvloop", "--http", "httptools"]
    child = subprocess.Popen(command, cwd=ROOT, env=os.environ | dict(env or {}))
    try:
        give_up = time.monotonic() + READY_S
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if child.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"{app} did not start")
            time.sleep(0.02)
        yield child
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def open_files(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


# --- load ---


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    extra = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """Sends one request after the other; an answer of these servers arrives whole, or its length says when it is."""

    def __init__(self, requests: Iterator[bytes], tally: "Tally") -> None:
        self._requests, self._tally = requests, tally
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            self._buffer = data
            return
        self._buffer = b""
        self._tally.add(head[9:12], time.perf_counter() - self._began)
        self._next()

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


@dataclass(slots=True)
class Tally:
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def add(self, status: bytes, elapsed_s: float) -> None:
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1
        self.latencies.append(elapsed_s)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.elapsed_s

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


async def load(port: int, requests: Sequence[bytes], connections: int = 64) -> Tally:
    """All requests once, over so many kept connections."""
    tally = Tally()
    loop = asyncio.get_running_loop()
    shared = iter(requests)
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: _Connection(shared, tally), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    tally.elapsed_s = time.perf_counter() - began
    return tally


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(of, to, strict=True)]
