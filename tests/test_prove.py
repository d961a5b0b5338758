"""`./infra/prove` believes nobody by default: silence, an early end and a missing proof are failures like any breach."""

import importlib.util
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.chaos.disasters import DISASTERS
from tests.mutations.bugs import BUGS

PATH = Path(__file__).parent.parent / "infra" / "prove.py"


@pytest.fixture(scope="module")
def prove() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prove", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prove"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("code", "said", "trouble"),
    [
        (0, "runs 13\nfaults that struck (1,200):\nbreaches: 0", None),
        (0, "runs 13\nbreaches: 2 in 1 world", "2 breaches"),
        (1, "runs 13\nbreaches: 2", "2 breaches"),
        (1, "runs 13\nbreaches: 0", "it ended with 1"),
        (-9, "", "it ended with -9"),
        (0, "", "its summary is missing"),
        (0, "breaches: 0", "its summary is missing"),
        (0, "runs 12\nbreaches: 0", "only 12 of 13 runs"),
    ],
)
def test_only_a_whole_summary_without_a_breach_holds(
    prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str, trouble: str | None
) -> None:
    monkeypatch.setattr(prove, "LOGS", tmp_path)
    (tmp_path / "chaos.log").write_text(said)
    proof = next(proof for proof in prove.proofs(quick=True, seed=1, most_s=240) if proof.name == "chaos")
    assert prove.judged(code, proof.breaches, proof.done, proof.wanted, proof.unit) == trouble


def test_the_summary_of_hostile_bodies_is_understood(
    prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "LOGS", tmp_path)
    (tmp_path / "hostile.log").write_text("20,000 bodies in 9 s, 2,222/s, seed 1: 3 wrong\n  a fault\n")
    proof = next(proof for proof in prove.proofs(quick=True, seed=1, most_s=240) if proof.name == "hostile")
    assert (proof.done, proof.breaches) == (20_000, 3)


def test_every_disaster_is_counted(prove: ModuleType) -> None:
    assert sum(len(disaster.engines) for disaster in DISASTERS.values()) == prove.RUNS


def test_every_bug_is_counted(prove: ModuleType) -> None:
    assert len(BUGS) == prove.BUGS


def test_a_missing_proof_is_a_failure(prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "LOGS", tmp_path)
    monkeypatch.setattr(prove, "exists", lambda module: False)
    chosen = prove.proofs(quick=True, seed=1, most_s=240)
    prove.run(chosen, most_s=1)
    assert prove.report(chosen, seed=1) == 1
    assert {str(proof.trouble)[:14] for proof in chosen} == {"it is missing:"}


def test_a_slow_machine_is_told_that_it_needs_more_time(
    prove: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation = prove.proofs(quick=False, seed=1, most_s=3_600)[1]
    assert (simulation.name, simulation.arguments[-2:]) == ("simulation", ["--for", "3570s"])
    simulation.trouble = "only 400,000 of 1,000,000 lifetimes"
    assert prove.report([simulation], seed=1) == 1
    assert "give it more with --minutes" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["prove", "--minutes", "1"])
    with pytest.raises(SystemExit):
        prove.main()


def test_whoever_is_ended_ends_what_he_started(prove: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    monkeypatch.setattr(prove, "ROOT", tmp_path)
    monkeypatch.setattr(prove, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(prove.Proof, "end", lambda proof, why: ended.append(proof.name))
    monkeypatch.setattr(prove, "run", lambda *_: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(sys, "argv", ["prove", "--only", "chaos"])
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended at once"))
    try:
        prove.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended == ["chaos"]


def test_a_proof_is_a_program(prove: ModuleType) -> None:
    assert prove.exists("tests.chaos")
    assert not prove.exists("tests.no.such.proof")
    assert not prove.exists("service.domain"), "a package that is no program"
