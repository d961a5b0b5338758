"""The history against the database, and the database against itself: every broken promise becomes a breach.

Called when nothing moves any more. What an invariant is called (I1 …) stands beside its check.
"""

from collections import Counter

import orjson

from service.domain import ids
from service.domain.lifecycle import ENDINGS
from tests.chaos.ground import Ground, prompt_of

ORDER = {"created": 0, "queued": 1, "running": 2, "lost": 3, **{str(state): 4 for state in ENDINGS}}
RECEIPTS_KEPT = 200


async def audit(ground: Ground, receipts: bool = True) -> None:
    await _orders(ground)
    await _transitions(ground)
    await _notices(ground)
    await _placements(ground)
    await _timestamps(ground)
    if receipts:
        await _callbacks(ground)
    if ground.server is None:
        ground.history.expect(await ground.rows("PRAGMA integrity_check") == [("ok",)], "PRAGMA integrity_check")


async def _orders(ground: Ground) -> None:
    """I1: what was acknowledged is there, once."""
    known = {ids.encode(ids.TASK, task) for (task,) in await ground.rows("SELECT id FROM task")}
    for key, task in ground.history.orders.items():
        ground.history.expect(task in known, f"I1: order {key} was acknowledged as {task} and is lost")
    names = Counter(ground.history.orders.values())
    ground.history.expect(max(names.values(), default=1) == 1, "I1: two orders are one task")
    keys = {str(key) for (key,) in await ground.rows("SELECT key FROM idempotency")}
    ground.history.expect(set(ground.history.orders) <= keys, "I1: the key of an acknowledged order is lost")


async def _callbacks(ground: Ground) -> None:
    """I1: every acknowledged callback has its receipt, byte for byte of its mark."""
    stored = set()
    for (body,) in await ground.rows("SELECT body FROM receipt_body"):
        said = orjson.loads(bytes(body))
        if isinstance(said, dict) and "mark" in said:
            stored.add(said["mark"])
    lost = [f"{mark} ({job})" for mark, job in ground.history.callbacks.items() if mark not in stored]
    ground.history.expect(not lost, f"I1: {len(lost)} acknowledged callbacks are lost, e.g. {lost[:3]}")


async def _transitions(ground: Ground) -> None:
    """I2: numbered without a gap, never backwards, one ending, and the task is where its last one says."""
    expect = ground.history.expect
    steps: dict[int, list[tuple[int, str, str]]] = {}
    for task, number, state, previous in await ground.rows(
        "SELECT task_id, sequence, state, previous FROM event WHERE sequence IS NOT NULL ORDER BY task_id, sequence"
    ):
        steps.setdefault(task, []).append((number, state, previous))
    for task, state, sequence in await ground.rows("SELECT id, state, sequence FROM task"):
        name, mine = ids.encode(ids.TASK, task), steps.pop(task, [])
        expect([number for number, _, _ in mine] == list(range(1, sequence + 1)), f"I2: {name} has a gap in its transitions")
        ranks = [ORDER[s] for _, s, _ in mine]
        expect(ranks == sorted(set(ranks)), f"I2: {name} moved backwards: {[s for _, s, _ in mine]}")
        before = ["created", *(s for _, s, _ in mine)]
        expect([p for _, _, p in mine] == before[:-1], f"I2: {name}'s transitions do not follow each other")
        expect(before[-1] == state, f"I2: {name} is {state}, and its last transition says {before[-1]}")
    expect(not steps, f"I2: transitions of {len(steps)} tasks that do not exist")
    [(receipts,)] = await ground.rows("SELECT coalesce(max(receipts), 0) FROM task")
    expect(receipts <= RECEIPTS_KEPT, f"a task keeps {receipts} receipts")


async def _notices(ground: Ground) -> None:
    """I3: each transition is promised to each subscription once, and the promise was kept. I4, I5: what was told is what
    was committed, under one name."""
    expect, told = ground.history.expect, ground.history.told
    missing = await ground.one(
        "SELECT count(*) FROM event e JOIN subscription s ON s.app_id = e.app_id AND s.task_id IS NULL AND s.created_at < e.at "
        "LEFT JOIN delivery d ON d.event_id = e.id AND d.subscription_id = s.id "
        "WHERE e.sequence IS NOT NULL AND s.status <> 'deleted' AND d.id IS NULL "
        "AND (s.events LIKE '%task.*%' OR s.events LIKE '%\"' || e.type || '\"%')"
    )
    expect(missing == 0, f"I3: {missing} transitions were promised to nobody")
    twice = await ground.rows("SELECT event_id FROM delivery GROUP BY event_id, subscription_id HAVING count(*) > 1")
    expect(not twice, f"I3: {len(twice)} transitions were promised twice")
    known = {}
    for delivery, state, body in await ground.rows(
        "SELECT d.id, d.state, e.body FROM delivery d JOIN event e ON e.id = d.event_id"
    ):
        name = ids.encode(ids.DELIVERY, delivery)
        known[name] = bytes(body)
        expect(state != "delivered" or name in told, f"I3: {name} counts as delivered, and nobody has heard it")
    for name, notice in told.items():
        expect(name in known, f"I4: {name} was told, and no such promise was committed")
        expect(known.get(name) == notice.body, f"I4: {name} was told in other words than it was committed in")
    attempts = await ground.rows(
        "SELECT d.id FROM delivery d JOIN attempt a ON a.delivery_id = d.id GROUP BY d.id, d.attempts "
        "HAVING count(*) <> d.attempts OR max(a.number) <> d.attempts"
    )
    expect(not attempts, f"{len(attempts)} deliveries count other attempts than are on record")
    settled = await ground.rows(
        "SELECT delivery_id FROM attempt WHERE outcome = 'told' GROUP BY delivery_id HAVING count(*) > 1"
    )
    expect(not settled, f"{len(settled)} deliveries were settled as told twice")


async def _placements(ground: Ground) -> None:
    """I7: one key is at most one job at the provider."""
    jobs = Counter(job.prompt for job in ground.player.jobs.values())
    twice = [prompt for prompt, count in jobs.items() if count > 1]
    ground.history.expect(not twice, f"I7: {len(twice)} orders were placed more than once, e.g. {twice[:3]}")
    placed = {prompt_of(str(order)) for (order,) in await ground.rows('SELECT "order" FROM task')}
    stray = [prompt for prompt in jobs if prompt not in placed]
    ground.history.expect(not stray, f"I1: {len(stray)} jobs at the provider belong to no task")


async def _timestamps(ground: Ground) -> None:
    """I8: whoever has ended is never asked about or placed again; whoever has not, will be."""
    ended = await ground.one(
        "SELECT count(*) FROM task WHERE ended_at IS NOT NULL AND (poll_at IS NOT NULL OR place_at IS NOT NULL)"
    )
    ground.history.expect(ended == 0, f"I8: {ended} ended tasks would be asked about")
    idle = await ground.one("SELECT count(*) FROM task WHERE ended_at IS NULL AND poll_at IS NULL AND place_at IS NULL")
    ground.history.expect(idle == 0, f"I8: {idle} open tasks wait for nothing")
