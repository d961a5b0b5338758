"""The checker over a whole history: the audit of the rows, and what the world around knows better than the rows do."""

import asyncio
from collections import Counter
from collections.abc import Iterator

from service.domain import ids
from service.domain.audit import Breach, View
from service.domain.keep import Keep
from service.domain.lifecycle import State, Verdict, judge
from service.flow.record import RECEIPTS_KEPT
from service.store.audit import Audited, audit
from tests.sim.subscribers import SLACK
from tests.sim.world import World
from tests.world import ADMIN, SIGNING

SURE_S = 60.0
"""No schedule takes silence for abnormal sooner than this."""


def breaches(world: World) -> list[Breach]:
    assert world.process is not None
    seal, store = world.process.parts.seal, world.process.store
    days = world.story.keep_days
    view = View(
        now=world.latest + 1,
        keep=Keep(tasks=days, events=days, receipts=days),
        rested=True,
        steady=True,
        opens=lambda sealed: bool(seal.open(sealed)),
        secrets=(ADMIN, SLACK, *SIGNING, *filter(None, world.secrets.values()), "a-provider-key-nobody-may-see"),
    )
    audited: Audited = asyncio.run(audit(store.read, lambda: view))
    found = [*audited.breaches, *of_history(world, view)]
    return found + [Breach("bug", bug) for bug in world.history.bugs]


def of_history(world: World, view: View) -> Iterator[Breach]:
    yield from _acknowledged(world, view)
    yield from _heard(world, view)
    for order, count in world.history.placed.items():
        if count > 1:
            yield Breach("I7", f"order {order} was accepted {count} times")
    yield from _mixed_up(world)
    if world.story.calm:
        yield from _asked(world)


def _mixed_up(world: World) -> Iterator[Breach]:
    """Whoever has the job of another shows somebody else's video, and no row knows."""
    made_for = {job.id: job.order for played in world.providers.values() for job in played.jobs.values()}
    orders = {task_id: order for order, task_id in world.history.tasks.items()}
    for task_id, remote_id in _raw(world).execute("SELECT id, remote_id FROM task WHERE remote_id IS NOT NULL"):
        if remote_id in made_for and made_for[remote_id] != orders.get(task_id):
            yield Breach("I7", f"{remote_id} was made for order {made_for[remote_id]}", (ids.encode(ids.TASK, task_id),))


def _acknowledged(world: World, view: View) -> Iterator[Breach]:
    history, raw = world.history, _raw(world)
    states = {task_id: State(state) for task_id, state in raw.execute("SELECT id, state FROM task")}
    speaks = dict(raw.execute("SELECT submission_id, id FROM task WHERE submission_id IS NOT NULL").fetchall())
    for order, task_id in history.tasks.items():
        name = (ids.encode(ids.TASK, task_id),)
        if task_id not in states:
            if not view.gone(task_id, view.keep.tasks):
                yield Breach("I1", f"order {order} was acknowledged, and is gone", name)
        elif order in history.cancelled and states[task_id] is not State.CANCELLED:
            yield Breach("I1", f"the cancel of order {order} was acknowledged, and it is {states[task_id]}", name)
    for acked in history.acked:
        state = states.get(speaks.get(acked.submission_id, 0))
        if state is not None and acked.state is not None and judge(state, State(acked.state)) is Verdict.ADVANCE:
            name = (ids.encode(ids.SUBMISSION, acked.submission_id),)
            yield Breach("I1", f"a callback that said {acked.state} was acknowledged, and its task is {state}", name)
    kept = Counter(
        dict(raw.execute("SELECT submission_id, count(*) FROM receipt WHERE source = 'callback' GROUP BY 1").fetchall())
    )
    for submission_id, count in Counter(acked.submission_id for acked in history.acked).items():
        if kept[submission_id] < min(count, RECEIPTS_KEPT) and not view.gone(submission_id, view.keep.receipts):
            name = (ids.encode(ids.SUBMISSION, submission_id),)
            yield Breach("I1", f"{count} callbacks were acknowledged, and {kept[submission_id]} receipts are there", name)


def _heard(world: World, view: View) -> Iterator[Breach]:
    taken = set()
    for heard in world.history.heard:
        name = (ids.encode(ids.DELIVERY, heard.delivery_id),)
        if 200 <= heard.status < 300:
            taken.add(heard.delivery_id)
        if not heard.true:
            yield Breach("I4", f"{heard.subscriber} was told what had not been committed, or in other words", name)
        if not heard.signed:
            yield Breach("I5", f"{heard.subscriber} was told something that its secret does not verify", name)
    rows = _raw(world).execute(
        "SELECT delivery.id FROM delivery JOIN subscription ON subscription.id = delivery.subscription_id"
        " WHERE delivery.state = 'delivered' AND subscription.channel = 'webhook'"
    )
    for (delivery_id,) in rows:
        if delivery_id not in taken:
            yield Breach("I3", "it counts as delivered, and nobody ever took it", (ids.encode(ids.DELIVERY, delivery_id),))


def _asked(world: World) -> Iterator[Breach]:
    """In a world without faults: whoever calls back in time is never asked."""
    for played in world.providers.values():
        for remote_id, count in played.asked.items():
            job = played.jobs[remote_id]
            silences = (job.running_s - job.made_s, job.ended_s - job.running_s)
            if "callback_url" in job.body and max(silences) + world.story.grain_s < SURE_S:
                yield Breach("I10", f"{remote_id} called back in time, and was asked about {count} times")


def _raw(world: World):  # type: ignore[no-untyped-def]
    assert world.process is not None
    return world.process.store.raw
