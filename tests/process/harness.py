"""Real processes, a real receiver that outlives them, and nothing in between but loopback HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60
KEYS = {
    "CALLSHEET_SIGNING_KEYS": "a-signing-key-of-thirty-two-chars",
    "CALLSHEET_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "CALLSHEET_ADMIN_KEY": "csa_the-operators-own-key",
}
PROVIDER_KEY = "sk-a-provider-key-nobody-may-see"
Found = Any


def until(look: Callable[[], Found], what: str, within_s: float = WITHIN_S) -> Found:
    """The first thing found that is anything; a pause of a few milliseconds between two looks."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            found = look()
        except httpx.TransportError:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"within {within_s:.0f} s: {what}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Process:
    """One Python of ours, with everything it ever said."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], cwd: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CALLSHEET_", "HOST", "PORT"))}
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            env={**kept, "PYTHONPATH": str(ROOT), **env},
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.popen.stderr is not None
        self.lines.extend(self.popen.stderr)

    def kill(self) -> None:
        """As a machine would that loses power."""
        self.popen.send_signal(signal.SIGKILL)
        self._end()

    def terminate(self) -> tuple[int, float]:
        """The exit code, and how long the end took."""
        began = time.monotonic()
        self.popen.send_signal(signal.SIGTERM)
        self._end()
        return self.popen.returncode, time.monotonic() - began

    def _end(self) -> None:
        self.popen.wait(WITHIN_S)
        self._listener.join(WITHIN_S)
        assert self.popen.stderr is not None
        self.popen.stderr.close()

    def close(self) -> None:
        if self.popen.poll() is None:
            self.kill()
        elif self.popen.stderr is not None and not self.popen.stderr.closed:
            self._end()


@dataclass
class Receiver:
    """A subscriber of the test's own: it hears, keeps and answers, whoever dies meanwhile."""

    url: str
    heard: list[tuple[str, dict[str, Any], bytes, Mapping[str, str]]] = field(default_factory=list)
    """(webhook-id, body, raw body, headers), as they came."""
    hold: threading.Event = field(default_factory=threading.Event)
    """Not set: answers wait for it."""
    arrived: threading.Event = field(default_factory=threading.Event)

    def about(self, task: str) -> dict[str, str]:
        """Type of notice by webhook-id: what a subscriber that drops repetitions has heard of a task."""
        return {name: body["type"] for name, body, _, _ in list(self.heard) if body["data"].get("task", {}).get("id") == task}


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            receiver.heard.append((self.headers["webhook-id"], json.loads(raw), raw, dict(self.headers)))
            receiver.arrived.set()
            receiver.hold.wait(WITHIN_S)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever was killed did not wait for the answer."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/notices")
    receiver.hold.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(WITHIN_S)


PROVIDER = """
import sys
from service.sandbox import SandboxSettings, serve
serve("127.0.0.1", int(sys.argv[1]), SandboxSettings(queue_s=0.2, run_s=4, callback_tries=100, callback_pause_s=0.3))
"""


@contextmanager
def providing(home: Path) -> Iterator[str]:
    """Simulated gateways as a process of their own, which outlives the service's: the address of one of them.

    They repeat their last word for half a minute, so that it finds whoever has been restarted, on however slow a machine:
    asking begins only after minutes of silence."""
    port = free_port()
    process = Process(["-c", PROVIDER, str(port)], {}, home)
    try:
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/sandbox/", trust_env=False).is_success, "the sandbox")
        yield f"http://127.0.0.1:{port}/sandbox/ark/api/v3"
    finally:
        process.close()


class Stage:
    """Everything that a test starts, ended with it."""

    def __init__(self, home: Path, receiver: Receiver, provider_url: str | None) -> None:
        """Without a provider the service has its own sandbox."""
        self.home, self.receiver, self.provider_url = home, receiver, provider_url
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.database_url = f"sqlite:///{home}/callsheet.db"
        self.processes: list[Process] = []
        transport = httpx.HTTPTransport(trust_env=False)
        headers = {"Authorization": f"Bearer {KEYS['CALLSHEET_ADMIN_KEY']}"}
        self.http = httpx.Client(base_url=self.url, transport=transport, headers=headers, timeout=20)

    def env(self, port: int) -> dict[str, str]:
        ark = {"CALLSHEET_ARK_API_KEY": PROVIDER_KEY, "CALLSHEET_ARK_BASE_URL": self.provider_url or ""}
        return {
            **KEYS,
            "CALLSHEET_DATABASE_URL": self.database_url,
            "CALLSHEET_PUBLIC_URL": self.url,
            "CALLSHEET_EGRESS_ALLOW": "127.0.0.0/8",
            **(ark if self.provider_url is not None else {}),
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }

    def run(self, *arguments: str, port: int | None = None) -> Process:
        process = Process(["-m", "service", *arguments], self.env(port or self.port), self.home)
        self.processes.append(process)
        return process

    def serve(self, *arguments: str) -> Process:
        process = self.run("serve", *arguments)
        self.ready()
        return process

    def ready(self) -> None:
        until(lambda: self.http.get("/readyz").status_code == 200, "ready")

    def subscribe(self) -> str:
        made = self.http.post("/v1/subscriptions", json={"target": self.receiver.url})
        assert made.status_code == 201, made.text
        return str(made.json()["secret"])

    def order(self, prompt: str) -> str:
        made = self.http.post("/v1/tasks", json={"model": "seedance-1-0-pro-250528", "prompt": prompt})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def state(self, task: str) -> str:
        return str(self.http.get(f"/v1/tasks/{task}").json()["state"])

    def transitions(self, task: str) -> list[str]:
        story = self.http.get(f"/v1/tasks/{task}/timeline").json()["data"]
        return [e["event"] for e in story if e["type"] == "transition"]

    def said(self) -> str:
        return "".join(line for process in self.processes for line in process.lines)

    def close(self) -> None:
        self.http.close()
        for process in self.processes:
            process.close()
