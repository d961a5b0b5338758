"""A whole service as its own process, started and ended by the command line as anybody would."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from service.cli import app

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Running:
    process: subprocess.Popen[str]
    document: dict[str, Any]
    """What it said when it was up."""
    env: dict[str, str]
    """With which the command line finds it."""

    @property
    def url(self) -> str:
        url: str = self.document["url"]
        return url

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN_S)


def invoked(arguments: Sequence[str], env: Mapping[str, str | None], input: str | None = None) -> Result:
    """A verb in this process. What it does to the whole of it ends with it: a log that goes to the runner's own stderr, which is
    closed then, would break every line that any later test logs."""
    root, ours = logging.getLogger(), logging.getLogger("callsheet")
    kept, on_term = (root.handlers[:], root.level, ours.level), signal.getsignal(signal.SIGTERM)
    none = {name: None for name in os.environ if name.startswith(("CALLSHEET_", "PORT", "HOST"))}
    try:
        return CliRunner().invoke(app, list(arguments), input=input, env={**none, **env})
    finally:
        root.handlers[:], root.level, ours.level = kept
        signal.signal(signal.SIGTERM, on_term)


def environment(database_url: str, **more: str) -> dict[str, str]:
    """Ours and nothing of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CALLSHEET_", "PORT", "HOST"))}
    allowed = {"CALLSHEET_EGRESS_ALLOW": "127.0.0.0/8", "CALLSHEET_DATABASE_URL": database_url}
    return kept | {"PYTHONPATH": str(ROOT)} | allowed | more


def callsheet(env: dict[str, str], *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=WITHIN_S, check=False, **more)


@contextmanager
def running(env: dict[str, str], *arguments: str, cwd: Path | None = None) -> Iterator[Running]:
    with subprocess.Popen(
        [sys.executable, "-m", "service", *arguments, "--json"],
        env=env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not said.endswith("\n}\n"):
                line = process.stdout.readline()
                assert line, "it ended at once"
                said += line
            document = json.loads(said)
            where = {"CALLSHEET_PUBLIC_URL": document["url"]} if "url" in document else {}
            yield Running(process, document, env | where)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(WITHIN_S)
