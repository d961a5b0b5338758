"""Many tasks at once, as if ordered and accepted before: written by the store's own statements."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import orjson
from sqlalchemy import BigInteger, String, cast, literal, select

from service.domain.ids import EPOCH_MS, Ids
from service.domain.lifecycle import SETTLED, State
from service.domain.task import Outcome, Submission, Task
from service.signing import CallbackTokens
from service.store import tasks
from service.store.database import Database, Tx
from service.store.tables import TABLES

CHUNK = 5_000
FIRST = 20_000
"""Tasks of a history that are made one by one."""
PART = 125_000
"""Rows that one statement writes."""
ORDER = orjson.dumps(
    {"model": "seedance-1-0-pro-250528", "prompt": "a paper boat sets out on a rainy street", "duration": 5}
).decode()


@dataclass(frozen=True, slots=True)
class Seeded:
    task_id: int
    submission_id: int
    remote_id: str


def _task(at: int) -> Task:
    return Task(
        id=0,
        app_id="default",
        state=State.QUEUED,
        reason=None,
        sequence=1,
        model="seedance-1-0-pro-250528",
        provider="ark",
        account="default",
        submission_id=0,
        remote_id="",
        order=ORDER,
        metadata="{}",
        result=None,
        tokens=None,
        estimated_tokens=246_840,
        error=None,
        flags=None,
        created_at=at,
        updated_at=at,
        news_at=at,
        ended_at=None,
        deadline_at=at + 172_800_000,
        place_at=None,
        poll_at=at + 300_000,
        tries=1,
        asks=0,
        polls=0,
        missing=0,
        missing_at=None,
        receipts=0,
    )


async def seed(db: Database, count: int, at: int, poll_at: int | None = None, state: State = State.QUEUED) -> list[Seeded]:
    """`poll_at` for stale ones; an ended state for tasks nobody asks about."""
    made: list[Seeded] = []
    names = Ids(lambda: max(at, EPOCH_MS), lambda: 0.5)
    base = _task(at)

    def chunk(tx: Tx, many: int) -> None:
        rows: list[Task] = []
        subs: list[Submission] = []
        for _ in range(many):
            task_id, sub_id = names.new(), names.new()
            remote_id = f"cgt-{task_id}"
            open_at = poll_at if poll_at is not None else base.poll_at if state is State.QUEUED else None
            task = base._replace(id=task_id, submission_id=sub_id, remote_id=remote_id, poll_at=open_at, state=state)
            rows.append(task._replace(ended_at=at if state in SETTLED else None))
            subs.append(
                Submission(
                    sub_id,
                    task_id,
                    "default",
                    1,
                    "ark",
                    "default",
                    "http://127.0.0.1:1",
                    Outcome.ACCEPTED,
                    remote_id,
                    None,
                    at,
                    at,
                    None,
                )
            )
            made.append(Seeded(task_id, sub_id, remote_id))
        tasks.add(tx, rows, [], [])
        tasks.add_submissions(tx, subs)

    for start in range(0, count, CHUNK):
        many = min(CHUNK, count - start)
        await db.write(partial(chunk, many=many))
    return made


async def history(db: Database, count: int, at: int) -> Seeded:
    """So many tasks that ended long ago, each with an event that was told to one of ten subscriptions; one from the middle.
    A million of them one by one would take minutes, so that the first few are copied by the database itself, doubled again
    and again under names of their own."""
    doublings = 0
    while count > FIRST and count % 2 == 0:
        count, doublings = count // 2, doublings + 1
    seeded = await seed(db, count, at, state=State.SUCCEEDED)
    first = min(s.task_id for s in seeded)
    span = max(s.submission_id for s in seeded) - first + 1

    async def by_parts(act: Callable[..., None], names: Sequence[str], generations: int) -> None:
        """No statement is so long that the store takes the database for dead, on however slow a machine."""
        parts = max(1, (count << generations) // PART)
        bounds = [first + (span << generations) * part // parts for part in range(parts + 1)]
        for ids in pairwise(bounds):
            await asyncio.gather(*(db.write(partial(act, name=name, ids=ids)) for name in names))

    for doubling in range(doublings):
        await by_parts(partial(_copied, shift=span << doubling), ("task", "submission"), doubling)
    await by_parts(_told, ("event", "delivery"), doublings)
    return seeded[len(seeded) // 2]


def _told(tx: Tx, name: str, ids: tuple[int, int]) -> None:
    """Under the names of their tasks, which other tables do not have."""
    task = TABLES["task"]
    shared = {"id": task.c.id, "app_id": task.c.app_id}
    columns = {
        "event": {"task_id": task.c.id, "type": "task.succeeded", "source": "callback", "body": b"{}", "sequence": 1}
        | {"xact": 1 if tx.postgres else 0, "at": task.c.ended_at},
        "delivery": {"event_id": task.c.id, "subscription_id": task.c.id // 2 % 10, "state": "delivered", "attempts": 1}
        | {"spent": 0, "fence": 1, "hurried": False, "recovered": False}
        | {"created_at": task.c.ended_at, "ended_at": task.c.ended_at},
    }[name]
    columns = shared | columns
    values: list[Any] = [literal(value) if isinstance(value, str | int | bytes) else value for value in columns.values()]
    chosen = select(*values).where(task.c.id >= ids[0], task.c.id < ids[1])
    tx.sql.execute(TABLES[name].insert().from_select(list(columns), chosen))


def _copied(tx: Tx, name: str, ids: tuple[int, int], shift: int) -> None:
    table = TABLES[name]
    moved: list[Any] = []
    for column in table.c:
        if column.name in ("id", "task_id", "submission_id"):
            moved.append(column + literal(shift, BigInteger))
        elif column.name == "remote_id":
            task_id = table.c.id if name == "task" else table.c.task_id
            moved.append(literal("cgt-") + cast(task_id + literal(shift, BigInteger), String))
        else:
            moved.append(column)
    chosen = select(*moved).where(table.c.id >= ids[0], table.c.id < ids[1])
    tx.sql.execute(table.insert().from_select([column.name for column in table.c], chosen))


def callbacks(tokens: CallbackTokens, seeded: Sequence[Seeded], status: str) -> list[tuple[str, bytes]]:
    """(path, body) as Ark sends them."""
    out = []
    for s in seeded:
        body: dict[str, object] = {
            "id": s.remote_id,
            "model": "seedance-1-0-pro-250528",
            "status": status,
            "created_at": 1,
            "updated_at": 2,
        }
        if status == "succeeded":
            body |= {
                "content": {"video_url": f"https://v.test/{s.remote_id}.mp4"},
                "usage": {"completion_tokens": 246_840},
                "seed": 7,
            }
        out.append((f"/callbacks/ark/{tokens.mint('ark', s.submission_id)}", orjson.dumps(body)))
    return out
