"""`python -m tests.mutations [--only N]`: each bug in a copy of the tree of its own, and who noticed it.

Exit code 1: a bug that nobody noticed, or tests that fail without any.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutations.bugs import BUGS, Bug, broken

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 900
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "var", "*.egg-info")
NOTICED = 3
"""Tests that fail before a bug counts as noticed well enough."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", type=int, metavar="N", help=f"one of 1 to {len(BUGS)}")
    parser.add_argument("--quick", action="store_true", help="do not run the tests without a bug first")
    wanted = parser.parse_args()
    chosen = [(n, bug) for n, bug in enumerate(BUGS, 1) if wanted.only in (None, n)]
    if not chosen:
        parser.error(f"there are {len(BUGS)} bugs")
    if not wanted.quick:
        failed = run(None, sorted({test for _, bug in chosen for test in bug.tests}))
        if failed:
            print("Without any bug these fail already:", *failed, sep="\n  ")
            return 1
    survived = 0
    for n, bug in chosen:
        noticed = run(bug, bug.tests) or run(bug, bug.area)
        survived += not noticed
        print(f"{n:2}  {bug.name}", *(noticed or ["SURVIVED"]), sep="\n      ", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} noticed")
    print(f"bugs {len(chosen)}\nbreaches: {survived}")
    return 1 if survived else 0


def run(bug: Bug | None, tests: Sequence[str]) -> list[str]:
    """Which of these tests fail with that bug, the first few."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        if bug is not None:
            path = copy / bug.path
            path.write_text(broken(bug, path.read_text()))
        command = [sys.executable, "-B", "-m", "pytest", "-n", "0", "--tb=no", f"--maxfail={NOTICED}", *tests]
        try:
            done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=WITHIN_S, check=False)
        except subprocess.TimeoutExpired:
            return [f"(nothing came of {' '.join(tests)} within {WITHIN_S} s)"]
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)  # no test was run at all: that notices nothing
    return re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE) or ["?"] * done.returncode


if __name__ == "__main__":
    sys.exit(main())
