"""Placing: what waits is started in fair order, the paid request is made, its outcome is brought to the one door.

A submission is committed before its first byte leaves, and is sent at most once; when its outcome is unknown nobody here
sends it again.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

import orjson

from service.accounts import Desk
from service.domain import ids, route
from service.domain.admission import Waiting, admit
from service.domain.errors import Unavailable
from service.domain.news import Again, RanOut, Source
from service.domain.order import Order
from service.domain.patience import SECOND_MS, SENDING_SLACK_MS
from service.domain.report import Busy, NotSent, Rejected, SubmitOutcome
from service.domain.route import Key
from service.domain.task import Outcome, Submission, Task
from service.domain.timekeeping import right
from service.flow import breakers, gateway
from service.flow.record import Arrival, record
from service.parts import Parts, Placement
from service.providers.base import Callbacks
from service.store import accounts, tasks, waiting
from service.store.database import Tx

log = logging.getLogger("callsheet.submit")

RAN_OUT = 100
"""Orders whose time is over that one round ends."""
RECORD_TRIES = 60
"""The outcome of a paid request is brought to the door again and again while the database is away, about a minute."""


def start(tx: Tx, parts: Parts, task: Task, desk: Desk) -> tuple[Task, Submission]:
    """The submission that will be sent once this is committed. If the process dies before it hears the answer, the task is
    looked at when even a slow answer is overdue."""
    account = desk.account
    submission = Submission(
        id=tx.ids.new(),
        task_id=task.id,
        app_id=task.app_id,
        number=task.tries + 1,
        provider=account.provider,
        account=account.name,
        base_url=account.base_url,
        outcome=Outcome.SENDING,
        remote_id=None,
        reason=None,
        sent_at=tx.now,
        answered_at=None,
        conflict_at=None,
        timed=right(parts.accounts.agreed.get(desk.key), tx.now, int(parts.steady_s() * SECOND_MS)),
    )
    overdue_at = tx.now + int(desk.terms.submit_timeout_s * SECOND_MS) + SENDING_SLACK_MS
    task = task._replace(
        submission_id=submission.id,
        provider=account.provider,
        account=account.name,
        tries=task.tries + 1,
        place_at=None,
        poll_at=overdue_at,
        reason=None,
    )
    return task, submission


def probe(tx: Tx, parts: Parts, key: Key) -> None:
    """An order that goes to an account which was left alone is its probe, and the only one."""
    breaker = parts.accounts.breakers.get(key)
    if breaker is not None and breaker.open_until is not None:
        accounts.save_breaker(tx, key, breaker.probing(tx.now))


async def send(parts: Parts, placement: Placement) -> SubmitOutcome | Again:
    """One paid request, and its outcome through the one door."""
    submission = placement.submission
    outcome = await _ask_gateway(parts, placement)
    parts.metrics.submitted(submission.provider, type(outcome).__name__.lower())
    log.info(
        "submission.answered",
        extra={
            "task": ids.encode(ids.TASK, submission.task_id),
            "provider": submission.provider,
            "account": submission.account,
            "outcome": type(outcome).__name__,
        },
    )
    news: SubmitOutcome | Again = outcome
    elsewhere = submission.number < len(_configured(parts, placement.task))
    others = [key for key in _configured(parts, placement.task) if key != (submission.provider, submission.account)]
    match outcome:
        case Rejected() if outcome.blames_account and others:
            news = Again(outcome)
        case NotSent() | Busy() if elsewhere:
            news = Again(outcome)
    await _bring(parts, Arrival(news, Source.SUBMIT, submission.id))
    await breakers.weigh(parts, (submission.provider, submission.account), news)
    return news


async def _ask_gateway(parts: Parts, placement: Placement) -> SubmitOutcome:
    submission = placement.submission
    desk = parts.accounts.get(submission.provider, submission.account)
    if desk is None or desk.account.base_url != submission.base_url:
        return NotSent("this account is not configured any more")
    order = Order.of(orjson.loads(placement.order))
    if desk.marks and order.safety_identifier is None:
        order = replace(order, safety_identifier=ids.encode(ids.SUBMISSION, submission.id))
    callback_url = None
    if desk.callbacks is not Callbacks.NONE:
        token = parts.tokens.mint(submission.provider, submission.id)
        callback_url = f"{parts.public_url}/callbacks/{submission.provider}/{token}"
    request = desk.gateway.submit(desk.account, order, callback_url)
    return await gateway.place(parts, desk, request)


def _configured(parts: Parts, task: Task) -> list[Key]:
    """Of the accounts that may take the order, those that still exist."""
    return [key for key in route.as_keys(task.route) if key in parts.accounts.desks]


async def _bring(parts: Parts, arrival: Arrival) -> None:
    for attempt in range(RECORD_TRIES):
        try:
            await record(parts, arrival)
            return
        except Unavailable:
            await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
    # Nothing is lost for good: the submission stays `sending`, and is looked at when its answer is overdue.
    log.error("submission.outcome_not_stored", extra={"submission": arrival.submission_id})


async def place_waiting(parts: Parts, limit: int) -> list[Placement]:
    """Claim what waits to be placed and has room, and start a submission for each. Sends nothing."""
    started, ran_out = await parts.db.write(lambda tx: _start_waiting(tx, parts, limit))
    for task_id in ran_out:
        await record(parts, Arrival(RanOut(), Source.OWN, task_id=task_id))
    return started


def _start_waiting(tx: Tx, parts: Parts, limit: int) -> tuple[list[Placement], list[int]]:
    ran_out = waiting.ran_out(tx.sql, tx.now, RAN_OUT)
    if limit <= 0 or not waiting.anybody_due(tx):
        return [], ran_out
    waiting.take_turn(tx)
    rooms, parts.accounts.breakers = waiting.rooms(tx.sql, tx.now, parts.accounts.caps)
    found = _candidates(tx, parts, rooms, limit)
    if not found:
        return [], ran_out
    apps = sorted({w.app_id for w, _ in found.values()})
    shares = waiting.shares(tx, apps)
    chosen = admit([w for w, _ in found.values()], rooms, shares, waiting.weights(tx, apps), limit)
    waiting.save_shares(tx, shares, {(key, found[task_id][0].app_id) for task_id, key in chosen})
    bodies = tasks.order_bodies(tx.sql, [task_id for task_id, _ in chosen])
    started: list[Placement] = []
    for task_id, key in chosen:
        begun, submission = start(tx, parts, found[task_id][1], parts.accounts.desks[key])
        started.append(Placement(begun, submission, bodies[task_id]))
        probe(tx, parts, key)
    tasks.save(tx, [(found[p.task.id][1], p.task) for p in started], [])
    tasks.add_submissions(tx, [p.submission for p in started])
    return started, ran_out


def _candidates(tx: Tx, parts: Parts, rooms: Mapping[Key, int], limit: int) -> dict[int, tuple[Waiting, Task]]:
    """The first of every lane that leads to an account with room; a lane without room is not even looked at."""
    found: dict[int, tuple[Waiting, Task]] = {}
    for lane in waiting.lanes(tx.sql):
        orphaned = not any(key in rooms for key in lane.keys)
        if not orphaned and not any(rooms.get(key, 0) > 0 for key in lane.keys):
            continue
        first = waiting.first(tx, lane, limit)
        bodies = tasks.order_bodies(tx.sql, [t.id for t in first]) if orphaned else {}
        for task in first:
            each = waiting.as_waiting(task, lane)
            if orphaned:  # its accounts are gone from the configuration: others may do
                desks, _ = parts.accounts.able(Order.of(orjson.loads(bodies[task.id])))
                each = replace(each, route=[desk.key for desk in desks])
            found[task.id] = (each, task)
    return found
