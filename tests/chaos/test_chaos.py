"""Every disaster in its short form; `./infra/prove` lets them last for minutes.

Each was seen to fail once: a callback answered 200 before it is stored (kills, outages, full disk), a settlement that does
not look at its fence (frozen), an answer that is read to its end (neighbours), a second ending (storm), a recovery that
forgets the last one (recovery), a janitor that drops nothing (soak).
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.clock import Clock
from tests.chaos.disasters import BOTH, DISASTERS, strike
from tests.chaos.history import History
from tests.chaos.nursery import Nursery
from tests.postgres import Server, server

Strike = Callable[[str, str], History]
SEED = 20_261_121


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nursery, Clock]]:
    clock = Clock(tmp_path_factory.mktemp("chaos") / "clock")
    with Nursery(clock) as nursery:
        yield nursery, clock


@pytest.fixture(scope="module")
def crashing() -> Iterator[Server]:
    """Its own server: this one is crashed on purpose."""
    with server() as running:
        yield running


@pytest.fixture
def suffer(nursery: tuple[Nursery, Clock], tmp_path: Path, request: pytest.FixtureRequest) -> Strike:
    def suffered(name: str, engine: str) -> History:
        where = request.getfixturevalue("crashing") if engine == "postgres" else None
        history = asyncio.run(strike(name, *nursery, where, SEED, tmp_path, DISASTERS[name].quick_s, quick=True))
        assert history.faults, "something was done to it"
        assert not history.breaches, "\n".join(history.breaches)
        return history

    return suffered


@pytest.mark.parametrize("engine", BOTH)
def test_killed_again_and_again_under_load_it_loses_nothing_and_tells_everything(suffer: Strike, engine: str) -> None:
    suffer("kills", engine)


def test_a_postgres_that_crashes_under_load_never_makes_it_acknowledge_what_is_lost(suffer: Strike) -> None:
    assert suffer("outages", "postgres").answers["callback 503"]


def test_a_disk_that_is_full_under_load_is_said_and_got_over_with_nothing_corrupt(suffer: Strike) -> None:
    assert suffer("full-disk", "sqlite").answers["callback 503"]


def test_a_worker_thawed_after_its_leases_settles_nothing_twice(suffer: Strike) -> None:
    suffer("frozen", "postgres")


@pytest.mark.parametrize("engine", BOTH)
def test_three_bad_subscribers_of_a_hundred_cost_neither_memory_nor_the_others_news(suffer: Strike, engine: str) -> None:
    suffer("neighbours", engine)


@pytest.mark.parametrize("engine", BOTH)
def test_a_storm_of_contradicting_callbacks_is_one_ending_and_one_delivery_for_each_transition(
    suffer: Strike, engine: str
) -> None:
    assert suffer("storm", engine).answers["callback 200"] == 5_000


@pytest.mark.parametrize("engine", BOTH)
def test_a_subscriber_that_was_down_for_its_whole_schedule_recovers_everything_once(suffer: Strike, engine: str) -> None:
    suffer("recovery", engine)


@pytest.mark.parametrize("engine", BOTH)
def test_days_go_by_and_nothing_grows(suffer: Strike, engine: str) -> None:
    assert suffer("soak", engine).faults["day gone by"] >= 3
