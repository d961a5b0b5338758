"""Silence makes us ask: claim stale tasks, ask their providers, bring the answers to the one door.

Most stale tasks need no question: news came since the timestamp was set (callbacks do not touch it), so it is only
pushed back. What remains is asked, in batches where the gateway can, each provider on its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from service.accounts import Desk
from service.domain.advance import GaveUp, News, Source
from service.domain.lifecycle import ENDINGS
from service.domain.patience import ask_at, give_up_at
from service.domain.report import NoAnswer, Report, Unknown
from service.domain.task import Outcome, Submission, Task
from service.flow import gateway
from service.flow.record import Arrival, record
from service.parts import Parts
from service.store import tasks

CLAIM = 500
AT_ONCE = 8
"""Questions under way to one account."""
SILENT_LIMIT = 5
"""Unanswered questions in a row after which a round spares an account the rest."""
LEASE_MS = 90_000
"""A claimed task that nobody answered for is stale again: longer than a question may take."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What one account has to be asked about."""

    provider: str
    account: str
    pairs: Sequence[tuple[Task, Submission]]


async def claim(parts: Parts, most: int = CLAIM) -> tuple[int, list[Questions]]:
    """Claim stale tasks and settle what needs no question. How many were stale, and what is left to ask."""
    stale = await parts.db.write(lambda tx: tasks.claim_stale(tx, most, tx.now + LEASE_MS))
    now = parts.clock()
    pushed: list[tuple[int, int, int]] = []
    asked: dict[tuple[str, str], list[tuple[Task, Submission]]] = defaultdict(list)
    for task, sub in stale:
        assert sub is not None, "only tasks with a submission are asked about"
        quiet_until = _quiet_until(parts, task, sub, now)
        if sub.outcome is Outcome.SENDING:
            await _bring(parts, task, sub, Unknown("the process ended while the order was being sent"), Source.OWN)
        elif quiet_until is not None:
            pushed.append((task.id, task.poll_at or 0, quiet_until))
        elif sub.remote_id is not None:
            asked[sub.provider, sub.account].append((task, sub))
        elif now >= give_up_at(sub.sent_at, task.deadline_at):
            await _bring(parts, task, sub, GaveUp("outcome_never_known"), Source.OWN)
        else:
            pushed.append((task.id, task.poll_at or 0, give_up_at(sub.sent_at, task.deadline_at)))
    if pushed:
        await parts.db.write(lambda tx: tasks.rearm(tx, pushed))
    return len(stale), [Questions(provider, account, pairs) for (provider, account), pairs in asked.items()]


def _quiet_until(parts: Parts, task: Task, sub: Submission, now: int) -> int | None:
    """Until when silence is normal after all, because there was news since the timestamp was set."""
    if sub.outcome is not Outcome.ACCEPTED or task.asks > 0:
        return None
    at = ask_at(parts.accounts.terms(sub.provider, sub.account).pace, task.state, task.news_at, 0, now, parts.random())
    return at if at > now else None


async def ask(parts: Parts, questions: Questions) -> None:
    """Ask one account, a few questions at a time. When it stops answering, the rest waits for its next turn: what is not
    asked keeps its lease and is stale again when that is over."""
    desk = parts.accounts.get(questions.provider, questions.account)
    silent = 0
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(task: Task, sub: Submission) -> None:
        nonlocal silent
        async with turns:
            if silent >= SILENT_LIMIT:
                return
            news = await _ask(parts, desk, sub)
            silent = silent + 1 if isinstance(news, NoAnswer) else 0
            parts.metrics.asked(questions.provider, type(news).__name__.lower())
            if not _ends(news) and parts.clock() >= give_up_at(sub.sent_at, task.deadline_at):
                news = GaveUp("silent_past_deadline")
            await _bring(parts, task, sub, news, Source.POLL)

    await asyncio.gather(*(one(task, sub) for task, sub in questions.pairs))


async def reconcile(parts: Parts, most: int = CLAIM) -> int:
    """One whole round. How many tasks were stale."""
    count, questions = await claim(parts, most)
    await asyncio.gather(*(ask(parts, q) for q in questions))
    return count


def _ends(news: News) -> bool:
    return isinstance(news, Report) and news.state in ENDINGS


async def _ask(parts: Parts, desk: Desk | None, sub: Submission) -> News:
    if desk is None or desk.account.base_url != sub.base_url:
        return NoAnswer("the account of this submission is not configured any more")
    remote_id = sub.remote_id
    assert remote_id is not None
    request = desk.gateway.query(desk.account, remote_id)
    return await gateway.ask(parts, desk, request, lambda reply: desk.gateway.read_query(reply, remote_id, parts.clock()))


async def _bring(parts: Parts, task: Task, sub: Submission, news: News, source: Source) -> None:
    await record(parts, Arrival(news, source, sub.id, task.id))
