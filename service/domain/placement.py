"""Placement: what becomes of a task when nobody has accepted its order, or nobody knows whether somebody has.

Only what certainly was not placed waits to be placed again. Of a submission that the task does not follow (any more), the
outcome is kept, and the task stays as it is.
"""

from service.domain import route
from service.domain.lifecycle import SETTLED, Verdict
from service.domain.news import Again, Alert, NeverHappened, Source, Step, Taken, Unfound
from service.domain.patience import SEARCH_PAUSES_S, Terms, give_up_at, next_search_at, place_again_at, search_at
from service.domain.report import Busy, NotSent, Rejected, Unknown
from service.domain.task import Outcome, Submission, Task

OPEN = (Outcome.SENDING, Outcome.UNKNOWN)
UNRESOLVED = "unknown_outcome_unresolved"
"""Reason of a task that only its late callback or an operator can explain."""
HELD = "held_after_restore"
"""It waited to be placed in a backup that was put back: it may have been placed after that backup was made."""

DENIED = "an operator: it never happened"
"""Reason of a submission that is over by somebody's word, who may be wrong: what could be its job is guessed to be nobody's."""

NotPlaced = Rejected | Again | NotSent | Busy | Unknown | NeverHappened


def outcome(news: NotPlaced) -> tuple[Outcome, str]:
    """What a submission came to, and why."""
    match news:
        case Again(said):
            return outcome(said)
        case Rejected(error):
            return Outcome.REJECTED, error.code
        case NotSent(reason):
            return Outcome.NOT_SENT, reason
        case Busy(reason):
            return Outcome.BUSY, reason
        case Unknown(reason):
            return Outcome.UNKNOWN, reason
        case NeverHappened():
            return Outcome.NOT_SENT, DENIED


def beside(task: Task, sub: Submission, news: NotPlaced, now: int) -> Step:
    """Of a submission that the task does not follow: another one was faster."""
    lost = isinstance(news, Unknown) and sub.outcome is Outcome.SENDING
    return Step(task, answered(sub, news, now), None, alert=_lost(sub, outcome(news)[1]) if lost else None)


def answered(sub: Submission, news: NotPlaced, now: int) -> Submission:
    what, why = outcome(news)
    return sub._replace(outcome=what, reason=why, answered_at=now)


def placed_again(task: Task, sub: Submission, news: Again | NotSent | Busy | NeverHappened, now: int, jitter: float) -> Step:
    """Back among the orders that wait to be placed."""
    at, why = now, task.reason
    match news:
        case Again(Rejected(error)):  # that account is not asked again for this order
            why = error.code
            task = task._replace(route=route.without(task.route, (sub.provider, sub.account)))
        case NeverHappened():
            why = None
        case NotSent():
            at, why = place_again_at(task.tries, now, jitter), "provider_unreachable"
        case Busy(_, retry_after_s):
            at, why = place_again_at(task.tries, now, jitter, retry_after_s), "provider_busy"
        case Again(NotSent()):
            why = "provider_unreachable"
        case Again(Busy()):
            why = "provider_busy"
    waiting = task._replace(submission_id=None, provider=None, account=None, reason=why, place_at=at, poll_at=None, asks=0)
    return Step(waiting, answered(sub, news, now), None)


def unknown(task: Task, sub: Submission, news: Unknown, now: int, terms: Terms) -> Step:
    look_at = search_at(0, sub.sent_at, now, terms.scans) or now
    looked_for = task._replace(reason="unknown_outcome", poll_at=look_at, asks=0, updated_at=now)
    alert = _lost(sub, news.reason) if sub.outcome is Outcome.SENDING else None
    return Step(looked_for, answered(sub, news, now), None, alert=alert)


def unfound(task: Task, sub: Submission, news: Unfound, now: int, terms: Terms) -> Step:
    """Looked for in vain. When looking makes no sense any more, a human has to say what happened, or news comes late."""
    if sub.outcome is not Outcome.UNKNOWN or sub.id != task.submission_id or task.state in SETTLED:
        return Step(task, sub, Verdict.LATE)
    if terms.scans and now < (own_at := next_search_at(task.asks, sub.sent_at)):
        return Step(task._replace(poll_at=own_at), sub, None)
    task = task._replace(asks=task.asks + 1)
    at = search_at(task.asks, sub.sent_at, now, terms.scans)
    if at is not None:
        return Step(task._replace(poll_at=at), sub, None)
    alert = Alert(
        "submission.unknown", f"nobody knows whether {sub.provider} has the order, and an operator has to say: {news.reason}"
    )
    return Step(unresolved(task, sub, now), sub, None, alert=None if task.reason == UNRESOLVED else alert)


def looked_for(task: Task, sub: Submission, now: int, terms: Terms) -> Step:
    """At once, and for an operator's order once more: found in vain it is the operator's again."""
    if not terms.scans or sub.id != task.submission_id or task.state in SETTLED:
        return Step(task, sub, Verdict.LATE)
    asks = len(SEARCH_PAUSES_S) if task.reason == UNRESOLVED else task.asks
    return Step(task._replace(reason="unknown_outcome", poll_at=now, asks=asks, updated_at=now), sub, None)


def unresolved(task: Task, sub: Submission, now: int) -> Task:
    return task._replace(reason=UNRESOLVED, poll_at=give_up_at(sub.sent_at, task.deadline_at), updated_at=now)


def taken(task: Task, sub: Submission, news: Taken, source: Source, now: int, terms: Terms) -> Step:
    """Its provider, or whoever else, calls it by another order's name: it cannot have that, and its own is not known."""
    match source:
        case Source.OPERATOR:
            return Step(task, sub, Verdict.CONFLICT)  # told to the one who said it
        case Source.POLL:
            return unfound(task, sub, Unfound(f"{news.remote_id} has become {news.owner}'s"), now, terms)
    message = f"{sub.provider} calls this order {news.remote_id}, and that is {news.owner}'s"
    alert = Alert("callback.conflict", message) if sub.conflict_at is None else None
    sub = sub._replace(conflict_at=sub.conflict_at or now)
    if sub.outcome is Outcome.SENDING and source is Source.SUBMIT:  # accepted, but nobody knows under which name
        sub = sub._replace(outcome=Outcome.UNKNOWN, reason=message, answered_at=now)
        task = unresolved(task, sub, now) if sub.id == task.submission_id else task
    return Step(task, sub, Verdict.CONFLICT, alert=alert)


def _lost(sub: Submission, reason: str) -> Alert:
    return Alert("submission.unknown", f"{sub.provider} may or may not have the order: {reason}")
