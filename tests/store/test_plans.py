"""Costs that stay flat: every statement of a hot path is a range of an index among many thousands of finished rows.

The tables are really full and really analysed, so that the planners choose as they would; and for each index its statement
is shown to fall back on something worse once that index is gone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Connection, event

from service.flow import claim, place
from service.store import compiled, deliveries, jobs, journal, lanes, outbox, retention, stale, subscriptions, tasks, waiting
from service.store.database import Tx
from service.store.postgres import Postgres
from service.store.tables import TABLES
from tests.world import ARK, START_MS, World

pytestmark = pytest.mark.anyio

DOUBLINGS = 13
"""8,192 finished rows for each that was really made."""
OURS = DOUBLINGS - 4
"""From then on all copies belong to another app."""
STEP = 1_000_000
"""Between the names of a row and its copy: fewer than a millisecond's worth."""
COPIED = {
    "task": ("id", "submission_id"),
    "task_order": ("task_id",),
    "task_label": ("task_id",),
    "submission": ("id", "task_id"),
    "event": ("id", "task_id"),
    "delivery": ("id", "event_id"),
    "attempt": ("delivery_id",),
    "receipt": ("id", "task_id", "submission_id"),
    "subscription": ("id", "task_id"),
    "lane": ("id",),
    "job": ("id",),
}
"""With the columns that name rows of these tables."""
ONLY = {
    "subscription": "WHERE task_id IS NOT NULL",
    "lane": "WHERE id IN (SELECT id FROM subscription WHERE task_id IS NOT NULL)",
}
"""An app that has thousands of subscriptions of its own is another story."""
KEY = ("ark", "default")
BIG = "|".join(COPIED)
OPEN_WORK = {str(i.name) for t in TABLES.values() for i in t.indexes if i.dialect_options["sqlite"]["where"] is not None}
"""Partial indexes: to walk one of them from end to end is to walk what is open."""
WALK = re.compile(rf"SCAN ({BIG})\b(?! USING (?:COVERING )?INDEX (?:{'|'.join(OPEN_WORK)})\b)|Seq Scan on ({BIG})\b")


@dataclass(slots=True)
class Ground:
    """What a statement may ask about."""

    task_id: int
    submission_id: int
    subscription_id: int
    delivery_id: int
    event_id: int
    at: tuple[int, int]


HOT: dict[str, tuple[str, Callable[[Tx, Ground], Any]]] = {
    # claims
    "lanes whose turn it is": ("lane_due", lambda tx, g: lanes.due(tx, 200, [])),
    "is any lane's turn": ("lane_due", lambda tx, g: lanes.any_due(tx.sql, tx.now, [])),
    "what waits in a lane": ("delivery_fresh", lambda tx, g: lanes.waiting(tx, {g.subscription_id: 50})),
    "what failed before in a lane": ("delivery_again", lambda tx, g: lanes.waiting(tx, {g.subscription_id: 50})),
    "the head of a lane": ("delivery_fresh", lambda tx, g: lanes.heads(tx, [g.subscription_id])),
    "what is set aside": ("delivery_fresh", lambda tx, g: deliveries.skip_open(tx, g.subscription_id, 100)),
    "lanes to tell of": ("lane_untold", lambda tx, g: lanes.untold(tx, tx.now, 100)),
    "accounts to ask": ("task_to_ask", lambda tx, g: stale.accounts(tx.sql)),
    "is anything stale": ("task_to_ask", lambda tx, g: stale.any_due(tx.sql, KEY, tx.now)),
    "the oldest stale": ("task_to_ask", lambda tx, g: stale.oldest(tx, KEY, 200)),
    "answers that got lost": ("submission_open", lambda tx, g: stale.open_submissions(tx.sql, "ark", ARK)),
    "names that callbacks alone gave": ("submission_contested", lambda tx, g: stale.claimed(tx.sql, "ark", ["cgt-2"])),
    "callbacks that contradicted": (
        "receipt_by_task",
        lambda tx, g: journal.contradicting(tx.sql, g.task_id, g.submission_id, 20),
    ),
    "whose remote id it is": ("submission_by_remote_id", lambda tx, g: stale.claimed(tx.sql, "ark", ["cgt-2", "cgt-9"])),
    "does anybody wait": ("task_to_place", lambda tx, g: waiting.anybody_due(tx)),
    "who waits for what": ("task_waiting", lambda tx, g: waiting.lanes(tx.sql)),
    "the first of a line": ("task_waiting", lambda tx, g: waiting.first(tx, waiting.Lane("default", "ark/default"), 50)),
    "orders that ran out": ("task_running_out", lambda tx, g: waiting.ran_out(tx.sql, tx.now, 10)),
    "what is in flight": ("task_in_flight", lambda tx, g: waiting.in_flight(tx.sql)),
    "jobs whose turn it is": ("job_due", lambda tx, g: jobs.take(tx)),
    # a callback
    "who wants to know": ("subscription_by_app", lambda tx, g: subscriptions.interested(tx, ["default"], [])),
    "the order's own address": ("subscription_by_task", lambda tx, g: subscriptions.interested(tx, ["nobody"], [g.task_id])),
    "an equal order": ("ix_task_order_digest", lambda tx, g: tasks.recent_digests(tx, [b"x" * 32], tx.now - 60_000)),
    # lists and timelines
    "a page of tasks": ("task_by_app", lambda tx, g: tasks.page(tx.sql, "default", before_id=g.task_id, limit=50)),
    "tasks in a rare state": (
        "task_by_state",
        lambda tx, g: tasks.page(tx.sql, "default", before_id=None, limit=50, states=["failed"]),
    ),
    "tasks in one of two rare states": (
        "task_by_state",
        lambda tx, g: tasks.page(tx.sql, "default", before_id=None, limit=50, states=["queued", "running"]),
    ),
    "deliveries of an app": ("delivery_by_app", lambda tx, g: _deliveries(tx, before_id=g.delivery_id)),
    "deliveries of a subscription": (
        "delivery_by_subscription",
        lambda tx, g: _deliveries(tx, subscription_id=g.subscription_id),
    ),
    "deliveries of a task, as a list": ("delivery_once", lambda tx, g: _deliveries(tx, task_id=g.task_id)),
    "what was never delivered": ("delivery_undelivered", lambda tx, g: _deliveries(tx, state="abandoned")),
    "the deliveries of a task": ("delivery_once", lambda tx, g: outbox.of_task(tx.sql, "default", g.task_id)),
    "the events of a task": ("event_by_task", lambda tx, g: journal.events_of(tx.sql, "default", g.task_id)),
    "the receipts of a task": ("receipt_by_task", lambda tx, g: journal.receipts(tx.sql, "default", g.task_id)),
    "the submissions of a task": ("submission_by_task", lambda tx, g: tasks.submissions(tx.sql, "default", g.task_id)),
    "subscriptions of an app": (
        "subscription_by_app",
        lambda tx, g: subscriptions.page(tx.sql, "default", None, 50),
    ),
    "the last job": ("job_by_subscription", lambda tx, g: jobs.latest_of(tx.sql, g.subscription_id)),
    "jobs of an app": ("job_by_app", lambda tx, g: jobs.page(tx.sql, "default", None, 50)),
    # the feed
    "the feed of an app": ("event_by_app", lambda tx, g: journal.feed(tx.sql, "default", (0, 0), 200)),
    "recovery": ("delivery_by_subscription", lambda tx, g: deliveries.recover(tx, g.subscription_id, 0, 1 << 62, 500)),
}
ONLY_ON_POSTGRES: dict[str, tuple[str, Callable[[Tx, Ground], Any]]] = {
    "the feed of all": ("event_in_order", lambda tx, g: journal.feed(tx.sql, None, g.at, 200)),
    "the end of the feed": ("event_in_order", lambda tx, g: journal.feed_end(tx.sql)),
}
"""SQLite reads events in order of their names, which needs no index."""
BY_NAME: dict[str, Callable[[Tx, Ground], Any]] = {
    "tasks of a batch": lambda tx, g: tasks.lock(tx, [], [g.submission_id]),
    "tasks with a label that few have": lambda tx, g: tasks.page(
        tx.sql, "default", before_id=None, limit=50, labels=[("team", "radio")]
    ),
    "leases that stand": lambda tx, g: deliveries.held(tx, [g.delivery_id]),
    "the newest names": lambda tx, g: journal.last_id(tx.sql),
    "what an operator denied": lambda tx, g: stale.denied(tx.sql, "ark", ARK, tx.now - 60_000),
    "sent in the last minute": lambda tx, g: waiting.sent_since(tx.sql, KEY, tx.now - 60_000),
    "old receipts": lambda tx, g: retention.drop_receipts(tx, START_MS - 10**9, 500, 0),
    "old attempts": lambda tx, g: retention.drop_attempts(tx, START_MS - 10**9, 500, 0),
    "old events": lambda tx, g: retention.drop_events(tx, START_MS - 10**9, 500, 0),
    "old tasks": lambda tx, g: retention.drop_tasks(tx, START_MS - 10**9, 100, 0),
    "old orders": lambda tx, g: retention.drop_orders(tx, START_MS - 10**9, 500, 0),
}
"""These go by primary keys: nothing is walked."""


def _deliveries(tx: Tx, **where: Any) -> Any:
    return outbox.page(tx.sql, "default", **{"before_id": None, "limit": 50, **where})


async def filled(world: World) -> Ground:
    """One task that went all its way and told of it, thousands of times; and a little open work."""
    hook = await world.subscribe(events=["task.succeeded"])
    for name in ("first", "second", "third"):
        await world.subscribe(f"https://{name}.test/")
    await world.submit("the one", callback_url="https://own.test/", metadata={"team": "film"})
    for status in ("running", "succeeded"):
        await world.callback(status)
    await world.deliver()
    recovery = {"since": "2020-01-01T00:00:00Z"}
    assert (await world.api("POST", f"/v1/subscriptions/{hook.name}/recover", recovery)).status_code < 300
    for table in ("job", "lane"):
        await world.db.write(partial(_rest, table=table))
    await world.db.write(multiply)
    world.parts.courier.open = False
    for i in range(3):
        await world.submit(f"open {i}")
    world.parts.submitter.open = False
    await world.order("waiting")
    world.silence(hours=1)
    await world.db.write(analyse)
    [delivery] = await world.rows("SELECT id, event_id FROM delivery WHERE state = 'delivered' ORDER BY id DESC LIMIT 1")
    [event_row] = await world.rows("SELECT id, xact, task_id FROM event WHERE id = :id", id=delivery.event_id)
    task = await world.task(event_row.task_id)
    assert task.submission_id is not None
    return Ground(task.id, task.submission_id, hook.id, delivery.id, event_row.id, (event_row.xact, event_row.id))


def _rest(tx: Tx, table: str) -> None:
    tx.sql.exec_driver_sql(f"UPDATE {table} SET due_at = NULL")


def multiply(tx: Tx) -> None:
    for doubling in range(DOUBLINGS):
        for table, names in COPIED.items():
            columns = [f'"{c.name}"' for c in TABLES[table].columns]
            moved = (*names, "subscription_id") if doubling >= OURS else names
            taken = [f"{c} - {STEP << doubling}" if c.strip('"') in moved else c for c in columns]
            if doubling >= OURS:
                taken = ["'other'" if c == '"app_id"' else c for c in taken]
            taken = [f"{c} || '.{doubling}'" if c == '"remote_id"' else c for c in taken]  # one job belongs to one order
            into = f'INSERT INTO "{table}" ({", ".join(columns)}) SELECT {", ".join(taken)} FROM "{table}"'
            tx.sql.exec_driver_sql(f"{into} {ONLY.get(table, '')}")


def analyse(tx: Tx) -> None:
    for table in COPIED:
        if tx.postgres:
            tx.sql.exec_driver_sql(f'ANALYZE "{table}"')


def forget(tx: Tx) -> None:
    """As if these tables had just been loaded, and nobody had counted their rows yet."""
    if tx.postgres:
        tables = ", ".join(f"'{table}'::regclass" for table in COPIED)
        tx.sql.exec_driver_sql(f"DELETE FROM pg_statistic WHERE starelid IN ({tables})")
        tx.sql.exec_driver_sql(f"UPDATE pg_class SET reltuples = -1, relpages = 0, relallvisible = 0 WHERE oid IN ({tables})")


NUMBERS = count()


class Planned(Exception):
    """Carries the plans out of a transaction that leaves nothing behind."""


def plans(tx: Tx, ground: Ground, act: Callable[[Tx, Ground], Any]) -> str:
    said: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        said.append((statement, parameters[0] if many else parameters))

    class Driver:
        """What goes straight to SQLite's driver; of ours, since a service of another test may be about to end."""

        def __init__(self, sql: Connection) -> None:
            self._driver, self._said = driver(sql), said if sql is tx.sql else []

        def execute(self, statement: str, parameters: Any) -> Any:
            self._said.append((statement, parameters))
            return self._driver.execute(statement, parameters)

        def executemany(self, statement: str, rows: Any) -> Any:
            self._said.append((statement, rows[0]))
            return self._driver.executemany(statement, rows)

    driver = compiled._driver
    event.listen(tx.sql, "before_cursor_execute", note)
    compiled._driver = Driver  # type: ignore[assignment]
    try:
        act(tx, ground)
    finally:
        compiled._driver = driver
        event.remove(tx.sql, "before_cursor_execute", note)
    asked = [(s, p) for s, p in said if s.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH"))]
    assert asked, said
    return "\n".join(explained(tx.sql, statement, given) for statement, given in asked)


def explained(sql: Connection, statement: str, given: Any) -> str:
    how = "EXPLAIN QUERY PLAN" if sql.dialect.name == "sqlite" else "EXPLAIN"
    again = f"/* {next(NUMBERS)} */"  # a plan that was explained before is remembered, and indexes go meanwhile
    return "\n".join(str(row[-1]) for row in sql.exec_driver_sql(f"{how} {again} {statement}", given))


async def planned(
    world: World, ground: Ground, act: Callable[[Tx, Ground], Any], without: str | None = None, known: bool = True
) -> str:
    def look(tx: Tx) -> None:
        if without is not None:
            tx.sql.exec_driver_sql(f"DROP INDEX {without}")
        if not known:
            forget(tx)
        raise Planned(plans(tx, ground, act))

    with pytest.raises(Planned) as found:
        await world.db.write(look)
    return str(found.value)


async def test_every_hot_statement_is_a_range_of_its_index(world: World) -> None:
    ground = await filled(world)
    hot = HOT | (ONLY_ON_POSTGRES if isinstance(world.db, Postgres) else {})
    for name, (index, act) in hot.items():
        plan = await planned(world, ground, act)
        assert re.search(rf"\b{index}\b", plan), f"{name}: {plan}"
        assert not WALK.search(plan), f"{name}: {plan}"
    for name, act in BY_NAME.items():
        plan = await planned(world, ground, act)
        assert not WALK.search(plan), f"{name}: {plan}"
    for name, (index, act) in hot.items():
        assert index not in await planned(world, ground, act, without=index), f"{name} is not what the index is for"
    assert await claim.claim(world.parts, 100), "there was something to find"
    world.parts.submitter.open = True
    assert await place.place_waiting(world.parts, 10)
    assert await world.reconcile() > 0


async def test_planners_that_know_nothing_walk_nothing_either(world: World) -> None:
    """A database that was just filled, or restored: until it has been analysed, planners guess."""
    ground = await filled(world)
    hot = HOT | (ONLY_ON_POSTGRES if isinstance(world.db, Postgres) else {})
    walked = {}
    for name, act in {**{name: act for name, (_, act) in hot.items()}, **BY_NAME}.items():
        plan = await planned(world, ground, act, known=False)
        if WALK.search(plan) or "BitmapAnd" in plan:  # two ranges laid over each other: all of an app's is one of them
            walked[name] = plan
    assert not walked, "\n\n".join(f"{name}: {plan}" for name, plan in walked.items())
