"""Every state and sub-state has its words: why, what next, and when."""

import json

import pytest

from service.domain.advance import UNCONFIRMED
from service.domain.explain import Candidate, Habits, Queue, explain
from service.domain.lifecycle import SETTLED, State
from service.domain.placement import UNRESOLVED
from service.domain.task import Outcome, Submission, Task
from tests.domain.made import HOUR, MINUTE, NOW, submission, task, waiting

CALLS, ENDINGS, ASKED = Habits("every", True), Habits("endings"), Habits("none")
FULL = Queue(7, 90.0, [Candidate("ark (default)", "closed", None, False)])
QUIET, GONE = Habits("every", True, quiet_until=NOW + HOUR), Habits(configured=False)
HELD_UP = Queue(1, None, [Candidate("ark (default)", "closed", None, False)], ["task_a", "task_b"], 4)
FREE = Queue(1, 1.0, [Candidate("ark (default)", "closed", None, True)])
DEAD = Queue(1, None, [Candidate("ark (default)", "open", NOW + MINUTE, False)])
NOBODY = Queue(1, None, [])
FAILED = json.dumps({"code": "InvalidParameter", "message": "duration is too long", "suggestion": "Correct the order."})

CASES: list[tuple[str, Task, Submission | None, Habits, Queue | None, str, int | None]] = [
    ("created.due", waiting(), None, CALLS, FREE, "nothing has been paid", NOW),
    ("created.waiting", waiting(), None, CALLS, FULL, "place 7", NOW + 90_000),
    ("created.degraded", waiting(), None, CALLS, DEAD, "failing", NOW + MINUTE),
    ("created.no_account", waiting(), None, CALLS, NOBODY, "No configured account", waiting().deadline_at),
    ("created.backing_off", waiting(place_at=NOW + 5, reason="provider_busy"), None, CALLS, FULL, "out of capacity", NOW + 5),
    (
        "created.backing_off",
        waiting(place_at=NOW + 5, reason="provider_unreachable"),
        None,
        CALLS,
        FULL,
        "not be reached",
        NOW + 5,
    ),
    ("created.due", waiting(reason="AccountOverdueError"), None, CALLS, FREE, "AccountOverdueError", NOW),
    ("created.sending", task(), submission(Outcome.SENDING), CALLS, None, "on its way", NOW + 5 * MINUTE),
    ("created.unknown", task(), submission(Outcome.UNKNOWN), CALLS, None, "may or may not", NOW + 5 * MINUTE),
    ("created.unknown", task(), submission(Outcome.UNKNOWN), ASKED, None, "not sent again", NOW + 5 * MINUTE),
    (
        "created.unresolved",
        task(reason=UNRESOLVED),
        submission(Outcome.UNKNOWN),
        CALLS,
        None,
        "may or may not",
        NOW + 5 * MINUTE,
    ),
    ("queued.expecting", task(State.QUEUED), submission(), CALLS, None, "queue", NOW + 5 * MINUTE),
    ("queued.expecting", task(State.QUEUED), submission(), ENDINGS, None, "nothing before the end", NOW + 5 * MINUTE),
    ("queued.asked", task(State.QUEUED), submission(), ASKED, None, "queue", NOW + 5 * MINUTE),
    ("queued.silent", task(State.QUEUED, asks=3, polls=3), submission(), CALLS, None, "last 3 questions", NOW + 5 * MINUTE),
    ("queued.silent", task(State.QUEUED, asks=2, polls=1), submission(), CALLS, None, "last question.", NOW + 5 * MINUTE),
    ("queued.asking", task(State.QUEUED, asks=1, poll_at=NOW), submission(), CALLS, None, "asked now", NOW),
    ("queued.silent", task(State.QUEUED, asks=3, polls=3), submission(), QUIET, None, "left alone", NOW + HOUR),
    ("created.unknown", task(), submission(Outcome.UNKNOWN), QUIET, None, "left alone", NOW + HOUR),
    ("created.orphaned", task(), submission(Outcome.UNKNOWN), GONE, None, "not configured any more", NOW + 5 * MINUTE),
    ("created.waiting", waiting(), None, CALLS, HELD_UP, "task_a, task_b; 4 of other apps", None),
    ("running.expecting", task(State.RUNNING), submission(), CALLS, None, "making the video", NOW + 5 * MINUTE),
    ("running.missing", task(State.RUNNING, missing=2), submission(), CALLS, None, "2 times", NOW + 5 * MINUTE),
    ("running.contested", task(State.RUNNING), submission(aliases="cgt-2"), CALLS, None, "cgt-1 or cgt-2", NOW + 5 * MINUTE),
    (
        "lost.contested",
        task(State.LOST, reason="silent"),
        submission(aliases="cgt-2"),
        CALLS,
        None,
        "or cgt-2",
        NOW + 5 * MINUTE,
    ),
    ("running.orphaned", task(State.RUNNING), submission(), Habits(configured=False), None, "making", task().deadline_at),
    ("created.unconfirmed", task(reason=UNCONFIRMED), submission(), CALLS, None, "confirm_endings", NOW + 5 * MINUTE),
    ("queued.unconfirmed", task(State.QUEUED, reason=UNCONFIRMED), submission(), CALLS, None, "anybody", NOW + 5 * MINUTE),
    ("running.unconfirmed", task(State.RUNNING, reason=UNCONFIRMED), submission(), CALLS, None, "ended", NOW + 5 * MINUTE),
    ("lost.unconfirmed", task(State.LOST, reason="silent"), submission(), CALLS, None, "is asked", NOW + 5 * MINUTE),
    ("succeeded", task(State.SUCCEEDED), submission(), CALLS, None, "ready", None),
    ("failed", task(State.FAILED, error=FAILED), submission(), CALLS, None, "duration is too long", None),
    ("expired", task(State.EXPIRED, error=FAILED), submission(), CALLS, None, "InvalidParameter", None),
    ("cancelled", task(State.CANCELLED, error=FAILED), submission(), CALLS, None, "duration", None),
    (
        "lost",
        task(State.LOST, reason="silent_past_deadline", poll_at=None),
        submission(),
        CALLS,
        None,
        "silent_past_deadline",
        None,
    ),
]


@pytest.mark.parametrize(
    ("code", "about", "sub", "habits", "queue", "words", "at"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_each_sub_state_is_explained(
    code: str, about: Task, sub: Submission | None, habits: Habits, queue: Queue | None, words: str, at: int | None
) -> None:
    told = explain(about, sub, habits, queue, NOW)
    assert told.code == code
    assert words in f"{told.why} {told.next}"
    assert told.why
    assert told.next
    if code == "running.orphaned":
        assert told.next_at is not None
    else:
        assert told.next_at == at


def test_every_state_is_explained() -> None:
    assert {case[0].partition(".")[0] for case in CASES} == set(State)
    over = [case for case in CASES if case[1].state in SETTLED and case[0] not in ("lost.unconfirmed", "lost.contested")]
    assert all(explain(t, s, h, q, NOW).next_at is None for _, t, s, h, q, _, _ in over)
