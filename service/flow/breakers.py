"""What the answer to an order says about its account: kept in the database, so that all processes leave a dead one alone."""

import logging

import orjson

from service.domain.breaker import Breaker, failed, succeeded
from service.domain.due import Due
from service.domain.errors import Unavailable
from service.domain.instant import rfc3339
from service.domain.news import Again
from service.domain.report import Accepted, Busy, NotSent, Rejected, SubmitOutcome
from service.domain.route import Key
from service.flow.announce import Happening, announce
from service.parts import Parts
from service.store import accounts
from service.store.database import Tx

log = logging.getLogger("callsheet.breaker")

OPERATOR_APP = "default"
"""Whoever runs the service hears about its accounts."""


async def weigh(parts: Parts, key: Key, news: SubmitOutcome | Again) -> None:
    match news:
        case Rejected() if news.blames_account:
            return  # no proof that the account works, and perhaps about this order's model alone
        case Accepted() | Rejected():
            if parts.accounts.breakers.get(key, Breaker()) == Breaker():
                return  # nothing to mend, and nothing to write on the usual way
            reason = None
        case Again(Rejected(error)):
            reason = error.code
        case NotSent(reason) | Busy(reason) | Again(NotSent(reason)) | Again(Busy(reason)):
            pass
        case _:
            return  # an unknown outcome says nothing about the account
    wish_s = news.said.retry_after_s if isinstance(news, Again) and isinstance(news.said, Busy) else None
    wish_s = news.retry_after_s if isinstance(news, Busy) else wish_s
    try:
        opened, in_hand = await parts.db.write(lambda tx: _weigh(tx, parts, key, reason, wish_s))
    except Unavailable:
        return  # the next failure says the same again
    if in_hand:
        parts.courier.put(in_hand)
    if opened:
        parts.happened.set()
        parts.metrics.ledger.add(*key, "breaker_opened")
        log.warning("account.degraded", extra={"provider": key[0], "account": key[1], "reason": reason})


def _weigh(tx: Tx, parts: Parts, key: Key, reason: str | None, wish_s: float | None) -> tuple[bool, list[Due]]:
    row = accounts.held(tx, key)
    before = Breaker(row.failures, row.open_until, row.probed_at)
    after = succeeded(before) if reason is None else failed(before, tx.now, parts.random(), wish_s)
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
