"""Many machines, one clock: what each of them believes about the time is no matter."""

import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest

from service.domain.ids import Ids
from service.flow import claim
from service.store.clock import Following
from service.store.postgres import Postgres, clock_us
from tests.conftest import empty
from tests.world import Engine, World

pytestmark = pytest.mark.anyio

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS


class Machine:
    """A steady clock and a wall clock that a test turns."""

    def __init__(self, wall_ns: int = 0) -> None:
        self.ns = 0
        self.clock = Following(lambda: self.ns, lambda: wall_ns)

    def looks(self, theirs_s: float, there_s: float = 0.0, back_s: float = 0.0) -> float:
        asked = self.ns
        self.ns += int((there_s + back_s) * SECOND_NS)
        self.clock.seen(asked, int(theirs_s * 1_000_000), self.ns)
        return self.clock() / 1_000


def test_before_the_first_look_it_is_the_machine_s_own_and_then_it_is_the_database_s() -> None:
    machine = Machine(wall_ns=HOUR_NS)
    assert machine.clock() == 3_600_000
    assert machine.looks(theirs_s=100.0) == 100.0
    machine.ns += 5 * SECOND_NS
    assert machine.clock() == 105_000


def test_it_is_moved_only_as_far_as_a_look_proves_it_wrong() -> None:
    machine = Machine(wall_ns=100 * SECOND_NS)
    assert machine.looks(theirs_s=100.01, there_s=0.01, back_s=0.04) == 100.05, "it may have been right: left alone"
    assert machine.looks(theirs_s=100.85, there_s=0.2, back_s=0.2) == 100.85, "behind: to the nearest that is possible"
    assert machine.looks(theirs_s=100.35) == 100.35, "ahead"


def test_a_failover_to_a_server_with_another_clock_is_followed_both_ways() -> None:
    machine = Machine()
    assert [machine.looks(theirs_s=at) for at in (1_000.0, 400.0, 5_000.0)] == [1_000.0, 400.0, 5_000.0]


@dataclass(frozen=True, slots=True)
class Elsewhere(Engine):
    """A machine whose own clock is off."""

    ahead_ns: int = 0

    def open(self, clock: Callable[[], int], seed: int) -> Postgres:
        following = Following(wall_ns=lambda: time.time_ns() + self.ahead_ns)
        return Postgres(self.url, Ids(following, random.Random(seed).random), following)


@pytest.fixture
async def machines(postgres_url: str) -> AsyncIterator[tuple[World, World]]:
    """One an hour behind, the other an hour ahead."""
    await empty(postgres_url)
    behind, ahead = Elsewhere(postgres_url, -HOUR_NS), Elsewhere(postgres_url, HOUR_NS)
    async with World(behind, seed=1) as one, World(ahead, seed=2) as other:
        yield one, other


async def test_every_process_writes_the_time_of_the_database(machines: tuple[World, World]) -> None:
    for world in machines:
        before_us = await world.db.read(clock_us)
        now = await world.db.write(lambda tx: tx.now)
        assert before_us // 1_000 - 1_000 < now < before_us // 1_000 + 60_000
        assert world.db.clock() >= now


async def test_a_machine_whose_clock_runs_ahead_takes_nobody_s_lease(machines: tuple[World, World]) -> None:
    behind, ahead = machines
    await behind.subscribe()
    await behind.submit()
    assert len(behind.parts.courier) == 1, "leased to the process that recorded it"
    assert await claim.claim(ahead.parts, 100) == []
    await behind.order("it is being sent")
    assert await ahead.reconcile() == 0


async def test_what_is_due_on_a_machine_whose_clock_is_behind_is_found_by_all(machines: tuple[World, World]) -> None:
    behind, ahead = machines
    behind.parts.courier.open = ahead.parts.courier.open = False
    await behind.subscribe()
    await ahead.submit()
    assert sum(map(len, await claim.claim(behind.parts, 100))) == 1
