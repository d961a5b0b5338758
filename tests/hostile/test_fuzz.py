"""The short form of the storm (`python -m tests.hostile.fuzz`), and the proof that it would see what it looks for."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from service.accounts import Desk
from service.domain.admission import Caps
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.web import callbacks
from tests.hostile.cases import OTHER_TYPES, Case, Sender, damaged, recorded
from tests.hostile.fuzz import SLOW_S, Summary, faults, post, storm
from tests.world import ARK, Engine, World

pytestmark = pytest.mark.anyio

BODIES, SEED = 2_000, 20_261_121


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "BODY_S", SLOW_S)


async def test_a_storm_of_hostile_callbacks_gets_the_right_answers_and_breaks_no_record(world: World) -> None:
    summary = await storm(world, BODIES, SEED)
    assert summary.wrong == []
    assert summary.bodies == BODIES
    assert {"200", "404"} <= set(summary.statuses) <= {"200", "404", "408", "413", "no answer"}
    assert summary.statuses["200"] > BODIES / 2, "most of it gets past the token"
    [row] = await world.rows("SELECT count(*) AS n FROM event WHERE source = 'callback' AND sequence IS NOT NULL")
    assert row.n > 24, "some of it is believed, so that what follows meets every state"


async def test_where_endings_are_confirmed_no_storm_of_callbacks_ends_anything(engine: Engine) -> None:
    """All of it comes with tokens that open: what somebody could do who has every callback URL."""
    account = Account("ark", "default", ARK, "a-provider-key-nobody-may-see")
    async with World(engine, desks=[Desk(account, GATEWAYS["ark"], caps=Caps(), confirms=True)]) as wary:
        summary = await storm(wary, BODIES, SEED)
        assert summary.wrong == []
        states = {row.state for row in await wary.rows("SELECT DISTINCT state FROM task")}
        assert states == {"queued", "running"}
        [claims] = await wary.rows("SELECT count(*) AS n FROM receipt WHERE verdict = 'unconfirmed'")
        assert claims.n > 24


async def test_a_door_that_breaks_at_one_word_is_found_by_the_storm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would say of a bug: were a gateway to raise on one shape, the answer would be 503."""

    class Brittle:
        def __getattr__(self, name: str) -> Any:
            return getattr(GATEWAYS["ark"], name)

        def read_callback(self, body: bytes) -> Any:
            if b'"status":null' in body:
                raise TypeError("nobody thought of that")
            return GATEWAYS["ark"].read_callback(body)

    monkeypatch.setattr(callbacks, "GATEWAYS", {**GATEWAYS, "apiyi": Brittle()})
    summary = await storm(world, BODIES, SEED)
    assert summary.wrong
    assert all("503 in place of 200" in fault for fault in summary.wrong)


async def test_a_record_that_is_wrong_is_found_after_the_storm(world: World) -> None:
    task = await world.submit()
    await world.callback("succeeded")
    assert await faults(world) == []
    await world.db.write(lambda tx: tx.sql.exec_driver_sql("UPDATE task SET state = 'failed', sequence = 9"))
    assert len(await faults(world)) == 2
    assert task.sequence == 1


async def test_a_token_that_is_wrong_in_whatever_way_opens_nothing_for_a_body_that_is_right(world: World) -> None:
    """Another provider's, another key's, another salt's, too old, too young, cut, prolonged, of nobody."""
    task = await world.submit()
    right = orjson.dumps(world.job(task).as_ark("running"))
    sender = Sender(SEED, world.now)
    sender.aim([(task.submission_id or 0, (task.remote_id or "").encode())])
    assert len(sender.wrong) > 10 * len(GATEWAYS)
    answers = [await post(world, Case(path, right, "whole", 404)) for path in sender.wrong]
    assert set(answers) == {404}
    assert (await world.rows("SELECT count(*) AS n FROM receipt"))[0].n == 0
    assert await world.post_callback(world.job(task).callback_url, right) == 200, "and the right one opens"


def test_every_field_of_every_recorded_body_is_given_every_other_type() -> None:
    for name, bodies in recorded().items():
        assert bodies, name
    [body] = [b'{"id":"cgt-1","content":{"video_url":"x"}}']
    made = damaged(body)
    assert len(made) == 3 * (len(OTHER_TYPES) + 1)
    assert b'{"id":"cgt-1","content":{"video_url":[]}}' in made
    assert b'{"id":"cgt-1","content":{}}' in made
    assert b'{"id":NaN,"content":{"video_url":"x"}}' in made


def test_memory_that_grows_is_told_from_memory_that_does_not() -> None:
    flat = Summary("", rss_mb=[100.0, *[150.0] * 40])
    assert flat.flat
    growing = replace(flat, rss_mb=[100.0 + 4 * i for i in range(40)])
    assert not growing.flat
