"""The audit: silent over whatever the service does, and every invariant speaks up when its rows are tampered with."""

import httpx
import pytest
from sqlalchemy import text

from service.domain.audit import Breach, View
from service.domain.errors import ConfigError
from service.domain.keep import Keep
from service.flow import retain, settle
from service.store.audit import audit
from service.store.database import Tx
from service.store.tables import TABLES
from tests.flow.test_attempts import answers, in_the_air_and_resent
from tests.world import ADMIN, World

pytestmark = pytest.mark.anyio


async def eventful(world: World) -> None:
    """Two apps; orders that ended, one on its way, one that waits, one whose answer got lost; a subscriber that failed first."""
    await world.api("POST", "/v1/apps", json={"id": "other"})
    await world.subscribe(events=["*"])
    await world.subscribe("https://second.test/", chosen={"provider": ["ark"]})
    await world.subscribe("https://hooks.slack.com/services/T0/B0/abcdefghijklmnop", channel="slack")
    await world.subscribe("https://theirs.test/", app="other")
    for prompt, endings in (("first", ("running", "succeeded")), ("second", ("failed",)), ("third", ("running",))):
        await world.submit(prompt, callback_url="https://own.test/" if prompt == "first" else None)
        for status in endings:
            await world.callback(status)
            await world.callback(status)
    world.on_create = ["accept and time out"]
    await world.submit("lost", key="its-key")
    await world.submit("theirs", app="other")
    world.on_create = [httpx.Response(429)]
    await world.submit("waits")
    await world.deliver()


async def looked(world: World, **view: object) -> list[Breach]:
    return (await audit(world.db.read, lambda: view_of(world, **view))).breaches


def view_of(world: World, **changes: object) -> View:
    def opens(sealed: bytes) -> bool:
        try:
            return bool(world.parts.seal.open(sealed))
        except ConfigError:
            return False

    given: dict[str, object] = {"now": world.now, "steady": True, "opens": opens}
    return View(**(given | {"secrets": (ADMIN,)} | changes))  # type: ignore[arg-type]


async def tamper(world: World, statement: str) -> None:
    def act(tx: Tx) -> None:
        assert tx.sql.execute(text(statement)).rowcount > 0, "it tampered with nothing"

    await world.db.write(act)


async def test_whatever_the_service_did_the_audit_finds_nothing(world: World) -> None:
    await eventful(world)
    assert await looked(world) == []
    world.silence(minutes=7)
    await world.reconcile()
    await world.deliver()
    assert await looked(world) == []


@pytest.mark.parametrize(("first", "second"), [(200, 500), (500, 200), (200, 200), (500, 500)])
@pytest.mark.parametrize("order", ["first", "second", "both"])
async def test_attempts_that_ended_after_their_lease_are_no_breach(world: World, first: int, second: int, order: str) -> None:
    late, held = await in_the_air_and_resent(world, *answers(first), *answers(second))
    for batch in {"first": ([late], [held]), "second": ([held], [late]), "both": ([late, held],)}[order]:
        await settle.settle(world.parts, batch)
    assert await looked(world) == []


async def test_a_lost_task_that_is_asked_about_once_more_is_no_breach(world: World) -> None:
    world.on_create = ["accept and time out"]
    await world.order()
    await world.send()
    [job] = world.jobs.values()
    assert await world.callback("running", job, id="cgt-forged") == 200
    for _ in range(12):
        world.silence(minutes=5)
        await world.reconcile()
    assert await world.callback("succeeded", job) == 200
    assert [row.state for row in await world.rows("SELECT state FROM task WHERE poll_at IS NOT NULL")] == ["lost"]
    assert await looked(world) == []


async def test_what_the_janitor_took_is_not_missed(world: World) -> None:
    await eventful(world)
    world.silence(hours=30)
    keep = Keep(tasks=1, events=1, receipts=1, attempts=1, payloads=1, keys=1)
    object.__setattr__(world.parts, "keep", keep)
    await retain.sweep(world.parts)
    assert (await world.rows("SELECT count(*) FROM event"))[0][0] == 0
    assert await looked(world, keep=keep, running=False) == []


ENDED = "(SELECT max(id) FROM task WHERE state = 'succeeded')"
TAMPERED = {
    "an acknowledged order is gone": ("I1", "DELETE FROM task WHERE reason = 'unknown_outcome'"),
    "an order that waits has lost its body": (
        "I1",
        "DELETE FROM task_order WHERE task_id IN (SELECT id FROM task WHERE place_at IS NOT NULL)",
    ),
    "a state moved by another door": ("I2", "UPDATE task SET state = 'failed' WHERE state = 'succeeded'"),
    "a transition was taken out": ("I2", f"DELETE FROM event WHERE sequence = 2 AND task_id = {ENDED}"),
    "the last transition was taken out": ("I2", f"DELETE FROM event WHERE sequence = 3 AND task_id = {ENDED}"),
    "a state went backwards": ("I2", "UPDATE event SET previous = 'running', state = 'queued' WHERE state = 'failed'"),
    "it ended twice": ("I2", f"UPDATE event SET state = 'failed' WHERE sequence = 2 AND task_id = {ENDED}"),
    "a promise was never written": ("I3", "DELETE FROM delivery WHERE id = (SELECT max(id) FROM delivery)"),
    "a delivery that nobody sends": ("I3", "UPDATE delivery SET state = 'pending', due_at = 1, ended_at = NULL"),
    "a delivery that never was tried": ("I3", "UPDATE delivery SET attempts = 0 WHERE state = 'delivered'"),
    "an attempt was taken out": ("I3", "DELETE FROM attempt WHERE number = 1"),
    "a delivery given up too early": ("I3", "UPDATE delivery SET state = 'abandoned'"),
    "a delivery skipped for no reason": ("I3", "UPDATE delivery SET state = 'skipped'"),
    "a notice of nothing": ("I4", "UPDATE delivery SET event_id = 7 WHERE id = (SELECT max(id) FROM delivery)"),
    "a secret that no key opens": ("I5", "UPDATE subscription SET sealed = CAST('x' AS {bytes})"),
    "a submission of another app": ("I6", "UPDATE submission SET app_id = 'other'"),
    "a notice to another app": ("I6", "UPDATE delivery SET app_id = 'other'"),
    "one order's subscriber hears of another": (
        "I6",
        "UPDATE subscription SET task_id = (SELECT max(id) FROM task) WHERE task_id IS NOT NULL",
    ),
    "a placement that nobody wrote down": ("I7", "UPDATE task SET tries = 2 WHERE state = 'succeeded'"),
    "an ended task that will be asked about": ("I8", "UPDATE task SET poll_at = 1 WHERE state = 'succeeded'"),
    "an open task that nobody will ask about": ("I8", "UPDATE task SET poll_at = NULL WHERE state = 'running'"),
    "an open task that nobody asks about for a day": (
        "I8",
        "UPDATE task SET poll_at = poll_at + 86400000 WHERE state = 'running'",
    ),
    "an open task that should have been asked about": ("I8", "UPDATE task SET poll_at = 1 WHERE state = 'running'"),
    "an end without an instant": ("I8", "UPDATE task SET ended_at = NULL WHERE state = 'succeeded'"),
    "a secret in an error": (
        "I9",
        "UPDATE task SET error = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAx', state = state WHERE state = 'failed'",
    ),
    "a Slack address in a row": (
        "I9",
        "UPDATE subscription SET target = 'https://hooks.slack.com/services/T0/B0/abcdefghijklmnop' WHERE channel = 'slack'",
    ),
    "a callback token in an attempt": (
        "I9",
        f"UPDATE attempt SET error = '/callbacks/ark/19a2f.aBcDeF.{'x' * 42}A' WHERE number = 1",
    ),
    "a key of ours in a reason": ("I9", f"UPDATE submission SET reason = 'they said {ADMIN}'"),
}


async def test_the_audit_sees_whatever_was_tampered_with(world: World) -> None:
    """One world for all of them: what was there is put back each time."""
    await eventful(world)
    assert await looked(world) == []
    kind = "BLOB" if world.engine.url.startswith("sqlite") else "BYTEA"
    kept = await world.db.read(lambda sql: {table: sql.execute(table.select()).mappings().all() for table in TABLES.values()})

    def put_back(tx: Tx) -> None:
        for table, rows in kept.items():
            tx.sql.execute(table.delete())
            if rows:
                tx.sql.execute(table.insert(), [dict(row) for row in rows])

    seen = {}
    for what, (_, statement) in TAMPERED.items():
        await tamper(world, statement.format(bytes=kind))
        seen[what] = await looked(world)
        await world.db.write(put_back)
    unseen = {what: found for what, found in seen.items() if TAMPERED[what][0] not in {breach.invariant for breach in found}}
    assert unseen == {}
    assert await looked(world) == []


async def test_two_accepted_placements_of_one_order_are_a_breach_unless_somebody_was_alerted(world: World) -> None:
    await eventful(world)
    twice = (
        "INSERT INTO submission (id, task_id, app_id, number, provider, account, base_url, outcome, remote_id, sent_at, conflict_at,"
        " timed)"
        " SELECT id + 1, task_id, app_id, 2, provider, account, base_url, outcome, 'another', sent_at, {alerted}, timed"
        " FROM submission WHERE remote_id = 'cgt-1'"
    )
    await tamper(world, twice.format(alerted="NULL"))
    await tamper(world, "UPDATE task SET tries = 2 WHERE remote_id = 'cgt-1'")
    assert [(b.invariant, b.what) for b in await looked(world)] == [
        ("I7", "2 placements were accepted, and nobody was told: cgt-1, another")
    ]
    await tamper(world, "UPDATE submission SET conflict_at = 1 WHERE remote_id = 'another'")
    assert await looked(world) == []


async def test_a_service_that_stands_still_shows_by_what_it_leaves_undone(world: World) -> None:
    await eventful(world)
    world.silence(minutes=75)
    late = await looked(world)
    assert {"I8"} == {breach.invariant for breach in late}
    assert "minutes after its time" in late[0].what
    assert await looked(world, running=False) == []  # nobody promised to do it while it is stopped


async def test_at_rest_nothing_may_be_open(world: World) -> None:
    await eventful(world)
    assert {breach.what for breach in await looked(world, rested=True)} == {
        "everything is at rest, and it is created",
        "everything is at rest, and it is queued",
        "everything is at rest, and it is running",
    }


async def test_it_never_takes_more_than_a_page_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await eventful(world)
    monkeypatch.setattr("service.store.audit.PAGE", 2)
    seen: list[int] = []
    looks = 0

    async def read(look: object) -> object:
        nonlocal looks
        looks += 1
        return await world.db.read(look)  # type: ignore[arg-type]

    done = await audit(read, lambda: view_of(world), lambda so_far: seen.append(so_far.tasks))
    assert (done.tasks, done.breaches) == (6, [])
    assert seen[:3] == [2, 4, 6]
    assert looks > 10
