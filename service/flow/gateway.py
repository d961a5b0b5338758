"""One sender for all gateways: moves an adapter's request and turns every way it can break into an outcome."""

import logging
from collections.abc import Callable
from typing import TypeVar

import httpx

from service.accounts import Desk
from service.domain.patience import SECOND_MS
from service.domain.report import Accepted, NoAnswer, NotSent, SubmitOutcome, Unknown
from service.domain.timekeeping import compare
from service.egress import exchange
from service.parts import Parts
from service.wire import BODY_LIMIT, Reply, date_ms

log = logging.getLogger("callsheet.gateway")

ASK_TIMEOUT_S = 20.0
"""For a question: Ark answers in well under a second; longer is an outage, and asking again costs nothing."""
CONNECT_S = 5.0
LIST_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer about many: 500 tasks with two signed addresses each are more than a megabyte."""

Outcome = TypeVar("Outcome")


async def place(parts: Parts, desk: Desk, request: httpx.Request) -> SubmitOutcome:
    """A paid request: always on a fresh connection, so that a stale one never makes the outcome unknown; never repeated."""
    request.extensions = {**request.extensions, "trusted": True, "fresh": True}
    try:
        timeout_s = desk.gateway.facts.submit_timeout_s
        reply = await exchange(parts.transport, request, total_s=timeout_s, cap=BODY_LIMIT, connect_s=CONNECT_S, over="error")
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
        return NotSent(_reason(error))
    except httpx.HTTPError as error:
        return Unknown(_reason(error))
    _compare_clocks(parts, desk, reply)
    outcome = desk.gateway.read_submit(reply, parts.clock())
    if not isinstance(outcome, Accepted):
        log.info(
            "gateway.answered",
            extra={"provider": desk.account.provider, "status": reply.status, "outcome": type(outcome).__name__},
        )
    return outcome


async def ask(
    parts: Parts, desk: Desk, request: httpx.Request, read: Callable[[Reply], Outcome], cap: int = BODY_LIMIT
) -> Outcome | NoAnswer:
    """A free request: on any connection, and no answer teaches us nothing."""
    parts.metrics.ledger.add(*desk.key, "questions")
    request.extensions = {**request.extensions, "trusted": True}
    try:
        reply = await exchange(parts.transport, request, total_s=ASK_TIMEOUT_S, cap=cap, connect_s=CONNECT_S, over="error")
    except httpx.HTTPError as error:
        return NoAnswer(_reason(error))
    _compare_clocks(parts, desk, reply)
    return read(reply)


def _compare_clocks(parts: Parts, desk: Desk, reply: Reply) -> None:
    date = date_ms(reply.headers)
    if date is None:
        return
    agreed = compare(date, parts.clock(), int(parts.steady_s() * SECOND_MS))
    if agreed is None:
        parts.accounts.agreed.pop(desk.key, None)
    else:
        parts.accounts.agreed[desk.key] = agreed


def _reason(error: httpx.HTTPError) -> str:
    """What broke, without the address: a gateway's URL may carry more than it should."""
    return _REASONS.get(type(error), type(error).__name__)


_REASONS: dict[type[httpx.HTTPError], str] = {
    httpx.ConnectTimeout: "could not connect in time",
    httpx.ConnectError: "could not connect",
    httpx.ReadTimeout: "no answer in time",
    httpx.WriteTimeout: "could not send it in time",
    httpx.ReadError: "the connection broke before the answer",
    httpx.WriteError: "the connection broke while sending",
    httpx.RemoteProtocolError: "the answer was no HTTP",
}
