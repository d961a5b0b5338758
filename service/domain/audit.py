"""The audit: what has to be true of the rows of any Callsheet, at any moment, whatever happened to it.

Pure: `store/audit.py` brings the rows, `callsheet doctor --audit`, the simulation and the chaos runs ask. Absent on purpose:
what rows alone cannot show. That a task was never asked about without need (I10) and what subscribers really received is
held against a history by those who have one.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.domain import ids
from service.domain.delivery import SCHEDULE
from service.domain.forgetting import FORGOTTEN
from service.domain.keep import Keep, before
from service.domain.lifecycle import ENDINGS, SETTLED, State, Verdict, judge
from service.domain.matching import TEST_EVENT, Filter, passes, wants
from service.domain.patience import HOUR_MS, MINUTE_MS
from service.domain.task import Submission, Task

LATE_MS = HOUR_MS
"""Work that was due this long ago while the service ran is work that nobody does."""
FAR_MS = 3 * HOUR_MS
"""No question is put off for longer, but for an order that only an operator can explain."""
NEAR_MS = MINUTE_MS
"""Clocks of several processes; a subscription as young as this may have missed an event."""


@dataclass(frozen=True, slots=True)
class Breach:
    invariant: str
    """I1 to I9."""
    what: str
    names: tuple[str, ...] = ()
    """Of the rows, as the API writes them."""


@dataclass(frozen=True, slots=True)
class View:
    """What the rows are held against."""

    now: int
    keep: Keep = field(default_factory=Keep)
    running: bool = True
    """The service runs: what is due gets done."""
    rested: bool = False
    """Nothing is under way any more: every task has ended, every delivery too, unless its subscription is paused."""
    steady: bool = False
    """One process, and nobody changed what a subscription wants: every missing delivery is a breach."""
    opens: Callable[[bytes], bool] | None = None
    """Whether a sealed secret can be opened with the keys we have."""
    secrets: Collection[str] = ()
    """Known ones, that may stand nowhere."""

    def gone(self, row_id: int, days: int) -> bool:
        """Old enough that the janitor may have had it."""
        return row_id < ids.first_id_at(before(self.now, days) + 2 * HOUR_MS)


@dataclass(frozen=True, slots=True)
class File:
    """One task with everything that belongs to it."""

    task: Task
    submissions: Sequence[Submission]
    events: Sequence[Any]
    """All of them, in order of id."""
    owners: frozenset[str]
    """Apps named by any row of it."""
    has_order: bool
    told: Collection[tuple[int, int]]
    """(event, subscription) of the deliveries there are."""
    interested: Sequence[Any]
    """Subscriptions of its app and of this one task."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One delivery with what it hangs on."""

    row: Any
    event: Any | None
    subscription: Any | None
    lane: Any | None
    attempts: Sequence[Any]


# --- one task ---


def of_task(file: File, view: View) -> Iterator[Breach]:
    task = file.task
    name = (ids.encode(ids.TASK, task.id),)
    for invariant, what in (
        *_numbers(file, view),
        *_steps(file),
        *_placements(file),
        *_expectation(file, view),
        *_missing(file, view),
    ):
        yield Breach(invariant, what, name)
    if file.owners - {task.app_id}:
        yield Breach("I6", f"rows of {sorted(file.owners)} hang on a task of {task.app_id}", name)
    if not file.has_order and task.place_at is not None:
        yield Breach("I1", "it waits to be placed, and its order is gone", name)
    texts = [task.error, task.reason, *(sub.reason for sub in file.submissions)]
    if leak := exposed([*filter(None, texts), *(bytes(event.body).decode() for event in file.events)], view.secrets):
        yield Breach("I9", f"a row of it shows {leak}", name)


def _numbers(file: File, view: View) -> Iterator[tuple[str, str]]:
    task, seen = file.task, [event.sequence for event in file.events if event.sequence is not None]
    if seen and seen != list(range(seen[0], seen[0] + len(seen))):
        yield "I2", f"its transitions are numbered {seen}"
    if (seen[-1] if seen else 0) != task.sequence and (seen or not view.gone(task.id, view.keep.events)):
        yield "I2", f"it says that it had {task.sequence} transitions, the last one there is number {seen[-1] if seen else 0}"
    if seen and seen[0] != 1 and not view.gone(task.id, view.keep.events):
        yield "I2", f"its transitions begin with number {seen[0]}"


def _steps(file: File) -> Iterator[tuple[str, str]]:
    steps = [event for event in file.events if event.sequence is not None]
    at: State | None = State.CREATED if steps and steps[0].sequence == 1 else None
    for event in steps:
        was, to = State(event.previous), State(event.state)
        if at is not None and was is not at:
            yield "I2", f"number {event.sequence} says it was {was}, and it was {at}"
        if judge(was, to) is not Verdict.ADVANCE:
            yield "I2", f"number {event.sequence} goes from {was} to {to}"
        at = to
    if at is not None and at is not file.task.state:
        yield "I2", f"it is {file.task.state}, and its last transition made it {at}"
    if sum(State(event.state) in ENDINGS for event in steps) > 1:
        yield "I2", "it ended more than once"


def _placements(file: File) -> Iterator[tuple[str, str]]:
    taken = [sub for sub in file.submissions if sub.remote_id is not None]
    if len(taken) > 1 and not any(sub.conflict_at is not None for sub in taken):
        yield "I7", f"{len(taken)} placements were accepted, and nobody was told: {', '.join(str(s.remote_id) for s in taken)}"
    if [sub.number for sub in file.submissions] != list(range(1, file.task.tries + 1)):
        yield "I7", f"it was tried {file.task.tries} times, and {len(file.submissions)} tries are written down"


def _expectation(file: File, view: View) -> Iterator[tuple[str, str]]:
    task = file.task
    if (task.state in SETTLED) is not (task.ended_at is not None):
        yield "I8", f"it is {task.state}, and {'has no' if task.ended_at is None else 'has an'} end"
    if task.state in SETTLED:
        asked = task.poll_at is not None and (task.state in ENDINGS or view.rested)  # late news may have a lost one asked about
        if asked or task.place_at is not None:
            yield "I8", f"it is {task.state}, and will be asked about or placed again"
        return
    if view.rested:
        yield "I8", f"everything is at rest, and it is {task.state}"
    if (task.poll_at is None) is (task.place_at is None):
        yield "I8", f"it is {task.state}, and {'nobody will ever ask' if task.poll_at is None else 'both waits and is placed'}"
    elif task.poll_at is not None and task.reason != _UNRESOLVED and task.poll_at > max(view.now, task.news_at) + FAR_MS:
        yield "I8", f"nobody asks about it for {(task.poll_at - view.now) // MINUTE_MS} minutes"
    elif task.poll_at is not None and view.running and task.poll_at < view.now - LATE_MS:
        yield "I8", f"nobody asked about it for {(view.now - task.poll_at) // MINUTE_MS} minutes after its time"


_UNRESOLVED = "unknown_outcome_unresolved"


def _missing(file: File, view: View) -> Iterator[tuple[str, str]]:
    """Whoever wanted to know an event has a delivery of it."""
    for event in file.events:
        for sub in file.interested:
            if (event.id, sub.id) not in file.told and _had_to_hear(sub, event, file.task, view):
                yield "I3", f"{event.type} was never promised to {ids.encode(ids.SUBSCRIPTION, sub.id)}"


def _had_to_hear(sub: Any, event: Any, task: Task, view: View) -> bool:
    if sub.id > event.id or event.type == TEST_EVENT or sub.app_id != event.app_id:
        return False
    if not view.steady and (sub.version > 1 or event.at - sub.created_at < NEAR_MS):
        return False  # it may have wanted something else then
    if sub.status == "deleted" or not wants(json.loads(sub.events), event.type):
        return False
    chosen = json.loads(sub.filter)
    if not chosen:
        return True
    if task.reason == FORGOTTEN:
        return False  # what it was about is erased
    data = json.loads(bytes(event.body))["data"]
    about = data.get("task", {"model": task.model, "provider": data.get("provider"), "metadata": json.loads(task.metadata)})
    wish = Filter(chosen.get("model", ()), chosen.get("provider", ()), chosen.get("metadata", {}))
    return passes(wish, about["model"], about["provider"], about["metadata"])


# --- one delivery ---


def of_delivery(promise: Promise, view: View) -> Iterator[Breach]:
    row, sub = promise.row, promise.subscription
    names = (ids.encode(ids.DELIVERY, row.id), ids.encode(ids.SUBSCRIPTION, row.subscription_id))
    if promise.event is None:
        yield Breach("I4", "it tells of something that never happened", names)
    elif promise.event.app_id != row.app_id or (sub is not None and sub.app_id != row.app_id):
        yield Breach("I6", "an app is told what belongs to another", names)
    elif sub is not None and sub.task_id is not None and sub.task_id != promise.event.task_id:
        yield Breach("I6", "the callback_url of one order is told of another", names)
    for what in (*_shape(promise, view), *_attempted(promise, view), *_turn(promise, view)):
        yield Breach("I3", what, names)
    if leak := exposed([each.error for each in promise.attempts if each.error], view.secrets):
        yield Breach("I9", f"an attempt of it shows {leak}", names)


def _shape(promise: Promise, view: View) -> Iterator[str]:
    row, sub = promise.row, promise.subscription
    if (row.state == "pending") is not (row.due_at is not None) or (row.state == "pending") is not (row.ended_at is None):
        yield f"it is {row.state}, due at {row.due_at}, ended at {row.ended_at}"
    untouched = sub is not None and sub.version == 1 and sub.status == "active"
    steps = len(SCHEDULE) if sub is None or sub.schedule is None else 1 + len(json.loads(sub.schedule))
    if row.state == "skipped" and untouched:
        yield "it was skipped, and its subscription was active all the time"
    if row.state == "abandoned" and untouched and row.attempts - row.spent < steps:
        yield f"it was given up after {row.attempts - row.spent} of {steps} attempts"
    if row.state == "pending" and view.rested and (sub is None or sub.status != "paused"):
        yield "everything is at rest, and it is still to be sent"


def _attempted(promise: Promise, view: View) -> Iterator[str]:
    row, numbers = promise.row, [each.number for each in promise.attempts]
    if numbers != list(range(1, row.attempts + 1)) and not view.gone(row.id, view.keep.attempts):
        yield f"it was tried {row.attempts} times, and the attempts {numbers} are written down"
    if row.state in ("delivered", "abandoned") and row.attempts == 0:
        yield f"it is {row.state} without an attempt"
    if not promise.attempts or view.gone(row.id, view.keep.attempts):
        return
    if row.spent == 0:
        if (row.state == "delivered") is not (promise.attempts[-1].outcome == "told"):
            yield f"it is {row.state}, and its last attempt was {promise.attempts[-1].outcome}"
    elif row.state == "delivered" and all(each.outcome != "told" for each in promise.attempts):
        # Some attempts decide nothing: those before it was sent again on request, and those that ended after their lease.
        yield "it is delivered, and none of its attempts arrived"


def _turn(promise: Promise, view: View) -> Iterator[str]:
    row, sub, lane = promise.row, promise.subscription, promise.lane
    if row.state != "pending" or (sub is not None and sub.status == "paused"):
        return
    if lane is None or lane.due_at is None:
        yield "it is to be sent, and nobody will ever look for it"
    elif view.running and max(row.due_at or 0, lane.due_at, lane.held_until) < view.now - LATE_MS:
        yield f"it is to be sent for {(view.now - row.due_at) // MINUTE_MS} minutes, and nobody does"


# --- what hangs on nothing ---


def of_subscription(row: Any, view: View) -> Iterator[Breach]:
    name = (ids.encode(ids.SUBSCRIPTION, row.id),)
    if view.opens is not None and not view.opens(bytes(row.sealed)):
        yield Breach("I5", "no key opens its secret: nothing that it is told can be signed", name)
    if leak := exposed([row.target, row.reason or "", row.label], view.secrets):
        yield Breach("I9", f"it shows {leak}", name)


def loose(found: Mapping[str, Sequence[Any]], view: View) -> Iterator[Breach]:
    """Rows without the row that they hang on, by what they are. That one job belongs to two orders the schema itself forbids."""
    for app_id, key, task_id in found["keys"]:
        if not view.gone(task_id, view.keep.tasks):
            yield Breach(
                "I1", f"the order of key {key!r} of {app_id} was acknowledged, and is gone", (ids.encode(ids.TASK, task_id),)
            )
    for prefix, what in ((ids.SUBMISSION, "submissions"), (ids.RECEIPT, "receipts"), (ids.EVENT, "events")):
        for row_id, task_id in found[what]:
            names = (ids.encode(prefix, row_id), ids.encode(ids.TASK, task_id))
            yield Breach("I1", f"{what} are left of a task that is gone", names)


_SECRETS = (
    (re.compile(r"whs(?:ec|k)_[A-Za-z0-9+/]{16}"), "a signing secret"),
    (re.compile(r"hooks\.slack(?:-gov)?\.com/services/[^/\s]+/[^/\s]+/[A-Za-z0-9]{8}"), "the address of a Slack hook"),
    (re.compile(r"/callbacks/[a-z]+/[0-9a-f]{1,16}\.[\w-]{1,8}\.[\w-]{43}"), "a callback token"),
)


def exposed(texts: Sequence[str], secrets: Collection[str]) -> str | None:
    """What kind of secret stands there in clear text."""
    text = "\n".join(texts)
    if any(secret in text for secret in secrets):
        return "a key of this installation"
    return next((what for pattern, what in _SECRETS if pattern.search(text)), None)
