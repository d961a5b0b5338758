"""Fills .venv with exactly the pinned, hashed requirements. Called by `infra/environment`, with any Python ≥ 3.11.

Two at once wait for each other; an interrupted one is started over by the next, because a half-unpacked package can
look whole. Nothing of ours is built: a path file and a three-line command stand for the project, so that a checkout
that is moved still runs itself. Absent on purpose: the addresses of indexes. They are pip's and uv's own settings.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"
INSTALL_TIMEOUT_S = 900
"""A slow line needs minutes; a hung one must not hold a CI machine for ever."""

COMMAND = """#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/python" -P -m service "$@"
"""


def main(name: str) -> int:
    wanted = ROOT / "infra" / name
    ground = os.open(wanted.parent, os.O_RDONLY)
    os.set_inheritable(ground, True)  # an installer that outlives us keeps the lock
    try:
        fcntl.flock(ground, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another start is making .venv; waiting for it.", file=sys.stderr)
        fcntl.flock(ground, fcntl.LOCK_EX)
    if is_current(wanted):
        return 0
    began = time.monotonic()
    print(f"Installing {name} into .venv (once; a minute or so) …", file=sys.stderr, flush=True)
    if not (PYTHON.exists() and is_sound()):
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV], check=True)
    UNFINISHED.touch()
    if not install(wanted):
        print(
            f"Could not install {name}: the reason stands above. Run the same command again after mending it.", file=sys.stderr
        )
        return 1
    add_ourselves()
    for stamp in stamps(wanted):
        shutil.copyfile(stamp, VENV / stamp.name)
    UNFINISHED.unlink()
    print(f"Installed in {time.monotonic() - began:.0f} s.", file=sys.stderr)
    return 0


def stamps(wanted: Path) -> list[Path]:
    """The list for tests holds all that runs as well, in the same versions: it answers for both."""
    return [wanted, *([] if wanted.name == "requirements.txt" else [wanted.with_name("requirements.txt")])]


def is_current(wanted: Path) -> bool:
    installed = VENV / wanted.name
    return is_sound() and installed.exists() and installed.read_bytes() == wanted.read_bytes()


def is_sound() -> bool:
    """It was finished, and its Python still runs and is new enough."""
    if UNFINISHED.exists() or not PYTHON.exists():
        return False
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode == 0


def install(wanted: Path) -> bool:
    """uv where it is, for its speed; pip otherwise, and also where uv does not know the index that pip is set up for."""
    hashed = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "-r", str(wanted)]
    uv = shutil.which("uv")
    if uv:
        if succeeds([uv, "pip", *hashed, "--python", str(PYTHON)]):
            return True
        print("uv could not; trying pip.", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    if not succeeds([*pip, "--version"], silent=True):
        pip = [str(PYTHON), "-m", "pip"]
        if not succeeds([str(PYTHON), "-m", "ensurepip"], silent=True):
            print(f"{sys.executable} has neither pip nor ensurepip: install one of them, or uv.", file=sys.stderr)
            return False
    return succeeds([*pip, *hashed, "--no-compile", "--no-input", "--disable-pip-version-check"])


def succeeds(command: list[str], silent: bool = False) -> bool:
    try:
        done = subprocess.run(command, capture_output=silent, timeout=INSTALL_TIMEOUT_S, close_fds=False, check=False)
    except subprocess.TimeoutExpired:
        print(f"Gave up after {INSTALL_TIMEOUT_S} s.", file=sys.stderr)
        return False
    return done.returncode == 0


def add_ourselves() -> None:
    """`import service` from anywhere, and the `callsheet` command; the path is relative to the folder it lies in."""
    packages = next((VENV / "lib").glob("python3.*/site-packages"))
    (packages / "callsheet.pth").write_text(os.path.relpath(ROOT, packages) + "\n")
    command = VENV / "bin" / "callsheet"
    command.write_text(COMMAND)
    command.chmod(0o755)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit("Interrupted. The next start begins again.")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"Could not make .venv: {error}")
