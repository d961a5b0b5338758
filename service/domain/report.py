"""What a provider can tell us: reports about a task, and the outcome of each kind of question.

All are values. An adapter reads bytes into one of them; the flow decides by matching on the type, so that a case that
nobody thought of cannot be taken for another.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from service.domain.errors import Category, TaskError
from service.domain.lifecycle import State


class Result(NamedTuple):
    video_url: str
    last_frame_url: str | None = None
    seed: int | None = None
    resolution: str | None = None
    ratio: str | None = None
    duration: float | None = None

    def as_dict(self, expires_at: str | None) -> dict[str, Any]:
        return {
            "video_url": self.video_url,
            "last_frame_url": self.last_frame_url,
            "video_expires_at": expires_at,
            "seed": self.seed,
            "resolution": self.resolution,
            "ratio": self.ratio,
            "duration": self.duration,
        }


class Report(NamedTuple):
    """What a provider says about one submission at one moment."""

    state: State | None
    """None: a status word nobody knows. It changes nothing and is shown to an operator."""
    word: str
    """The provider's own status word."""
    remote_id: str | None = None
    result: Result | None = None
    """Present if and only if the state is succeeded: a success without a video is not readable."""
    tokens: int | None = None
    """What was billed, when it says so."""
    error: TaskError | None = None
    updated_at: int | None = None


# --- outcomes of a submit: accepted, rejected, not sent, busy, unknown ---


@dataclass(frozen=True, slots=True)
class Accepted:
    remote_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A definite no: nothing was placed."""

    error: TaskError
    of_model: bool = False
    """Where it blames the account: for this order's model alone; others may do."""

    @property
    def blames_account(self) -> bool:
        """The account is the reason and not the order: another account might take it."""
        return self.error.category in (Category.CREDENTIALS, Category.QUOTA)


@dataclass(frozen=True, slots=True)
class NotSent:
    """It never heard us: safe to try again or elsewhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Out of capacity, said so, and took nothing: wait."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have heard us. Never sent again by itself; only news or an operator heals it."""

    reason: str


SubmitOutcome = Accepted | Rejected | NotSent | Busy | Unknown


# --- outcomes of a question ---


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An answer or a callback in a shape nobody knows."""

    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """It says it has no such task. One such answer means nothing yet."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer, or one that says nothing about the task: a timeout, a 5xx, a reset. Lack of knowledge, never an ending."""

    reason: str
    asked: bool = True
    """False: nobody could be asked, or nobody was."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not let us ask (key, account, permission): an operator has to act. Says nothing about the task."""

    error: TaskError


QueryOutcome = Report | Missing | Busy | NoAnswer | Refused | Unreadable
BatchOutcome = dict[str, Report] | Busy | NoAnswer | Refused | Unreadable
"""Answers to a batch question by remote id; an id left out is one it does not know or does not show."""


# --- outcomes of a cancel ---


@dataclass(frozen=True, slots=True)
class CancelTaken:
    """It will not run."""


@dataclass(frozen=True, slots=True)
class CancelTooLate:
    """It runs already, or has ended."""

    reason: str


CancelOutcome = CancelTaken | CancelTooLate | Missing | Busy | NoAnswer | Refused | Unreadable


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a provider's own list, for the search for an order whose answer got lost."""

    report: Report
    model: str
    created_at: int
    safety_identifier: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    """The effective parameters it echoes, e.g. ("duration", 5)."""


ScanOutcome = tuple[Listed, ...] | Busy | NoAnswer | Refused | Unreadable
