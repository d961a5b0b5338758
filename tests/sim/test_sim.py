"""Ten thousand lifetimes with everything that can go wrong, and no breach; and proof that a breach would have been seen."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.channels.webhook import Webhook
from service.domain.delivery import Told
from service.domain.report import NotSent, Unknown
from service.flow import place
from service.web import callbacks
from tests.sim.regressions import STORIES
from tests.sim.runner import Summary, live, shortest, worlds
from tests.sim.story import FAULTS, Story, draw

ROOT = Path(__file__).resolve().parents[2]
LIFETIMES = 10_000
FIRST_SEED = 1
VERDICTS = ("advance", "duplicate", "late", "conflict", "unreadable", "unknown_status")
ENDS = ("task.succeeded", "task.failed", "task.cancelled", "task.expired", "task.lost")
TOLD = ("submission.unknown", "callback.conflict", "provider.unknown_status", "provider.degraded", "delivery.abandoned")
OUTCOMES = ("accepted", "rejected", "not_sent", "busy", "unknown")


def fine(first: int) -> Iterator[Story]:
    """Small worlds, from this seed on."""
    seed = first
    while True:
        story = draw(seed)
        if len(story.orders) < 100:
            yield story
        seed += 1


def test_ten_thousand_lifetimes_meet_every_fault_and_break_no_promise() -> None:
    lived = Summary()
    for outcome in worlds(FIRST_SEED, 1, LIFETIMES):
        lived.add(outcome)
    for story, found in lived.failed:
        print(shortest(story, {breach.invariant for breach in found}).told(), found[:3])
    assert lived.failed == []
    expected = [*FAULTS, *(f"receipt {verdict}" for verdict in VERDICTS), *(f"event {kind}" for kind in (*ENDS, *TOLD))]
    expected += [f"submission {outcome}" for outcome in OUTCOMES]
    expected += [f"delivery {state}" for state in ("delivered", "abandoned", "skipped")]
    assert [kind for kind in expected if not lived.met[kind]] == []


def test_a_seed_lives_the_same_life_again_whatever_the_hashes() -> None:
    story = next(fine(40))
    here = live(story).digest
    assert live(story).digest == here

    def elsewhere(seed: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.sim", "--only", str(story.seed)]
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)

    with elsewhere("1") as one, elsewhere("4711") as other:
        assert {process.communicate(timeout=120)[0].split()[-1] for process in (one, other)} == {here}


def test_another_seed_is_another_life() -> None:
    stories = fine(1)
    assert live(next(stories)).digest != live(next(stories)).digest


@pytest.mark.parametrize("name", STORIES)
def test_what_broke_once_stays_mended(name: str) -> None:
    assert live(STORIES[name]).breaches == []


# --- a broken service is caught ---


def broken(stories: Iterator[Story], tries: int = 20) -> tuple[Story, set[str]]:
    """The first of these worlds with a breach, and what broke."""
    for _ in range(tries):
        story = next(stories)
        if found := {breach.invariant for breach in live(story).breaches}:
            return story, found
    raise AssertionError("nobody noticed")


def sending_again_what_may_have_been_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = place._ask_gateway

    async def impatient(*given: Any) -> Any:
        outcome = await ask(*given)
        return NotSent("it looked like it") if isinstance(outcome, Unknown) else outcome

    monkeypatch.setattr(place, "_ask_gateway", impatient)


def acknowledging_what_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_failed", lambda _: 200)


def counting_as_delivered_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Webhook, "read", lambda *_: Told())


STRIKES = {
    "I7": ("submit times out after accept", "submit resets after accept"),
    "I1": ("commit fails", "disk full"),
    "I3": ("subscriber 500", "subscriber 429"),
}
"""The faults that such a service would stumble over."""


@pytest.mark.parametrize(
    ("sabotage", "invariant"),
    [
        (sending_again_what_may_have_been_heard, "I7"),
        (acknowledging_what_is_not_stored, "I1"),
        (counting_as_delivered_what_failed, "I3"),
    ],
)
def test_a_service_is_caught(monkeypatch: pytest.MonkeyPatch, sabotage: Any, invariant: str) -> None:
    sabotage(monkeypatch)
    stories = (story for story in fine(1) if any(fault.kind in STRIKES[invariant] for fault in story.faults))
    caught = (invariant in {breach.invariant for breach in live(next(stories)).breaches} for _ in range(20))
    assert any(caught)


def test_a_breach_comes_with_a_story_of_a_few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    sending_again_what_may_have_been_heard(monkeypatch)
    story, found = broken(fine(1))
    short = shortest(story, found, budget_s=60)
    assert len(short.orders) + len(short.faults) <= 4
    assert "after accept" in short.told()
    assert replace(short, faults=()).calm
