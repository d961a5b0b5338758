"""All benches, one after the other, each a process of its own, so that none leaves its garbage to the next.

    ./infra/bench                                all of them, on both engines
    ./infra/bench --quick                        shorter runs: to see that they work
    ./infra/bench --only ingest,start sqlite     some, on one engine
    ./infra/bench --out now.json --compare earlier.json

Marks that are missed are said, with how much is missing; only a bench that finds a wrong answer, or cannot run, fails.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import results
from tests.bench.harness import ENGINES, pace
from tests.bench.servers import ROOT

BENCHES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if "\n    run(main, __doc__)\n" in path.read_text())
"""Whoever has that entry; the module says what it measures."""


def main() -> int:
    given = _parser().parse_args()
    chosen = given.only or BENCHES
    earlier = results.read(given.compare) if given.compare else None
    options = [*(["--quick"] if given.quick else []), *(["--among-others"] if len(chosen) > 1 else [])]
    began = time.monotonic()
    options += ["--pace", f"{pace():.2f}"]
    broken = []
    with tempfile.TemporaryDirectory(prefix="callsheet-bench-") as folder:
        out = Path(folder, "measured.json")
        for number, name in enumerate(chosen, start=1):
            print(f"[{number}/{len(chosen)}] {name}", file=sys.stderr, flush=True)
            since = time.monotonic()
            if not _ran(name, [*given.engines, "--out", str(out), *options]):
                broken.append(name)
            print(f"  {name}: {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
        measured = results.read(out)["figures"] if out.exists() else {}
    if given.out:
        results.merge(given.out, measured)
    if earlier is not None:
        print("\n".join(["", f"Since {earlier['at']}:", *results.compared(measured, earlier)]))
    print("\n".join(["", *summary(measured), f"{len(chosen)} benches in {time.monotonic() - began:.0f} s."]))
    if broken:
        print(f"These found something wrong, or could not run: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _ran(name: str, arguments: Sequence[str]) -> bool:
    return subprocess.run([sys.executable, "-m", f"tests.bench.{name}", *arguments], cwd=ROOT, check=False).returncode == 0


def summary(measured: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is missed, and by how much."""
    held = {key: figure for key, figure in measured.items() if figure["met"] is not None}
    missed = {key: figure for key, figure in held.items() if not figure["met"]}
    lines = [
        f"{key}: {f['median']:.3g} {f['unit']}, mark {f['reach']:g}, missed by {f['missed_by']:.0%}"
        for key, f in missed.items()
    ]
    return [*lines, f"{len(held) - len(missed)} of {len(held)} marks met."]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("./infra/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", choices=[*ENGINES, []], help="both, unless named")
    parser.add_argument("--only", type=_names, metavar="NAMES", help=f"of {','.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, or renew those of a file")
    parser.add_argument("--compare", type=_earlier, metavar="FILE", help="say what changed since such a file")
    return parser


def _names(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in BENCHES:
            raise argparse.ArgumentTypeError(f"there is no bench {name}; there are {', '.join(BENCHES)}")
    return chosen


def _earlier(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no {text}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
