"""Ark, the API that ByteDance's Seedance models are served by: Volcengine in China, BytePlus elsewhere, and those who pass
its wire on unchanged.

Documents: https://docs.byteplus.com/en/docs/ModelArk/1520757 and https://www.volcengine.com/docs/82379/1520757 (create),
…/1521309 (retrieve), …/1521675 (list), …/1521720 (cancel or delete).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from service.domain.errors import Fault
from service.domain.order import Order
from service.domain.report import (
    Accepted,
    BatchOutcome,
    CancelOutcome,
    CancelTaken,
    CancelTooLate,
    QueryOutcome,
    Report,
    ScanOutcome,
    SubmitOutcome,
    Unknown,
    Unreadable,
)
from service.providers import ark_errors, ark_list, ark_task, compose, read, refusals
from service.providers.base import Account, Callbacks, Facts
from service.providers.refusals import Words
from service.wire import Reply

BATCH = 500
"""Tasks that we name in one question: what its list documents. That makes 20 KB of address; nothing says what Ark takes, so an
unreadable refusal only means that those tasks are asked about again later."""

SCANNED = 500
"""Entries of one page when we look for an order whose answer got lost: what its list documents."""


def body(order: Order, callback_url: str | None) -> dict[str, Any]:
    """An order as Ark takes it: only what was said. Ark's own defaults are what an order means when it is silent."""
    said = {name: value for name, value in order.as_dict().items() if name not in compose.OURS}
    content = [item.as_dict() for item in order.items]
    told = {} if callback_url is None else {"callback_url": callback_url}
    return {"model": order.model, "content": content, **said, **told}


def takes_all(order: Order, account: Account) -> Sequence[Fault]:
    return ()


@dataclass(slots=True)
class ArkDialect:
    """A gateway that speaks Ark's wire; the fields are all in which one may differ."""

    name: str
    base_url: str | None
    facts: Facts
    path: str = "/contents/generations/tasks"
    words: Words = ark_errors.reading
    render: Callable[[Order, str | None], dict[str, Any]] = body
    limits: Callable[[Order, Account], Sequence[Fault]] = takes_all
    headers: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, order: Order, account: Account) -> Sequence[Fault]:
        return self.limits(order, account)

    def submit(self, account: Account, order: Order, callback_url: str | None) -> httpx.Request:
        return self._ask("POST", account, "", self.render(order, callback_url))

    def read_submit(self, reply: Reply, now: int) -> SubmitOutcome:
        match reply.status // 100, read.parsed(reply.body):
            case 2, {"id": task_id} if remote_id := read.remote_id(task_id):
                return Accepted(remote_id)
            case 2, _:
                return Unknown(f"answered {reply.status} without the id of a task")
        return refusals.submit(reply, self.words, now)

    def query(self, account: Account, remote_id: str) -> httpx.Request:
        return self._ask("GET", account, f"/{compose.segment(remote_id)}")

    def read_query(self, reply: Reply, remote_id: str, now: int) -> QueryOutcome:
        if reply.status // 100 != 2:
            return refusals.query(reply, self.words, now)
        match ark_task.report(read.parsed(reply.body), self.words):
            case Report(remote_id=other) if other != remote_id:
                return Unreadable("the answer is about another task")
            case outcome:
                return outcome

    def read_callback(self, body: bytes) -> Report | Unreadable:
        return ark_task.report(read.parsed(body), self.words)

    # --- what only Ark itself documents: who passes its wire on may lack it, and the facts say so ---

    def query_many(self, account: Account, remote_ids: Sequence[str], flex: bool) -> httpx.Request:
        assert 0 < len(remote_ids) <= ark_list.LIMIT
        named = "".join(f"&filter.task_ids={compose.segment(each)}" for each in remote_ids)
        return self._ask("GET", account, f"?page_num=1&page_size={len(remote_ids)}{_tier(flex)}{named}")

    def read_many(self, reply: Reply, now: int) -> BatchOutcome:
        if reply.status // 100 != 2:
            return ark_list.about_no_task(refusals.query(reply, self.words, now))
        entries = ark_list.entries(read.parsed(reply.body))
        if entries is None:
            return Unreadable("not a list of tasks")
        return ark_list.by_remote_id(ark_list.report(entry, self.words) for entry in entries)

    def cancel(self, account: Account, remote_id: str) -> httpx.Request:
        # The same request deletes the record of a task that has ended: ask first, cancel only what is still queued.
        return self._ask("DELETE", account, f"/{compose.segment(remote_id)}")

    def read_cancel(self, reply: Reply, now: int) -> CancelOutcome:
        match reply.status // 100, refusals.said(read.parsed(reply.body), reply.status):
            case 2, None:
                return CancelTaken()
            case 4, refusals.Said(code=code, message=message) if reply.status == 409 or code.startswith("InvalidAction"):
                return CancelTooLate(message or code)
            case 4, None if reply.status == 409:
                return CancelTooLate("answered 409")
        return refusals.query(reply, self.words, now)

    def scan(self, account: Account, model: str, page: int, flex: bool) -> httpx.Request:
        return self._ask(
            "GET", account, f"?page_num={page}&page_size={SCANNED}&filter.model={compose.segment(model)}{_tier(flex)}"
        )

    def read_scan(self, reply: Reply, now: int) -> ScanOutcome:
        if reply.status // 100 != 2:
            return ark_list.about_no_task(refusals.query(reply, self.words, now))
        entries = ark_list.entries(read.parsed(reply.body))
        if entries is None:
            return Unreadable("not a list of tasks")
        return tuple(listed for entry in entries if (listed := ark_list.listed(entry, self.words)))

    def _ask(self, method: str, account: Account, rest: str, body: Mapping[str, Any] | None = None) -> httpx.Request:
        return compose.request(
            method, f"{account.base_url}{self.path}{rest}", {**compose.bearer(account), **self.headers}, body
        )


def _tier(flex: bool) -> str:
    # Without the filter the list shows the default tier alone: a flex task would look as if it did not exist.
    return "&filter.service_tier=flex" if flex else ""


FACTS = Facts(
    callbacks=Callbacks.EVERY,
    cancels=True,
    batch=BATCH,
    scans=True,
    page=SCANNED,
    asks_per_s=20.0,
    batches_per_s=1.0,
    typical_s=120,
    verified=(
        "callback_url: a POST with the task as its query shows it, at every change of status; 5 s to answer, three tries for endings",
        "20 queries a second and 1 list a second for each account; tasks can be asked about for 7 days",
        "videos can be fetched for 24 hours",
        "a queued task can be cancelled, a running one cannot",
        "flex tasks are listed only when they are asked for",
    ),
    unverified=(
        "what it takes for an answer to a callback: we answer 200",
        "signatures of callbacks: none is documented, so the token in the address is the only proof",
        "whether a cancellation is called back: we record the cancel ourselves",
        "the code of the 404 for a task it does not know: any 404 is taken for that, and one alone means nothing",
        "Retry-After on 429: honoured when it is there",
        "how long an address its list takes: 500 tasks in one question make 20 KB; what it refuses is asked again later",
        "whether a field or a --flag in the prompt wins: an order in which they differ is refused",
        "the list's order: taken as newest first when we look for an order whose answer got lost",
    ),
)

ARK = ArkDialect("ark", "https://ark.cn-beijing.volces.com/api/v3", FACTS)
BYTEPLUS = ArkDialect("byteplus", "https://ark.ap-southeast.bytepluses.com/api/v3", FACTS)
SANDBOX = ArkDialect("sandbox", None, replace(FACTS, in_flight=None, per_minute=None))
"""The simulated provider of this project: Ark's dialect, at whatever address it runs."""
