"""The chosen parts of one process, passed by hand: no globals, no container."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from service.accounts import Accounts
from service.bells import Bell, Tray, Watch, Withdrawn
from service.channels.base import Channel
from service.domain import crowd
from service.domain.catalog import Catalog
from service.domain.due import Due
from service.domain.keep import Keep
from service.domain.task import Submission, Task
from service.egress import Guard
from service.lateness import Lateness
from service.metrics import Metrics
from service.signing import CallbackTokens, Seal
from service.store.database import Database

IN_HAND = 4_000
"""Deliveries a courier may hold in memory: a few seconds of work."""
SENDING = 500
"""Orders that may be on their way to gateways at once."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One submission that is committed and has to be sent now."""

    task: Task
    submission: Submission
    order: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parts:
    db: Database
    clock: Callable[[], int]
    random: Callable[[], float]
    transport: httpx.AsyncBaseTransport = field(repr=False)
    tokens: CallbackTokens = field(repr=False)
    seal: Seal = field(repr=False)
    accounts: Accounts = field(repr=False)
    catalog: Catalog = field(repr=False)
    channels: Mapping[str, Channel]
    public_url: str
    steady_s: Callable[[], float] = time.monotonic
    """A clock that nobody sets: what is due goes by `clock`, and this one tells whether that was set."""
    metrics: Metrics = field(default_factory=Metrics, repr=False)
    courier: Tray[Due] = field(default_factory=lambda: Tray[Due](IN_HAND))
    withdrawn: Withdrawn = field(default_factory=Withdrawn, repr=False)
    """What the courier may have in hand and must not send."""
    recalled: Withdrawn = field(default_factory=Withdrawn, repr=False)
    """Likewise by subscriptions and their versions."""
    recall: Bell = field(default_factory=Bell, repr=False)
    """Another process has withdrawn or changed something: what is in hand here is held against the database."""
    submitter: Tray[Placement] = field(default_factory=lambda: Tray[Placement](SENDING))
    watch: Watch[Task] = field(default_factory=lambda: Watch[Task]())
    stale: Tray[None] = field(default_factory=lambda: Tray[None](1))
    """Only its bell is used: somebody set a task to be asked at once."""
    janitor: Tray[None] = field(default_factory=lambda: Tray[None](1))
    """Only its bell is used: somebody asked for long work."""
    guard: Guard | None = field(default=None, repr=False)
    """The transport's own, where there is one: an address that it would never go to is refused when it is saved."""
    keep: Keep = field(default_factory=Keep)
    lateness: Lateness = field(default_factory=Lateness, repr=False)
    happened: Bell = field(default_factory=Bell, repr=False)
    """Rung after a commit that wrote events: the live feed looks at once."""

    def is_crowded(self) -> bool:
        """More comes than this process can store, or look at: newcomers had better come again. Asked once for each of them,
        since they are counted."""
        return self.db.crowded or self.lateness.to_a_newcomer_s() > crowd.LATE_S

    @property
    def bells(self) -> Mapping[str, Bell]:
        """Those that other processes have to hear too."""
        return {
            "courier": self.courier.bell,
            "recall": self.recall,
            "submitter": self.submitter.bell,
            "stale": self.stale.bell,
            "janitor": self.janitor.bell,
            "happened": self.happened,
        }
