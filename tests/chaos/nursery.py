"""Forks processes of the service from one that has imported it: a restart costs milliseconds instead of a second of imports,
so that a service which is killed every second is up most of the time.

    python -m tests.chaos.nursery CLOCK     reads {"argv", "env", "cwd", "log"} lines, answers each with a process id

What is forked runs the command line's own `main`, and dies with its nursery.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.clock import Clock

ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1


class Nursery:
    """Its other end, for whoever wants processes."""

    def __init__(self, clock: Clock) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CALLSHEET_", "HOST", "PORT"))}
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery", str(clock.path)],
            cwd=ROOT,
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def fork(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> int:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        order = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        self._popen.stdin.write(json.dumps(order) + "\n")
        return int(self._popen.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._popen.communicate(timeout=30)


def _become(order: Mapping[str, Any]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    out = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDWR)
    for old, new in ((nothing, 0), (nothing, 1), (out, 2)):
        os.dup2(old, new)
    sys.argv = ["callsheet", *order["argv"]]
    from service.cli import main

    main()


def _turn_all(clock: Clock) -> None:
    """A machine's own, and what processes make of PostgreSQL's."""
    from service.store.clock import Following

    clock.install()
    theirs = Following.__call__
    Following.__call__ = lambda self: theirs(self) + clock.ahead_ns // 1_000_000  # type: ignore[method-assign]


def _main(path: str) -> None:
    import service.app
    import service.cli.serving  # noqa: F401

    _turn_all(Clock(Path(path)))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them here, and none shall stay as a zombie
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code: object = 1
            try:
                _become(json.loads(line))
                code = 0
            except SystemExit as end:
                code = end.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else 0 if code is None else 1)
        print(pid, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
