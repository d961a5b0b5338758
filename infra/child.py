"""The service as a child process of `./infra/run`: started, asked over HTTP, followed, ended within bounds."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "var" / "service.log"

READY_WITHIN_S = 30
"""It takes about a second; a first start on a slow disk also makes keys and tables."""
STOP_WITHIN_S = 30
"""Longer than the service allows itself to drain."""
ANSWER_WITHIN_S = 10
LOG_MOST_BYTES = 10_000_000
"""What the log may grow to while it runs here; it starts empty each time."""


class Trouble(Exception):
    """What went wrong and what to do, for the person who started it."""


class Service:
    def __init__(self, host: str, port: int) -> None:
        check_free(host, port)
        LOG.parent.mkdir(exist_ok=True)
        self.log = LOG.open("w+")
        environment = os.environ | {"HOST": host, "PORT": str(port)}
        environment.setdefault("CALLSHEET_EGRESS_ALLOW", "127.0.0.0/8")  # the demo's receiver lives on this machine
        database = environment.setdefault("CALLSHEET_DATABASE_URL", "sqlite:///var/callsheet.db")
        self.keys = (
            ROOT / (Path(database.removeprefix("sqlite:///")).parent if database.startswith("sqlite") else "var") / "keys.json"
        )
        self.url = f"http://{_reachable(host)}:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=ANSWER_WITHIN_S, trust_env=False)  # no proxy to ourselves
        with LOG.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through us, once
                preexec_fn=_die_with_parent,
            )

    def wait_ready(self) -> str:
        """The API key, once it answers that it is ready."""
        give_up = time.monotonic() + READY_WITHIN_S
        while not self.answers("/readyz"):
            if self.process.poll() is not None:
                raise Trouble(f"The service ended at once ({self.process.returncode}):\n{self.tail()}")
            if time.monotonic() > give_up:
                raise Trouble(f"The service was not ready after {READY_WITHIN_S} s:\n{self.tail()}")
            time.sleep(0.03)
        key = os.environ.get("CALLSHEET_ADMIN_KEY") or str(json.loads(self.keys.read_text())["admin_key"])
        self.client.headers["Authorization"] = f"Bearer {key}"
        return key

    def answers(self, path: str, kind: str = "") -> bool:
        try:
            answer = self.client.get(path, headers={"Accept": kind or "*/*"})
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.headers.get("content-type", "").startswith(kind)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = self.client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise Trouble(f"{method} {path}: no answer ({error!r}). Its last words:\n{self.tail()}") from None
        if answer.is_error:
            raise Trouble(f"{method} {path} answered {answer.status_code}: {answer.text[:2_000]}")
        return answer.json() if answer.content else None

    def tail(self) -> str:
        return "\n".join(LOG.read_text(errors="replace").splitlines()[-15:])

    def follow(self) -> None:
        """Shows its log from now on, until it ends."""
        self.log.seek(0, os.SEEK_END)
        while self.process.poll() is None:
            print(self.log.read(), end="", flush=True)
            if self.log.tell() > LOG_MOST_BYTES:
                self.log.truncate(0)
                self.log.seek(0)
            time.sleep(0.2)
        raise Trouble(f"{self.log.read()}The service ended by itself ({self.process.returncode}).")

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                print(f"It did not end within {STOP_WITHIN_S} s and is killed; nothing acknowledged is lost.", file=sys.stderr)
                self.process.kill()
                self.process.wait()
        self.log.close()


def check_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, OverflowError) as error:
        raise Trouble(
            f"Cannot listen on {host}, port {port}: {error}.\n"
            "If another Callsheet runs there, use or end that one; or choose another port: ./infra/run --port 8123"
        ) from None


def _reachable(host: str) -> str:
    match host:
        case "0.0.0.0":  # noqa: S104  (compared, not bound)
            return "127.0.0.1"
        case "::":
            return "[::1]"
        case _:
            return f"[{host}]" if ":" in host else host


def _die_with_parent() -> None:
    """Where Linux allows: if we are killed outright, nothing stays behind that holds the port and the database."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG
