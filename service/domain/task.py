"""Task: one order on its way. Submission: one try to place it with one account of one provider.

Named tuples: rows become them and they become rows a hundred times per commit, and a dataclass costs five times as much.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from service.domain import ids
from service.domain.instant import maybe, rfc3339
from service.domain.lifecycle import State


class Outcome(StrEnum):
    """What became of a submission. `sending` is committed before the first byte leaves."""

    SENDING = "sending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    BUSY = "busy"
    UNKNOWN = "unknown"


class Submission(NamedTuple):
    id: int
    task_id: int
    app_id: str
    number: int
    provider: str
    account: str
    base_url: str
    """Pinned with the account: a change of configuration never asks the wrong gateway."""
    outcome: Outcome
    remote_id: str | None
    reason: str | None
    sent_at: int
    answered_at: int | None
    conflict_at: int | None
    """When somebody was alerted that two truths exist about this submission; once is enough."""
    timed: bool = False
    """Our clock went by the provider's when this was sent: its time may tell it from others."""
    aliases: str | None = None
    """Other names that callbacks gave it, with spaces, while its provider has not confirmed the one that is followed. None:
    it has, or there is none."""


class Task(NamedTuple):
    id: int
    app_id: str
    state: State
    reason: str | None
    sequence: int
    """Number of the last transition; 0 while created."""
    model: str
    provider: str | None
    submission_id: int | None
    """The submission that speaks for this task."""
    remote_id: str | None
    order: str
    """JSON text of the order as shown."""
    metadata: str
    """JSON text."""
    result: str | None
    tokens: int | None
    estimated_tokens: int | None
    error: str | None
    """JSON text."""
    flags: str | None
    """JSON text of warnings about the order, e.g. duplicate_suspected."""
    created_at: int
    updated_at: int
    news_at: int
    """When anybody last told us anything about it."""
    ended_at: int | None
    deadline_at: int
    """When the order itself runs out."""
    place_at: int | None
    """Submitter: place it then. Null: nothing to place."""
    poll_at: int | None
    """Reconciler: ask then, if nobody has told us. Null: nothing to ask."""
    tries: int
    """Placements tried."""
    asks: int
    """Questions since the last news."""
    polls: int
    """Questions altogether."""
    missing: int
    """How often in a row the provider said that it has no such task."""
    missing_at: int | None
    receipts: int
    """Receipts kept beside those that moved it, so that a storm cannot fill the disk."""
    account: str | None = None
    """With the provider: who has it, or is being asked to take it."""
    route: str = ""
    """`provider/account` of all who may take it, in order, with spaces."""
    started_at: int | None = None
    """When we first heard that it runs."""
    rank: int = 9
    """Among the app's waiting orders; smaller goes first."""


def view(task: Task, public_url: str, raw: Callable[[str], Any]) -> dict[str, Any]:
    """The task as everybody sees it: API, notices, feed. `raw` embeds JSON text in the caller's own encoder."""
    name = ids.encode(ids.TASK, task.id)
    return {
        "id": name,
        "object": "task",
        "state": task.state._value_,
        "reason": task.reason,
        "sequence": task.sequence,
        "model": task.model,
        "provider": task.provider,
        "remote_id": task.remote_id,
        "order": raw(task.order),
        "metadata": raw(task.metadata),
        "result": None if task.result is None else raw(task.result),
        "usage": {"completion_tokens": task.tokens, "estimated_tokens": task.estimated_tokens},
        "error": None if task.error is None else raw(task.error),
        "warnings": [] if task.flags is None else raw(task.flags),
        "created_at": rfc3339(task.created_at),
        "updated_at": rfc3339(task.updated_at),
        "started_at": maybe(task.started_at),
        "ended_at": maybe(task.ended_at),
        "url": f"{public_url}/v1/tasks/{name}",
    }


def notice(task: Task, previous: State, public_url: str, raw: Callable[[str], Any]) -> dict[str, Any]:
    """What a subscriber is told about the transition that made `task` what it is."""
    return {
        "type": f"task.{task.state._value_}",
        "timestamp": rfc3339(task.updated_at),
        "data": {"sequence": task.sequence, "previous_state": previous._value_, "task": view(task, public_url, raw)},
    }
