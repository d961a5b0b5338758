"""What was acknowledged and what was heard in one world: the checker holds it against the database."""

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from service.domain.errors import Unavailable
from tests.sim.process import Down


@dataclass(frozen=True, slots=True)
class Acked:
    """A callback that was answered with 2xx."""

    submission_id: int
    state: str | None
    """What it said, when it could be read and was about this very job."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice as it came to a subscriber."""

    delivery_id: int
    subscriber: str
    status: int
    """What it answered; 0: nothing."""
    signed: bool
    true: bool
    """Its delivery and its event were committed, with this very body."""


@dataclass(slots=True)
class History:
    tasks: dict[int, int] = field(default_factory=dict)
    """Order to task, once acknowledged."""
    acked: list[Acked] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    cancelled: set[int] = field(default_factory=set)
    """Orders whose cancel was acknowledged."""
    placed: Counter[int] = field(default_factory=Counter)
    """Jobs that providers accepted, by order."""
    resolved: set[int] = field(default_factory=set)
    bugs: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Faults that really struck."""
    digest: Any = field(default_factory=hashlib.sha256)
    told: list[str] | None = None

    def note(self, now_s: float, what: str, *more: Any) -> None:
        line = f"{now_s:.3f} {what} {' '.join(map(str, more))}"
        self.digest.update(line.encode())
        if self.told is not None:
            self.told.append(line)


class Errors(logging.Handler):
    """Whatever the service logs as an error is a bug here, unless it says that the database was away."""

    def __init__(self, bugs: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._bugs = bugs

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, Unavailable | Down) and record.msg != "submission.outcome_not_stored":
            self._bugs.append(f"{record.msg}: {type(error).__name__}: {error}")
