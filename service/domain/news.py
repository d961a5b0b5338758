"""News: everything that can be said about a submission, by whomever; and what becomes of it (`Step`), to be carried out.

Reports and outcomes are a provider's words (`domain/report.py`); the others here are our own, or an operator's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from service.domain.lifecycle import Verdict
from service.domain.report import (
    Accepted,
    Busy,
    CancelTaken,
    CancelTooLate,
    Missing,
    NoAnswer,
    NotSent,
    Refused,
    Rejected,
    Report,
    Unknown,
    Unreadable,
)
from service.domain.task import Submission, Task


class Source(StrEnum):
    """Who brought the news."""

    SUBMIT = "submit"
    CALLBACK = "callback"
    POLL = "poll"
    CANCEL = "cancel"
    OPERATOR = "operator"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Asking makes no sense any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class RanOut:
    """The order's own deadline passed before anybody took it."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The caller does not want it any more, and nothing was placed."""


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was placed and the order is not the reason: another account may take it at once."""

    said: Rejected | NotSent | Busy


@dataclass(frozen=True, slots=True)
class Unfound:
    """The provider's list does not show an order whose answer got lost, or nothing that can only be it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Left out of an answer about many. That says nothing yet: lists hide things."""


@dataclass(frozen=True, slots=True)
class NeverHappened:
    """An operator looked at the provider: the order is not there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody calls it by a name that is another order's already."""

    remote_id: str
    owner: str
    """The task that has it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody wants its provider to be asked now."""


News = (
    Report
    | Accepted
    | Rejected
    | Again
    | NotSent
    | Busy
    | Unknown
    | Unfound
    | Unlisted
    | NeverHappened
    | Taken
    | Asked
    | Unreadable
    | Missing
    | NoAnswer
    | Refused
    | CancelTaken
    | CancelTooLate
    | GaveUp
    | RanOut
    | Withdrawn
)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a human should see; an operational event."""

    type: str
    message: str
    word: str | None = None
    """Alerted once for each word of a provider."""


class Step(NamedTuple):
    task: Task
    submission: Submission | None
    verdict: Verdict | None
    """None: there was nothing to judge (no readable report)."""
    moved: bool = False
    alert: Alert | None = None
