"""How each account is doing: what its orders came to, what its callbacks saved, and whether it is left alone."""

from typing import Any

from sqlalchemy import Connection

from service.domain.breaker import Breaker
from service.domain.instant import maybe
from service.domain.route import Key
from service.flow import learn
from service.parts import Parts
from service.store import accounts, waiting


async def provider_health(parts: Parts) -> dict[Key, dict[str, Any]]:
    await learn.keep(parts)  # what this process counted in the last second belongs to the answer

    def look(sql: Connection) -> tuple[Any, Any, Any, Any]:
        found = (accounts.tallies(sql), accounts.rows(sql), waiting.in_flight(sql))
        return (*found, waiting.unknown_counts(sql))

    tallies, rows, flying, unknown = await parts.db.read(look)
    return {
        key: _health(
            tallies.get(key, {}),
            _breaker(rows.get(key)),
            flying.get(key, 0),
            unknown.get(key, 0),
            parts.clock(),
        )
        for key in parts.accounts.desks
    }


def _health(counts: dict[str, int], breaker: Breaker, in_flight: int, open_unknown: int, now: int) -> dict[str, Any]:
    came, missed = counts.get("callbacks", 0), counts.get("callbacks_missed", 0)
    ended = counts.get("ended", 0)
    return {
        "accepted": counts.get("accepted", 0),
        "rejected": counts.get("rejected", 0),
        "busy": counts.get("busy", 0),
        "not_sent": counts.get("not_sent", 0),
        "unknown": counts.get("unknown", 0),
        "unknown_open": open_unknown,
        "unknown_healed": {how: counts.get(f"healed_by_{how}", 0) for how in ("callback", "list", "operator", "answer")},
        "in_flight": in_flight,
        "callbacks": came,
        "callback_loss_percent": round(100 * missed / (came + missed), 2) if came + missed else None,
        "questions": counts.get("questions", 0),
        "polls_spent": counts.get("polls", 0),
        "polls_per_task": round(counts.get("polls", 0) / ended, 3) if ended else None,
        "polls_saved": counts.get("polls_avoided", 0),
        "breaker": {"state": breaker.state(now), "failures": breaker.failures, "open_until": maybe(breaker.open_until)},
    }


def _breaker(row: Any) -> Breaker:
    return Breaker() if row is None else Breaker(row.failures, row.open_until, row.probed_at)
