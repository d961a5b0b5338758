"""How late the loop is, and how full: told by a timer that rings when it can."""

import asyncio
from pathlib import Path

import pytest

from service import lateness
from service.app import App
from service.lateness import Lateness
from service.settings import load
from tests.cli.running import environment

pytestmark = pytest.mark.anyio


class Clock:
    """Each reading may find that time has passed."""

    def __init__(self) -> None:
        self.now_s = self.step_s = 0.0
        self.readings = 0

    def __call__(self) -> float:
        self.now_s += self.step_s
        self.readings += 1
        return self.now_s

    async def rings(self, count: int) -> None:
        """Each reads the clock twice."""
        until_then = self.readings + 2 * count
        while self.readings < until_then:  # noqa: ASYNC110 (and not one turn of the loop more)
            await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(lateness, "EVERY_S", 0.0)
    return Clock()


async def test_whoever_rings_late_again_and_again_is_late_until_it_rings_in_time_again(clock: Clock) -> None:
    loop = Lateness(clock)
    loop.start()
    assert loop.to_a_newcomer_s() == 0.0
    clock.step_s = 1.0
    await clock.rings(3)
    assert loop.to_a_newcomer_s() >= 1.0
    clock.step_s = 0.0
    await clock.rings(3)
    assert loop.to_a_newcomer_s() == 0.0
    loop.stop()


async def test_one_pause_alone_makes_nobody_late(clock: Clock) -> None:
    loop = Lateness(clock)
    loop.start()
    await clock.rings(2)
    clock.now_s += 3_600
    assert loop.to_a_newcomer_s() == 0.0, "while it lasts"
    await clock.rings(1)
    assert loop.to_a_newcomer_s() == 0.0, "and when it is over"
    loop.stop()


async def test_a_pause_on_top_of_another_is_known_before_it_is_over(clock: Clock) -> None:
    loop = Lateness(clock)
    loop.start()
    clock.now_s += 2.0
    await clock.rings(1)
    clock.now_s += 1.0
    assert loop.to_a_newcomer_s() == 1.0
    loop.stop()
    assert loop.to_a_newcomer_s() == 0.0


async def test_a_crowd_within_one_turn_is_what_makes_it_late(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "CROWD", 3)
    loop = Lateness(clock)
    loop.start()
    clock.now_s += 1.0
    assert [loop.to_a_newcomer_s() for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 1.0]
    await clock.rings(2)
    assert [loop.to_a_newcomer_s() for _ in range(5)] == [0.0] * 5, "the next turn is another one"
    loop.stop()


async def test_each_ring_tells_for_what_part_of_its_time_the_loop_was_at_work_and_who_came(clock: Clock) -> None:
    worked = Clock()
    loop = Lateness(clock, worked)
    told: list[tuple[float, int, float]] = []
    loop.heard = lambda *moment: told.append(moment)
    worked.now_s = 7.0
    loop.start()
    for _ in range(3):
        loop.to_a_newcomer_s()
    clock.now_s += 2.0
    worked.now_s += 1.5
    await clock.rings(1)
    clock.now_s += 1.0
    await clock.rings(1)
    assert told == [(0.75, 3, 2.0), (0.0, 0, 1.0)]
    loop.stop()


async def test_a_running_service_knows_how_late_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lateness, "CROWD", 0)  # so that the ring that is due is told
    env = environment(f"sqlite:///{tmp_path}/callsheet.db")
    async with App(load(env, make_keys=False), loops=False).run() as service:
        assert service.parts.lateness.to_a_newcomer_s() != 0.0
    assert service.parts.lateness.to_a_newcomer_s() == 0.0
