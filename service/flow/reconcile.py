"""Silence makes us ask: one account at a time has its turn, and every account has its own.

A turn claims the oldest stale tasks of an account, settles what needs no question, asks as much as the provider's limits
allow now, in batches where it can, and brings the answers to the one door together. It never waits for a limit: it says when
to come again. In between, the account's row keeps every other process from asking the same.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service.accounts import Desk
from service.domain import asking, naming
from service.domain.asking import Pair, Plan
from service.domain.lifecycle import ENDINGS, SETTLED
from service.domain.news import GaveUp, News, Source, Unfound, Unlisted
from service.domain.patience import give_up_at
from service.domain.report import BatchOutcome, Busy, Missing, NoAnswer, Refused, Report, Unknown
from service.domain.route import Key
from service.flow import gateway
from service.flow.claims import claimed_ending
from service.flow.record import Arrival, record
from service.flow.search import search
from service.parts import Parts
from service.providers.registry import batches
from service.store import accounts, stale
from service.store.database import Tx

WINDOW = 200
"""Stale tasks looked at in a turn of an account that is asked one by one; four batches of any other."""
LEASE_MS = 120_000
"""A turn that is not over by then was cut off, and what it claimed is stale again: longer than any turn."""
SILENCE = (NoAnswer, Busy, Refused)
"""Answers after which a provider is left alone for a while."""


@dataclass(frozen=True, slots=True)
class Turn:
    stale_count: int
    again_at: int | None = None
    """There is more to ask, and that is when it is allowed."""


@dataclass(slots=True)
class Spent:
    """What a turn has used of the provider's patience, and how it was met."""

    lists: int = 0
    gets: int = 0
    silence: Busy | NoAnswer | Refused | None = None
    """The last answer that was none; something else since then: None."""


async def reconcile(parts: Parts) -> int:
    """One turn of every account, all at once. How many tasks were stale."""
    turns = await asyncio.gather(*(turn(parts, key) for key in await keys(parts)))
    return sum(t.stale_count for t in turns)


async def keys(parts: Parts) -> list[Key]:
    """Whoever may have to be asked, whether it is still configured or not."""
    return await parts.db.read(stale.accounts)


async def turn(parts: Parts, key: Key) -> Turn:
    now = parts.clock()
    if not await parts.db.read(lambda sql: stale.any_due(sql, key, now)):
        return Turn(0)
    claimed = await parts.db.write(lambda tx: _claim(tx, parts, key))
    if claimed is None:
        return Turn(0)
    plan, gets = claimed
    spent = Spent()
    try:
        await _settle(parts, key, plan, gets, spent)
    finally:
        again_at = await parts.db.write(lambda tx: _finish(tx, parts, key, plan, spent))
    count = len(plan.leased) + len(plan.quiet) + plan.left_count
    more = plan.left_count or len(plan.leased) + len(plan.quiet) >= WINDOW
    return Turn(count, again_at if more else None)


def _claim(tx: Tx, parts: Parts, key: Key) -> tuple[Plan, int] | None:
    row = accounts.held(tx, key)
    if row.asking_until > tx.now:
        return None
    desk = parts.accounts.get(*key)
    facts = None if desk is None else desk.gateway.facts
    gets = asking.gets_allowed(facts.asks_per_s) if facts is not None and row.get_at <= tx.now else 0
    batch = 1 if facts is None else facts.batch
    lists = 1 if row.list_at <= tx.now else 0
    plan = asking.plan(
        stale.oldest(tx, key, max(WINDOW, 4 * batch * lists)),
        tx.now,
        lambda task: parts.accounts.terms(*key, task.model),
        parts.random,
        base_url=None if desk is None else desk.account.base_url,
        batch=batch,
        scans=facts is not None and facts.scans,
        lists=lists,
        gets=gets,
    )
    stale.rearm(tx, [(task.id, task.poll_at or 0, until) for (task, _), until in plan.quiet])
    stale.lease(tx, [task.id for task, _ in plan.leased], tx.now + LEASE_MS)
    if plan.leased:
        accounts.change(tx, key, asking_until=tx.now + LEASE_MS)
    return plan, gets


def _finish(tx: Tx, parts: Parts, key: Key, plan: Plan, spent: Spent) -> int:
    """When the account may be asked again, about whatever is left: a limit on another kind of question does not count."""
    row = accounts.held(tx, key)
    desk = parts.accounts.get(*key)
    list_at, get_at, free_at, silent_count = row.list_at, row.get_at, 0, 0
    if desk is not None:
        facts = desk.gateway.facts
        list_at = asking.next_list_at(tx.now, facts.batches_per_s) if spent.lists else list_at
        get_at = asking.next_get_at(tx.now, spent.gets, facts.asks_per_s) if spent.gets else get_at
    if spent.silence is not None:
        silent_count = row.silent_count + 1
        wish_s = spent.silence.retry_after_s if isinstance(spent.silence, Busy) else None
        free_at = asking.silent_until(silent_count, tx.now, parts.random(), wish_s)
    values = {"asking_until": free_at, "list_at": list_at, "get_at": get_at, "silent_count": silent_count}
    if any(getattr(row, name) != value for name, value in values.items()):
        accounts.change(tx, key, **values)
    waits = [get_at] * bool(plan.left_single) + [list_at] * bool(plan.left_listed)
    return int(max(free_at, min(waits or (list_at, get_at)), tx.now))


async def _settle(parts: Parts, key: Key, plan: Plan, gets: int, spent: Spent) -> None:
    cut_off = Unknown("the process ended while the order was being sent")
    gone = NoAnswer("the account of this submission is not configured any more", asked=False)
    unsearchable = Unfound(f"{key[0]} has no list to look for it in")
    await asyncio.gather(
        *(_bring(parts, pair, cut_off, Source.OWN) for pair in plan.cut_off),
        *(_bring(parts, pair, GaveUp("outcome_never_known"), Source.OWN) for pair in plan.over),
        *(_bring(parts, pair, unsearchable, Source.OWN) for pair in plan.unsearchable),
        *(_bring(parts, pair, gone, Source.POLL) for pair in plan.orphaned),
    )
    desk = parts.accounts.get(*key)
    if desk is None:
        return
    if plan.batch:
        await _ask_many(parts, desk, plan.batch, plan.flex, spent)
    if plan.search:
        spent.lists += 1
        news = await search(parts, desk, plan.search, plan.flex)
        spent.silence = next((n for n in news.values() if isinstance(n, SILENCE)), None)
        await asyncio.gather(*(record(parts, Arrival(n, Source.POLL, sub_id)) for sub_id, n in news.items()))
    singles = plan.single[:gets]
    if singles and spent.silence is None:
        spent.gets += len(singles)
        await asyncio.gather(*(_ask_one(parts, desk, pair, spent) for pair in singles))
    elif singles:
        await _bring_all(parts, singles, [NoAnswer("its provider does not answer", asked=False)] * len(singles))


async def _ask_many(parts: Parts, desk: Desk, pairs: Sequence[Pair], flex: bool, spent: Spent) -> None:
    reader = batches(desk.gateway)
    assert reader is not None
    spent.lists += 1
    named = [sub.remote_id or "" for _, sub in pairs]
    request = reader.query_many(desk.account, named, flex)
    outcome: BatchOutcome = await gateway.ask(
        parts, desk, request, lambda reply: reader.read_many(reply, parts.clock()), gateway.LIST_LIMIT
    )
    parts.metrics.asked(desk.account.provider, "batch" if isinstance(outcome, dict) else type(outcome).__name__.lower())
    if isinstance(outcome, dict):
        await _bring_all(parts, pairs, [outcome.get(remote_id) or Unlisted() for remote_id in named])
    else:
        spent.silence = outcome if isinstance(outcome, SILENCE) else None
        await _bring_all(parts, pairs, [outcome] * len(pairs))


async def _ask_one(parts: Parts, desk: Desk, pair: Pair, spent: Spent) -> None:
    remote_id = naming.asked(*pair)
    request = desk.gateway.query(desk.account, remote_id)
    news = await gateway.ask(parts, desk, request, lambda reply: desk.gateway.read_query(reply, remote_id, parts.clock()))
    parts.metrics.asked(desk.account.provider, type(news).__name__.lower())
    spent.silence = news if isinstance(news, SILENCE) else None
    await _bring(parts, pair, news, Source.POLL)


async def _bring_all(parts: Parts, pairs: Sequence[Pair], news: Sequence[News]) -> None:
    """All at once, so that they share their commits."""
    await asyncio.gather(*(_bring(parts, pair, each, Source.POLL) for pair, each in zip(pairs, news, strict=True)))


async def _bring(parts: Parts, pair: Pair, news: News, source: Source) -> None:
    task, sub = pair
    ended = isinstance(news, Report) and news.state in ENDINGS
    others = isinstance(news, Missing) and not naming.round_over(task.missing + 1, sub)
    if (
        source is Source.POLL
        and sub.remote_id is not None
        and not ended
        and not others
        and task.state not in SETTLED  # a lost one, asked because a callback claims that it has ended
        and parts.clock() >= give_up_at(sub.sent_at, task.deadline_at)
    ):
        news = GaveUp("silent_past_deadline")
    nobody_knows = isinstance(news, GaveUp) or (isinstance(news, Missing) and not others)
    if nobody_knows and naming.contested(sub) and (claim := await claimed_ending(parts, sub)) is not None:
        news, source = claim, Source.OWN
    await record(parts, Arrival(news, source, sub.id, task.id))
