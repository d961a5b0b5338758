"""Explain: in words why a task is where it is, and what happens next and when.

Written for whoever ordered the video and for whoever is woken at night; every state and sub-state has its words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain import naming
from service.domain.advance import UNCONFIRMED
from service.domain.lifecycle import State
from service.domain.patience import give_up_at
from service.domain.placement import HELD, UNRESOLVED
from service.domain.task import Outcome, Submission, Task

NAMED = 5
"""Orders that an explanation calls by name."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that may take a waiting order."""

    name: str
    breaker: str
    open_until: int | None
    free: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """Where a waiting order stands. `wait_s` None: nothing tells how long."""

    place: int
    wait_s: float | None
    candidates: Sequence[Candidate]
    unexplained: Sequence[str] = ()
    """The app's own orders that hold places there while nobody knows what became of them."""
    others_count: int = 0
    """The same of other apps."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How the provider behaves."""

    callbacks: str = "none"
    """every, endings or none."""
    scans: bool = False
    configured: bool = True
    quiet_until: int | None = None
    """The account is left alone until then, whoever wants to ask."""


@dataclass(frozen=True, slots=True)
class Explanation:
    code: str
    """The state and sub-state, for programs."""
    why: str
    next: str
    next_at: int | None = None


def explain(task: Task, sub: Submission | None, habits: Habits, queue: Queue | None, now: int) -> Explanation:
    match task.state:
        case State.CREATED if sub is None:
            return _waiting(task, queue, now)
        case State.CREATED:
            assert sub is not None
            told = _being_placed(task, sub, habits)
            return told if sub.outcome is Outcome.SENDING else _not_before(told, habits)
        case State.QUEUED | State.RUNNING:
            return _not_before(_open(task, sub, habits, now), habits)
        case State.LOST if sub is not None and task.poll_at is not None and naming.contested(sub):
            return _contested(task, sub, f"Nobody knows how it ended ({task.reason}).")
        case _:
            return _ended(task)


def _not_before(told: Explanation, habits: Habits) -> Explanation:
    if habits.quiet_until is None or told.next_at is None or told.next_at >= habits.quiet_until:
        return told
    more = " Its account gave no answer or wanted to be left alone: nobody asks it anything before then."
    return replace(told, next=told.next + more, next_at=habits.quiet_until)


def also_placed(task: Task, subs: Sequence[Submission], told: Explanation) -> Explanation:
    """Jobs of the same order that nobody follows are paid, too."""
    others = [f"{s.remote_id} at {s.provider}" for s in subs if s.remote_id is not None and s.remote_id != task.remote_id]
    if not others:
        return told
    more = f" The same order was also placed as {', '.join(others)}, which nobody follows and may be billed."
    return replace(told, why=told.why + more)


def _waiting(task: Task, queue: Queue | None, now: int) -> Explanation:
    after = {
        "provider_busy": "The provider tried last was out of capacity and took nothing.",
        "provider_unreachable": "The provider tried last could not be reached, so nothing was placed.",
        None: "No provider has it yet, and nothing has been paid.",
    }.get(task.reason, f"The account tried last refused it for a reason of its own ({task.reason}); nothing was placed.")
    place_at = task.place_at or now
    if task.reason == HELD:
        why = "The database was put back to an older state, in which it waited. Nobody knows here whether it was placed since."
        look = "An operator has to look at the providers. It is not placed by itself; it can be cancelled, and expires then."
        return Explanation("created.held", why, look, place_at)
    if place_at > now:
        return Explanation("created.backing_off", after, "It is tried again then. It can be cancelled for free.", place_at)
    candidates = queue.candidates if queue is not None else ()
    if not candidates:
        run_out = "Unless the configuration changes it expires then; it can be cancelled for free."
        return Explanation("created.no_account", f"{after} No configured account can take it.", run_out, task.deadline_at)
    if all(c.breaker != "closed" for c in candidates):
        names = ", ".join(c.name for c in candidates)
        probe_at = min((c.open_until for c in candidates if c.open_until is not None), default=None)
        why = f"{after} All accounts that could take it are failing and left alone for a while: {names}."
        return Explanation("created.degraded", why, "One order probes the first of them then, and the others follow.", probe_at)
    if any(c.free for c in candidates):
        return Explanation("created.due", after, "There is room for it: it is sent in a moment.", now)
    place = queue.place if queue is not None else 1
    wait_s = queue.wait_s if queue is not None else None
    why = f"{after} Every account that could take it is full, and it waits at place {place}."
    if queue is not None and (queue.unexplained or queue.others_count):
        why += f" {_unexplained(queue)}"
    return Explanation(
        "created.waiting",
        why,
        "It is placed when its turn comes" + ("; nothing tells when." if wait_s is None else ", in about that time."),
        None if wait_s is None else now + int(wait_s * 1_000),
    )


def _unexplained(queue: Queue) -> str:
    named = ", ".join(queue.unexplained[:NAMED])
    more = len(queue.unexplained) - NAMED
    named += f" and {more} more" if more > 0 else ""
    held = [named] * bool(named) + [f"{queue.others_count} of other apps"] * bool(queue.others_count)
    return (
        f"Places there are held by orders of which nobody knows what became: {'; '.join(held)}. "
        "They are free when an operator says it (resolve), news comes, or they are given up."
    )


def _unconfirmed(task: Task) -> Explanation:
    why = f"A callback says it has ended, and {task.provider} is not taken at that word (confirm_endings): anybody may have said it."
    return Explanation(f"{task.state}.unconfirmed", why, f"{task.provider} is asked, and its answer counts.", task.poll_at)


def _being_placed(task: Task, sub: Submission, habits: Habits) -> Explanation:
    provider = sub.provider
    if task.reason == UNCONFIRMED:
        return _unconfirmed(task)
    if sub.outcome is Outcome.SENDING:
        why = f"It is on its way to {provider}, whose answer has not come yet."
        overdue = "If no answer comes the order is treated as possibly placed and looked for; it is never sent twice."
        return Explanation("created.sending", why, overdue, task.poll_at)
    why = f"{provider} may or may not have it: the answer to the order got lost ({sub.reason}). It is not sent again."
    if not habits.configured:
        gone = f"Its account ({sub.account}) is not configured any more under this name and address, so {provider} cannot be asked."
        ask = "A late callback explains it, or an operator who looks there and says what happened (resolve)."
        return Explanation("created.orphaned", f"{why} {gone}", ask, task.poll_at)
    told = "Its callback would explain it" if habits.callbacks != "none" else "It does not call back"
    if task.reason == UNRESOLVED:
        ask = "An operator has to look at the provider and say what happened (resolve: accepted or never_happened)."
        return Explanation("created.unresolved", why, f"{told}. {ask} Otherwise it is given up then.", task.poll_at)
    if habits.scans:
        return Explanation("created.unknown", why, f"{told}; and its list of tasks is searched then.", task.poll_at)
    return Explanation(
        "created.unknown", why, f"{told}; then an operator is asked. {provider} has no list to search.", task.poll_at
    )


def _contested(task: Task, sub: Submission, why: str) -> Explanation:
    why += f" Callbacks call it {' or '.join(naming.names(sub))}, and {task.provider} has not said yet which of them it knows."
    return Explanation(
        f"{task.state}.contested", why, "It is asked about each, and the one it knows is followed.", task.poll_at
    )


def _open(task: Task, sub: Submission | None, habits: Habits, now: int) -> Explanation:
    doing = "has it in its queue" if task.state is State.QUEUED else "is making the video"
    why = f"{task.provider} {doing}."
    end_at = give_up_at(task.created_at, task.deadline_at)
    if not habits.configured:
        why += f" Its account ({task.account}) is not configured any more under this name and address, so nobody can be asked."
        return Explanation(f"{task.state}.orphaned", why, "A callback may still come. It is given up then.", end_at)
    if task.reason == UNCONFIRMED:
        return _unconfirmed(task)
    if sub is not None and naming.contested(sub):
        return _contested(task, sub, why)
    if task.missing > 0:
        why += f" But it said {task.missing} times that it does not know the task."
        return Explanation(
            f"{task.state}.missing", why, "It is asked again then; three times over ten minutes mean lost.", task.poll_at
        )
    if task.asks > 0:
        asked = min(task.asks, task.polls)  # the first may be due only because somebody wants to know
        if asked == 0:
            return Explanation(f"{task.state}.asking", why, "Somebody wants to know more: it is asked now.", task.poll_at)
        why += f" Nothing new was learned from the last {'question' if asked == 1 else f'{asked} questions'}."
        return Explanation(f"{task.state}.silent", why, "It is asked again then, and less and less often.", task.poll_at)
    if habits.callbacks == "none":
        return Explanation(f"{task.state}.asked", why, "It does not call back, so it is asked then.", task.poll_at)
    if habits.callbacks == "endings" and task.state is State.QUEUED:
        why += " It tells nothing before the end."
    overdue = task.poll_at is not None and task.poll_at <= now
    then = (
        "Silence has lasted too long: it is asked now."
        if overdue
        else "Its callback is expected; it is asked only if none comes by then."
    )
    return Explanation(f"{task.state}.expecting", why, then, task.poll_at)


def _ended(task: Task) -> Explanation:
    error = json.loads(task.error) if task.error is not None else {}
    match task.state:
        case State.SUCCEEDED:
            return Explanation("succeeded", "The video is ready.", "Nothing. Fetch the video before its address expires.")
        case State.LOST:
            why = f"Nobody knows how it ended ({task.reason}): asking makes no sense any more."
            if task.poll_at is not None:
                why = f"Nobody knows how it ended ({task.reason}); a callback now says it has, and {task.provider} is asked."
                return Explanation("lost.unconfirmed", why, "Its answer counts.", task.poll_at)
            return Explanation("lost", why, "Nothing is asked; a late callback would still end it.")
        case State.CANCELLED:
            return Explanation("cancelled", str(error.get("message") or "It was cancelled."), "Nothing.")
    why = f"{error.get('message') or task.reason} ({error.get('code')})"
    return Explanation(str(task.state), why, str(error.get("suggestion") or "Nothing."))
