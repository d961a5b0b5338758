"""What the answer to an order says about its account: kept in the database, so that all processes leave a dead one alone."""

import logging

import orjson

from service.domain.breaker import Breaker, failed, succeeded, unproven
from service.domain.due import Due
from service.domain.errors import Unavailable
from service.domain.instant import rfc3339
from service.domain.news import Again
from service.domain.report import Busy, NotSent, Rejected, SubmitOutcome, Unknown
from service.domain.route import Key
from service.flow.announce import Happening, announce
from service.parts import Parts
from service.store import accounts
from service.store.database import Tx

log = logging.getLogger("callsheet.breaker")

OPERATOR_APP = "default"
"""Whoever runs the service hears about its accounts."""


async def weigh(parts: Parts, key: Key, news: SubmitOutcome | Again) -> None:
    said = news.said if isinstance(news, Again) else news
    reason: str | None = None
    wish_s: float | None = None
    match said:
        case Unknown():
            return  # says nothing about the account
        case Rejected(error) if said.blames_account and not said.of_model:
            reason = error.code
        case NotSent(reason) | Busy(reason):
            wish_s = said.retry_after_s if isinstance(said, Busy) else None
        case _ if parts.accounts.breakers.get(key, Breaker()) == Breaker():
            return  # nothing to mend, and nothing to write on the usual way
    works = not (isinstance(said, Rejected) and said.blames_account)
    try:
        opened, in_hand = await parts.db.write(lambda tx: _weigh(tx, parts, key, works, reason, wish_s))
    except Unavailable:
        return  # the next failure says the same again
    if in_hand:
        parts.courier.put(in_hand)
    if opened:
        parts.happened.ring()
        parts.metrics.ledger.add(*key, "breaker_opened")
        log.warning("account.degraded", extra={"provider": key[0], "account": key[1], "reason": reason})


def _weigh(tx: Tx, parts: Parts, key: Key, works: bool, reason: str | None, wish_s: float | None) -> tuple[bool, list[Due]]:
    """`reason`: why it counts against the account. None: it `works`, or its model's refusal said nothing."""
    row = accounts.held(tx, key)
    before = Breaker(row.failures, row.open_until, row.probed_at)
    if reason is not None:
        after = failed(before, tx.now, parts.random(), wish_s)
    else:
        after = succeeded(before) if works else unproven(before)
    if after != before:
        accounts.save_breaker(tx, key, after)
    parts.accounts.breakers = {**parts.accounts.breakers, key: after}
    if before.open_until is not None or after.open_until is None:
        return False, []
    message = f"{key[0]} ({key[1]}) takes no orders: {reason}"
    data = {"provider": key[0], "account": key[1], "message": message, "probed_again_at": rfc3339(after.open_until)}
    body = orjson.dumps({"type": "provider.degraded", "timestamp": rfc3339(tx.now), "data": data})
    [in_hand] = announce(tx, parts, [Happening(OPERATOR_APP, "provider.degraded", "own", body, provider=key[0])])
    return True, in_hand
