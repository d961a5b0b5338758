"""The one door: every change of a task's state goes through here, whoever brings the news.

One group commit: the tasks of a batch are locked, each piece of news is judged by a pure function in order of arrival,
and receipts, states, transitions and deliveries are written together. Only then does anybody get an answer.
"""

import logging
from asyncio import Future
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from service.domain import ids
from service.domain.advance import UNCONFIRMED, step
from service.domain.due import Due
from service.domain.forgetting import FORGOTTEN
from service.domain.instant import rfc3339
from service.domain.lifecycle import ENDINGS, Verdict
from service.domain.news import News, Source, Step
from service.domain.report import Report, Unreadable
from service.domain.task import Submission, Task, notice
from service.flow.announce import Happening, announce
from service.flow.names import Names
from service.ledger import came_to
from service.parts import Parts
from service.providers.base import Callbacks
from service.store import accounts, journal, tasks
from service.store.bulk import together
from service.store.database import Tx

log = logging.getLogger("callsheet.record")

RECEIPTS_KEPT = 200
"""Of one task. A provider that repeats itself 100,000 times may not fill the disk; what changes the task is always kept."""


class Arrival(NamedTuple):
    """One piece of news about a submission, or, before there is one, about a task."""

    news: News
    source: Source
    submission_id: int | None = None
    task_id: int | None = None
    body: bytes | None = None
    """As it arrived."""


class Recorded(NamedTuple):
    task: Task | None
    """None: there is no such submission (any more)."""
    verdict: str
    moved: bool = False
    alerted: bool = False
    before: tuple[Task, Submission | None] | None = None
    submission: Submission | None = None
    in_hand: Sequence[Due] = ()


async def record(parts: Parts, arrival: Arrival, within_s: float | None = None) -> Recorded:
    recorded = await recording(parts, arrival, within_s)
    noticed(parts, arrival, recorded)
    return recorded


def recording(parts: Parts, arrival: Arrival, within_s: float | None = None) -> Future[Recorded]:
    """Recorded when it is durable. Whoever awaits it calls `noticed` then."""
    return parts.db.group(record_all, parts, arrival, within_s)


def noticed(parts: Parts, arrival: Arrival, recorded: Recorded) -> bool:
    """Counts what was recorded, and wakes whoever waits for it. False: there was nobody to record it of."""
    task = recorded.task
    if task is None:
        return False
    parts.metrics.recorded(arrival.source, recorded.verdict, task.provider or "")
    _count(parts, arrival, recorded)
    if recorded.moved or arrival.source is Source.SUBMIT:
        parts.watch.changed(task.id, task)
    if recorded.moved and log.isEnabledFor(logging.INFO):
        log.info(
            "task.moved",
            extra={
                "task": ids.encode(ids.TASK, task.id),
                "state": str(task.state),
                "sequence": task.sequence,
                "source": str(arrival.source),
            },
        )
    if recorded.moved or recorded.alerted:
        parts.happened.ring()
    if recorded.in_hand:
        parts.courier.put(recorded.in_hand)
    elif recorded.moved:
        parts.courier.bell.ring()
    if task.poll_at is not None and task.poll_at <= parts.clock():
        parts.stale.bell.ring()
    if task.place_at is not None:
        parts.submitter.bell.ring()
    return True


def _count(parts: Parts, arrival: Arrival, recorded: Recorded) -> None:
    """After the commit, and on the loop: what is counted happened, and once."""
    assert recorded.task is not None
    assert recorded.before is not None
    (task, sub), after = recorded.before, recorded.task
    ledger = parts.metrics.ledger
    if sub is not None and recorded.submission is not None:
        ledger.submission(sub, recorded.submission, arrival.source)
    if recorded.moved:
        desk = parts.accounts.get(after.provider or "", after.account or "")
        told = Callbacks.NONE if desk is None else desk.callbacks
        expected = told is Callbacks.EVERY or (told is Callbacks.ENDINGS and after.state in ENDINGS)
        at = arrival.news.updated_at if isinstance(arrival.news, Report) else None
        # An ending that had to be confirmed was brought by its callback: none was missed.
        brought_by = Source.CALLBACK if task.reason == UNCONFIRMED else arrival.source
        ledger.moved(task, after, brought_by, at, expected)


def record_all(tx: Tx, parts: Parts, arrivals: Sequence[Arrival]) -> list[Recorded]:
    locked, now_subs = tasks.lock(
        tx,
        {a.task_id for a in arrivals if a.task_id is not None},
        list({a.submission_id for a in arrivals if a.submission_id is not None}),
    )
    now_tasks = dict(locked)
    names = Names(tx, [(now_subs.get(a.submission_id or 0), a.news) for a in arrivals])
    happenings: list[Happening] = []
    owners: list[int] = []
    receipts: list[tuple[Any, ...]] = []
    words: list[tuple[int, tuple[str, str], Happening]] = []
    answers: list[Recorded] = []
    counted: Counter[tuple[str, str, str]] = Counter()
    changed: set[int] = set()
    """Submissions that are other than they were."""
    for index, arrival in enumerate(arrivals):
        sub = now_subs.get(arrival.submission_id) if arrival.submission_id is not None else None
        task = now_tasks.get(sub.task_id if sub is not None else arrival.task_id or 0)
        if task is None or (sub is None and arrival.submission_id is not None):
            answers.append(Recorded(None, "unknown"))
            continue
        if task.reason == FORGOTTEN:  # whatever is said about it now, nothing of it is kept
            answers.append(Recorded(task, str(Verdict.LATE), before=(task, sub)))
            continue
        news = names.judged(sub, arrival.news)
        provider, account = (sub.provider, sub.account) if sub is not None else ("", "")
        terms = parts.accounts.terms(provider, account, task.model)
        made = step(task, sub, news, arrival.source, tx.now, terms, parts.random())
        verdict = _verdict(arrival.news, made)
        after = made.task
        if made.moved:
            happenings.append(_transition(parts, made, task, arrival.source))
            owners.append(index)
        if made.alert is not None:
            alert = _alert(parts, made, arrival.source, tx.now)
            if made.alert.word is None:
                happenings.append(alert)
                owners.append(index)
            else:
                words.append((index, (provider, made.alert.word), alert))
        if sub is not None and _worth_keeping(arrival, made) and (after.receipts < RECEIPTS_KEPT or _weighty(made)):
            if not made.moved:
                after = after._replace(receipts=after.receipts + 1)
            receipts.append(_receipt(tx, after, sub, arrival, verdict))
        now_tasks[task.id] = after
        if made.submission is not None and made.submission is not sub:
            now_subs[made.submission.id] = made.submission
            changed.add(made.submission.id)
            what = None if sub is None else came_to(sub, made.submission, arrival.source)
            if what is not None:
                counted[provider, account, what] += 1
            names.given(made.submission)
        answers.append(
            Recorded(after, verdict, made.moved, made.alert is not None, before=(task, sub), submission=made.submission)
        )
    if words:
        fresh = journal.new_words(tx, [word for _, word, _ in words])
        for index, word, alert in words:
            if word in fresh:
                fresh.discard(word)
                happenings.append(alert)
                owners.append(index)
    accounts.add_counts(tx, counted, {})
    with together(tx):
        tasks.save(
            tx,
            [(locked[i], now) for i, now in now_tasks.items() if now is not locked[i]],
            [now_subs[i] for i in sorted(changed)],
        )
        journal.add_receipts(tx, receipts)
        told = announce(tx, parts, happenings)
    for index, in_hand in zip(owners, told, strict=True):
        if in_hand:
            answer = answers[index]
            answers[index] = answer._replace(in_hand=[*answer.in_hand, *in_hand])
    return answers


def _weighty(made: Step) -> bool:
    """Kept however many are kept already: it comes once, while a word that nobody knows may come again and again."""
    return made.moved or (made.alert is not None and made.alert.word is None)


def _verdict(news: News, made: Step) -> str:
    if made.verdict is not None:
        return made.verdict._value_
    match news:
        case Report():
            return "unknown_status"
        case Unreadable():
            return "unreadable"
        case _:
            return type(news).__name__.lower()


def _worth_keeping(arrival: Arrival, made: Step) -> bool:
    """Every callback as it came; of the answers we asked for, those that say something new or strange."""
    match arrival.source:
        case Source.CALLBACK:
            return True
        case Source.POLL:
            return made.moved or made.alert is not None or isinstance(arrival.news, Unreadable)
        case _:
            return False


def _receipt(tx: Tx, task: Task, sub: Submission, arrival: Arrival, verdict: str) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    return (
        tx.ids.new(),
        task.app_id,
        task.id,
        sub.id,
        sub.provider,
        arrival.source._value_,
        verdict,
        arrival.news.word[:100] if isinstance(arrival.news, Report) else None,
        tx.now,
        arrival.body,
    )


def _transition(parts: Parts, made: Step, before: Task, source: Source) -> Happening:
    task = made.task
    return Happening(
        app_id=task.app_id,
        type=f"task.{task.state._value_}",
        source=source._value_,
        body=orjson.dumps(notice(task, before.state, parts.public_url, fragment)),
        task_id=task.id,
        sequence=task.sequence,
        state=task.state._value_,
        previous=before.state._value_,
        model=task.model,
        provider=task.provider,
        metadata=task.metadata,
    )


def _alert(parts: Parts, made: Step, source: Source, now: int) -> Happening:
    task, alert = made.task, made.alert
    assert alert is not None
    name = ids.encode(ids.TASK, task.id)
    data = {"task_id": name, "provider": task.provider, "message": alert.message, "url": f"{parts.public_url}/v1/tasks/{name}"}
    body = orjson.dumps({"type": alert.type, "timestamp": rfc3339(now), "data": data})
    return Happening(
        task.app_id, alert.type, str(source), body, task.id, model=task.model, provider=task.provider, metadata=task.metadata
    )


def fragment(text: str) -> Any:
    return orjson.Fragment(text)
