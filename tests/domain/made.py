"""Tasks and submissions for tests of pure decisions."""

from typing import Any

from service.domain.lifecycle import State
from service.domain.task import Outcome, Submission, Task

NOW = 1_795_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


def task(state: State = State.CREATED, **changes: Any) -> Task:
    values: dict[str, Any] = {
        "id": 1,
        "app_id": "default",
        "state": state,
        "reason": None,
        "sequence": 0 if state is State.CREATED else 1,
        "model": "seedance-1-0-pro-250528",
        "provider": "ark",
        "account": "default",
        "submission_id": 11,
        "remote_id": None if state is State.CREATED else "cgt-1",
        "order": '{"model":"seedance-1-0-pro-250528","prompt":"a cat"}',
        "metadata": "{}",
        "result": None,
        "tokens": None,
        "estimated_tokens": None,
        "error": None,
        "flags": None,
        "created_at": NOW,
        "updated_at": NOW,
        "news_at": NOW,
        "ended_at": None,
        "deadline_at": NOW + 48 * HOUR,
        "place_at": None,
        "poll_at": NOW + 5 * MINUTE,
        "tries": 1,
        "asks": 0,
        "polls": 0,
        "missing": 0,
        "missing_at": None,
        "receipts": 0,
        "route": "ark/default",
    }
    return Task(**values | changes)


def waiting(**changes: Any) -> Task:
    values: dict[str, Any] = {
        "provider": None,
        "account": None,
        "submission_id": None,
        "place_at": NOW,
        "poll_at": None,
        "tries": 0,
    }
    return task(State.CREATED, **values | changes)


def submission(outcome: Outcome = Outcome.ACCEPTED, **changes: Any) -> Submission:
    values: dict[str, Any] = {
        "id": 11,
        "task_id": 1,
        "app_id": "default",
        "number": 1,
        "provider": "ark",
        "account": "default",
        "base_url": "https://ark.test",
        "outcome": outcome,
        "remote_id": "cgt-1" if outcome is Outcome.ACCEPTED else None,
        "reason": None,
        "sent_at": NOW,
        "answered_at": None,
        "conflict_at": None,
    }
    return Submission(**values | changes)
