"""The search for orders whose answer got lost: read the provider's own list, and adopt what can only be one of them."""

import asyncio
from collections.abc import Sequence

import orjson

from service.accounts import Desk
from service.domain import ids
from service.domain.adoption import GUESSED_MS, SKEW_MS, Sought, adopt
from service.domain.asking import Pair, next_list_at
from service.domain.news import News, Unfound
from service.domain.order import Order
from service.domain.patience import SECOND_MS, SENDING_SLACK_MS
from service.domain.report import Listed, NoAnswer, ScanOutcome
from service.domain.route import Key
from service.domain.task import Outcome
from service.flow import gateway
from service.parts import Parts
from service.providers.registry import scans
from service.store import stale

PAGES = 10
"""Of the list at most: five thousand jobs younger than the order."""


async def search(parts: Parts, desk: Desk, pairs: Sequence[Pair], flex: bool) -> dict[int, News]:
    """News by submission, of each of `pairs`, all of one model and tier, and of any other that turned up on the way."""
    listed = await _listed(parts, desk, pairs[0][0].model, flex, min(sub.sent_at for _, sub in pairs) - SKEW_MS)
    if not isinstance(listed, tuple):
        return {sub.id: listed for _, sub in pairs}
    overdue_ms = int(desk.terms.submit_timeout_s * SECOND_MS) + SENDING_SLACK_MS
    place, since = (desk.account.provider, desk.account.base_url), min(sub.sent_at for _, sub in pairs)
    # Only now: whatever was answered meanwhile has claimed its own. By address, since several keys may lead to one list.
    open_ones, denied, claimed = await parts.db.read(
        lambda sql: (
            stale.open_submissions(sql, *place),
            stale.denied(sql, *place, since - overdue_ms - 2 * SKEW_MS),
            stale.claimed(sql, desk.account.provider, [entry.report.remote_id or "" for entry in listed]),
        )
    )
    sought = []
    for sub, shown in open_ones + denied:
        order = Order.of(orjson.loads(shown))
        sender = parts.accounts.get(sub.provider, sub.account)
        marked = sender is not None and sender.marks and order.safety_identifier is None
        wanted = sub.outcome is Outcome.UNKNOWN and sub.account == desk.account.name and sub.sent_at >= since
        recent = parts.clock() < sub.sent_at + GUESSED_MS
        sought.append(Sought(sub.id, order, sub.sent_at, sub.sent_at + overdue_ms, marked, wanted, bool(sub.timed), recent))
    found = adopt(sought, listed, claimed)
    unfound = {sub.id: _unfound(desk.key, sub.id, found.doubtful.get(sub.id, ())) for _, sub in pairs}
    return {**unfound, **found.adopted}


def _unfound(key: Key, submission_id: int, doubtful: Sequence[str]) -> Unfound:
    if not doubtful:
        return Unfound(f"the list of {key[0]} shows no job that could be it ({ids.encode(ids.SUBMISSION, submission_id)})")
    return Unfound(f"it may be {' or '.join(doubtful[:5])}, and other orders may be, too")


async def _listed(parts: Parts, desk: Desk, model: str, flex: bool, since: int) -> ScanOutcome:
    """Everything in the list that is younger than `since`, as far as we turn its pages."""
    reader = scans(desk.gateway)
    assert reader is not None
    found: list[Listed] = []
    for page in range(1, PAGES + 1):
        if page > 1:
            await asyncio.sleep((next_list_at(0, desk.gateway.facts.batches_per_s)) / SECOND_MS)
        request = reader.scan(desk.account, model, page, flex)
        outcome = await gateway.ask(
            parts, desk, request, lambda reply: reader.read_scan(reply, parts.clock()), gateway.LIST_LIMIT
        )
        if isinstance(outcome, NoAnswer) or not isinstance(outcome, tuple):
            return outcome
        found += outcome
        # Entries that cannot be read are left out: only a page that is half empty is surely the last.
        if len(outcome) <= desk.gateway.facts.page // 2 or min(entry.created_at for entry in outcome) < since:
            break
    return tuple(found)
