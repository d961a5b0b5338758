"""The service as a child process of `./infra/run`: started, asked over HTTP, followed, ended within bounds.

Standard library only: a client library's import alone would be felt at every start.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "var" / "service.log"

READY_WITHIN_S = 30
"""It takes about a second; a first start on a slow disk also makes keys and tables."""
STOP_WITHIN_S = 30
"""Longer than the service allows itself to drain."""
ANSWER_WITHIN_S = 10
LOG_MOST_BYTES = 10_000_000
"""What the log may grow to; beyond, it begins anew."""


class Trouble(Exception):
    """What went wrong and what to do, for the person who started it."""


class Service:
    def __init__(self, host: str, port: int) -> None:
        check_free(host, port)
        try:
            LOG.parent.mkdir(exist_ok=True)
            self.log = LOG.open("a+")
        except OSError as error:
            raise Trouble(
                f"{LOG.parent} cannot be written ({error.strerror}): give yourself the right to, or run it elsewhere."
            ) from None
        self.began = self.log.tell()
        environment = os.environ | {"HOST": host, "PORT": str(port)}
        environment.setdefault("CALLSHEET_EGRESS_ALLOW", "127.0.0.0/8,::1/128")  # the demo's receiver lives on this machine
        database = environment.setdefault("CALLSHEET_DATABASE_URL", "sqlite:///var/callsheet.db")
        self.keys = (
            ROOT / (Path(database.removeprefix("sqlite:///")).parent if database.startswith("sqlite") else "var") / "keys.json"
        )
        self.host, self.port = _reachable(host), port
        self.url = f"http://[{self.host}]:{port}" if ":" in self.host else f"http://{self.host}:{port}"
        self.key = ""
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
        """Its API key as it may be shown: one from the environment stays there."""
        give_up = time.monotonic() + READY_WITHIN_S
        while not self.answers("/readyz"):
            if self.process.poll() is not None:
                raise Trouble(f"The service ended at once ({self.process.returncode}):\n{self.tail()}")
            if time.monotonic() > give_up:
                raise Trouble(f"The service was not ready after {READY_WITHIN_S} s:\n{self.tail()}")
            time.sleep(0.03)
        given = os.environ.get("CALLSHEET_ADMIN_KEY")
        self.key = given or str(json.loads(self.keys.read_text())["admin_key"])
        return "$CALLSHEET_ADMIN_KEY" if given else self.key

    def answers(self, path: str, kind: str = "") -> bool:
        try:
            status, found, _ = self._send("GET", path, {"Accept": kind or "*/*"})
        except (OSError, HTTPException):
            return False
        return status == 200 and found.startswith(kind)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            status, _, answer = self._send(method, path, {"Content-Type": "application/json"}, body)
        except (OSError, HTTPException) as error:
            raise Trouble(f"{method} {path}: no answer ({error!r}). Its last words:\n{self.tail()}") from None
        if status >= 400:
            raise Trouble(f"{method} {path} answered {status}: {answer[:2_000].decode(errors='replace')}")
        return json.loads(answer or b"null")

    def _send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, str, bytes]:
        connection = HTTPConnection(self.host, self.port, timeout=ANSWER_WITHIN_S)
        try:
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body).encode(),
                headers | ({"Authorization": f"Bearer {self.key}"} if self.key else {}),
            )
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()

    def tail(self) -> str:
        """Its last words in this run."""
        self.log.seek(self.began)
        return "".join(self.log.readlines()[-15:]).rstrip()

    def follow(self) -> None:
        """Shows its log from now on, until it ends."""
        self.log.seek(0, os.SEEK_END)
        while self.process.poll() is None:
            print(self.log.read(), end="", flush=True)
            if self.log.tell() > LOG_MOST_BYTES:
                self.log.truncate(0)
            time.sleep(0.2)
        raise Trouble(f"{self.log.read()}The service ended by itself ({self.process.returncode}).")

    def stop(self) -> None:
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
            f"Cannot listen on port {port}: {error}.\n"
            "If another Callsheet runs there, use or end that one; or choose another port: ./infra/run --port 8123"
        ) from None


def _reachable(host: str) -> str:
    """Where one who listens everywhere is found."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  (compared, not bound)


def _die_with_parent() -> None:
    """Where Linux allows: if we are killed outright, nothing stays behind that holds the port and the database."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG
