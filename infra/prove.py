"""What is promised, held against what can go wrong. Half an hour at most, or two minutes with --quick; a slow machine may be
given more with --minutes. Called by `./infra/prove`.

Four proofs at once, each a program of its own with a summary of its own: a million simulated lifetimes, disasters on real
processes, a million hostile callback bodies, and requests made from /openapi.json. A fifth is made when it is asked for, because
it needs the processor for itself: --only mutations, ten bugs made on purpose that the tests have to notice. Exit 1 on any
breach, and when a proof is missing, stops early or proves less than was asked of it.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "var" / "prove"
FULL_S, QUICK_S, LEAST_S = 1_740.0, 240.0, 120.0
"""Before this a proof has ended, or is ended: with its preparations the whole takes half an hour at most."""
TOLD_EVERY_S = 15.0
END_S = 30.0
"""For a proof to leave in order once it was asked to."""
NAMES = ("chaos", "simulation", "hostile", "contract", "mutations")
BUGS = 10
"""Made on purpose, one after the other."""
RUNS = 13
"""Of disasters: each on every engine on which it can happen."""
SHOWN = 20
"""Last lines of a proof that failed."""


@dataclass(slots=True)
class Proof:
    name: str
    module: str
    arguments: Sequence[str]
    unit: str
    """What it counts."""
    wanted: int
    """Of these."""
    nice: int
    done_is: str = r"^{unit} ([\d,]+)"
    faults_are: str = r"^faults that struck \(([\d,]+)\)"
    breaches_are: str = r"^breaches: ([\d,]+)"
    """Where its summary says them."""
    process: subprocess.Popen[bytes] | None = None
    out: IO[bytes] | None = None
    trouble: str | None = None
    took_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> None:
        if not exists(self.module):
            self.trouble = f"it is missing: there is no {self.module}"
            return
        self.out = self.log.open("wb")
        self.process = subprocess.Popen(
            ["nice", "-n", str(self.nice), sys.executable, "-m", self.module, *self.arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self.out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it is ended with all that it started
        )

    def ended(self) -> bool:
        if self.process is None:
            return True
        code = self.process.poll()
        if code is None:
            return False
        if self.out is not None and not self.out.closed:
            self.out.close()
            self.took_s = time.monotonic() - self.began
            self.trouble = self.trouble or judged(code, self.breaches, self.done, self.wanted, self.unit)
        return True

    def end(self, why: str) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.trouble = self.trouble or why
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(END_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
            break

    def found(self, pattern: str) -> int | None:
        """As its summary says it; of several the last."""
        numbers = re.findall(pattern.format(unit=self.unit), self.said, re.MULTILINE)
        return int(numbers[-1].replace(",", "")) if numbers else None

    @property
    def done(self) -> int | None:
        return self.found(self.done_is)

    @property
    def breaches(self) -> int | None:
        return self.found(self.breaches_are)


def judged(code: int, breaches: int | None, done: int | None, wanted: int, unit: str) -> str | None:
    """Why it proves nothing, or the opposite of what it should; None: it holds."""
    if breaches:
        return f"{breaches:,} breaches"
    if code:
        return f"it ended with {code}"
    if breaches is None or done is None:
        return "its summary is missing"
    if done < wanted:
        return f"only {done:,} of {wanted:,} {unit}"
    return None


def exists(module: str) -> bool:
    """As a program: a module, or a package with a `__main__`."""
    try:
        spec = find_spec(module)
        return spec is not None and (spec.submodule_search_locations is None or find_spec(f"{module}.__main__") is not None)
    except ModuleNotFoundError:
        return False


def proofs(quick: bool, seed: int, most_s: float) -> list[Proof]:
    """The disasters mostly wait, and go before those that fill the processor."""
    lives, bodies, examples = (5_000, 20_000, 5) if quick else (1_000_000, 1_000_000, 100)
    given = ["--seed", str(seed)]
    jobs = ["--jobs", str(os.cpu_count() or 1)]
    chaos = [*given, "--quick"] if quick else given
    most = f"{most_s - END_S:.0f}s"  # it says what it did instead of being ended
    hostile = [*given, *jobs, "--bodies", str(bodies), "--engine", "both"]
    return [
        Proof("chaos", "tests.chaos", chaos, "runs", RUNS, nice=0),
        Proof("simulation", "tests.sim", [*given, *jobs, "--lifetimes", str(lives), "--for", most], "lifetimes", lives, nice=5),
        Proof(
            "hostile",
            "tests.hostile.fuzz",
            hostile,
            "bodies",
            bodies,
            nice=5,
            done_is=r"^([\d,]+) {unit} in",
            faults_are=r"^([\d,]+) {unit} in",
            breaches_are=r"^[\d,]+ {unit} in .*: ([\d,]+) wrong$",
        ),
        Proof(
            "contract",
            "tests.hostile.contract",
            [*given, "--examples", str(examples)],
            "examples",
            examples,
            nice=5,
            done_is=r'^.*"{unit}": ([\d,]+)',
            breaches_are=r'^.*"exit": ([\d,]+)',
        ),
        Proof(
            "mutations",
            "tests.mutations",
            ["--quick", "--only", str(seed % BUGS + 1)] if quick else [],
            "bugs",
            1 if quick else BUGS,
            nice=5,
            faults_are=r"^{unit} ([\d,]+)",
        ),
    ]


def main() -> int:
    reader = argparse.ArgumentParser(prog="./infra/prove", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    reader.add_argument("--quick", action="store_true", help="two minutes instead of thirty")
    reader.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of all that is drawn")
    reader.add_argument("--only", choices=NAMES, action="append", help="this proof (repeatable)")
    reader.add_argument("--minutes", type=float, help="at most, in place of 29 or 4: for a machine that is too slow for those")
    asked = reader.parse_args()
    most_s = asked.minutes * 60 if asked.minutes else QUICK_S if asked.quick else FULL_S
    if most_s < LEAST_S:
        reader.error("--minutes: at least two; a proof that gets less proves nothing")
    sys.path.insert(0, str(ROOT))
    LOGS.mkdir(parents=True, exist_ok=True)
    for log in LOGS.glob("*.log"):
        log.unlink()
    chosen = [proof for proof in proofs(asked.quick, asked.seed, most_s) if proof.name in (asked.only or NAMES[:-1])]
    print(f"Seed {asked.seed}. What each says is in {LOGS.relative_to(ROOT)}/.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever is ended ends what he started
    try:
        run(chosen, most_s)
    except KeyboardInterrupt:
        print("Interrupted.", flush=True)
    finally:
        for proof in chosen:
            proof.end("it was interrupted")
            proof.ended()
    return report(chosen, asked.seed)


def run(chosen: Sequence[Proof], most_s: float) -> None:
    for proof in chosen:
        proof.start()
    began = told = time.monotonic()
    while left := [proof for proof in chosen if not proof.ended()]:
        now = time.monotonic()
        if now - began > most_s:
            for proof in left:
                proof.end(f"it was not done after {most_s / 60:.0f} minutes")
            return
        if now - told > TOLD_EVERY_S:
            told = now
            lines = [f"{p.name}: {(p.said.splitlines() or ['…'])[-1].strip()[:100]}" for p in left]
            print(f"{now - began:6.0f} s  " + "\n          ".join(lines), flush=True)
        time.sleep(0.2)


def report(chosen: Sequence[Proof], seed: int) -> int:
    print()
    faults = breaches = 0
    for proof in chosen:
        struck, broken = proof.found(proof.faults_are), proof.breaches
        faults, breaches = faults + (struck or 0), breaches + (broken or 0)
        done = "–" if proof.done is None else f"{proof.done:,} {proof.unit}"
        verdict = "holds" if proof.trouble is None else f"FAILED: {proof.trouble}"
        print(
            f"{proof.name:<11} {done:>20}  {struck or 0:>10,} faults  {broken or 0:>3,} breaches  {proof.took_s:6.0f} s  {verdict}"
        )
    failed = [proof for proof in chosen if proof.trouble is not None]
    for proof in failed:
        if proof.said:
            print(f"\n── {proof.name}, last lines of {proof.log.relative_to(ROOT)}")
            print("\n".join(line[:300] for line in proof.said.splitlines()[-SHOWN:]))
    word = "Everything holds" if not failed else f"Failed: {', '.join(proof.name for proof in failed)}"
    print(f"\n{word}. {faults:,} faults, {breaches:,} breaches. Again: ./infra/prove --seed {seed}", flush=True)
    if any(proof.trouble and (proof.trouble.startswith("only") or "minutes" in proof.trouble) for proof in failed):
        print("What was not done in time is no breach: give it more with --minutes.", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
