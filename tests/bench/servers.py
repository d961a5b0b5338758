"""What is measured runs as a child process, served as the product is served; and what it costs the machine."""

import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


Child = subprocess.Popen[bytes]


@contextmanager
def server(app: str, port: int, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    """`app` is `module:factory`, served by one uvicorn worker with the product's own settings."""
    http = "service.cli.front:Bounded" if app.endswith(":product") else "httptools"
    command = ["-m", "uvicorn", app, "--factory", "--port", str(port), "--no-access-log", "--log-level", "error"]
    command += ["--timeout-keep-alive", "75", "--loop", "uvloop", "--http", http, "--no-proxy-headers", "--no-server-header"]
    with child(command, env or {}) as process:
        listening(port, process)
        yield process


@contextmanager
def service(port: int, env: Mapping[str, str], *verb: str) -> Iterator[Child]:
    """The product as its users start it, ready to work."""
    with child(["-m", "service", *(verb or ("serve", "--port", str(port)))], env) as process:
        _until(lambda: ready(port), process)
        yield process


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Of a child: nobody else's settings of the service, and these."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CALLSHEET_", "HOST", "PORT", "PYTHONDONT"))}
    kept.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / ".venv" / "bytecode"))  # as ./infra/run has it: compiled once
    return {**kept, "PYTHONPATH": str(ROOT), **env}


@contextmanager
def child(arguments: Sequence[str], env: Mapping[str, str]) -> Iterator[Child]:
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as folder:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if arguments[1] == "service" else None,  # one line for each outcome, at full speed
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def listening(port: int, process: Child) -> None:
    _until(lambda: _listens(port), process)


def _until(look: Callable[[], bool], process: Child) -> None:
    give_up = time.monotonic() + READY_S
    while not look():
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"did not start: {process.args!r}")
        time.sleep(0.005)


def _listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def ready(port: int) -> bool:
    """`/readyz` says so."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def family_cpu_s(pid: int) -> float:
    """Of a process, its children, and those of them that have ended: a PostgreSQL server."""
    parts = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ended = (int(parts[13]) + int(parts[14])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_s(pid) + ended + sum(cpu_s(int(each)) for each in children if Path(f"/proc/{each}").exists())


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def open_files(count: int) -> int:
    """Raise the limit, which children inherit, as far as the machine allows; how many there may be now."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = count if most == resource.RLIM_INFINITY else min(count, most)
    if now != resource.RLIM_INFINITY and now < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return max(now, allowed)
