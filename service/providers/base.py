"""What every gateway file offers, and the account it speaks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import httpx

from service.domain.errors import Fault
from service.domain.order import Order
from service.domain.report import BatchOutcome, CancelOutcome, QueryOutcome, Report, ScanOutcome, SubmitOutcome, Unreadable
from service.wire import Reply


class Callbacks(StrEnum):
    """What a gateway tells by itself when it was given a callback URL."""

    EVERY = "every"
    """Every change of status."""
    ENDINGS = "endings"
    """Only how it ended."""
    NONE = "none"
    """Nothing that is documented: it has to be asked."""


@dataclass(frozen=True, slots=True)
class Facts:
    callbacks: Callbacks
    """The cautious default; `callbacks` of the account overrides it for an operator who knows better."""
    cancels: bool = False
    """A queued task can be cancelled there."""
    batch: int = 1
    """How many tasks one question may name; 1: it has no batch question."""
    scans: bool = False
    """Its list of recent tasks can be searched."""
    page: int = 100
    """Entries of one page of that list: a shorter page is the last."""
    asks_per_s: float = 5.0
    """Single questions a second that its limits allow."""
    batches_per_s: float = 1.0
    submit_timeout_s: float = 60.0
    in_flight: int | None = 10_000
    """Tasks that an account may have under way. No gateway documents where its queue ends: plenty, against a run-away caller."""
    per_minute: int | None = 600
    """Orders a minute: what Ark documents for most models. None: no limit."""
    typical_s: int = 120
    """How long a short clip usually takes: the first look at a gateway that does not call back."""
    video_lives_s: int = 86_400
    verified: tuple[str, ...] = ()
    """What its documents say outright."""
    unverified: tuple[str, ...] = ()
    """What they do not say, and what we do instead."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account at one gateway. The key never shows in a repr, a log or an error."""

    provider: str
    name: str
    base_url: str
    """Without a trailing slash."""
    api_key: str = field(repr=False)
    callbacks: Callbacks | None = None
    """None: as the gateway's facts say."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings of one gateway, by the names its file documents."""


class Gateway(Protocol):
    """Requests out, outcomes in. Nothing here may raise on any bytes a gateway sends."""

    name: str
    base_url: str | None
    """The documented address; None: the operator has to name it."""
    facts: Facts

    def refuse(self, order: Order, account: Account) -> Sequence[Fault]:
        """What this gateway cannot do of this order, by field; empty: it can. Nothing is ever dropped in silence."""
        ...

    def submit(self, account: Account, order: Order, callback_url: str | None) -> httpx.Request: ...

    def read_submit(self, reply: Reply, now: int) -> SubmitOutcome: ...

    def query(self, account: Account, remote_id: str) -> httpx.Request: ...

    def read_query(self, reply: Reply, remote_id: str, now: int) -> QueryOutcome: ...

    def read_callback(self, body: bytes) -> Report | Unreadable: ...


class Batches(Protocol):
    """A gateway that answers about many tasks at once (`facts.batch` > 1)."""

    def query_many(self, account: Account, remote_ids: Sequence[str], flex: bool) -> httpx.Request: ...

    def read_many(self, reply: Reply, now: int) -> BatchOutcome: ...


class Cancels(Protocol):
    """A gateway that can cancel a queued task (`facts.cancels`)."""

    def cancel(self, account: Account, remote_id: str) -> httpx.Request: ...

    def read_cancel(self, reply: Reply, now: int) -> CancelOutcome: ...


class Scans(Protocol):
    """A gateway whose list can be searched for an order whose answer got lost (`facts.scans`)."""

    def scan(self, account: Account, model: str, page: int, flex: bool) -> httpx.Request: ...

    def read_scan(self, reply: Reply, now: int) -> ScanOutcome: ...
