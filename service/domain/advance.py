"""One piece of news about one submission, judged: what becomes of the task, and who has to be alerted.

Pure and total: whatever is said, from whichever side, in whatever order, `step` answers; `flow/record.py` carries it out.
"""

import json

from service.domain import contradiction, naming, placement
from service.domain.errors import Category, TaskError
from service.domain.instant import rfc3339
from service.domain.lifecycle import ENDINGS, SETTLED, State, Verdict, judge
from service.domain.news import (
    Again,
    Alert,
    Asked,
    GaveUp,
    NeverHappened,
    News,
    RanOut,
    Source,
    Step,
    Taken,
    Unfound,
    Unlisted,
    Withdrawn,
)
from service.domain.patience import ASK_AGAIN_MS, DAY_MS, Terms, ask_at, forgotten, jittered
from service.domain.placement import NotPlaced
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
from service.domain.task import Outcome, Submission, Task

ALONE_EVERY = 4
"""Every fourth question about a silent task names it alone, should the provider's list be what is broken."""
UNCONFIRMED = "unconfirmed_ending"
"""Reason of a task that a callback claims to have ended, while the provider has not been heard about it."""
CONFIRM_ASKS = 4
"""Questions at short notice about such a claim; answers may lag behind callbacks. Then it is asked as any silent task."""


def step(task: Task, submission: Submission | None, news: News, source: Source, now: int, terms: Terms, jitter: float) -> Step:
    made = _judged(task, submission, news, source, now, terms, jitter)
    if _doubted(task, source, now):
        due = _due(made.task, now)
        if task.reason == UNCONFIRMED and due.state not in SETTLED:
            due = due._replace(reason=UNCONFIRMED)
        return made._replace(task=due)
    if made.task.state is State.LOST and source is Source.POLL and made.task.poll_at is not None:
        return made._replace(task=_still_lost(made.task, made.submission, news, now, jitter))
    return made


def _doubted(task: Task, source: Source, now: int) -> bool:
    """Somebody wants the task asked about at once (a callback that nobody could read), and has not been served yet: an answer
    that was under way before, or an older word, does not settle that. A claim would have moved the timestamp forward."""
    wanted = task.remote_id is not None and task.poll_at is not None and task.poll_at <= now
    return wanted and (source is Source.POLL or (source in (Source.CALLBACK, Source.SUBMIT) and task.asks > 0))


def _judged(
    task: Task, submission: Submission | None, news: News, source: Source, now: int, terms: Terms, jitter: float
) -> Step:
    if source is Source.POLL and not (isinstance(news, NoAnswer) and not news.asked):
        task = task._replace(polls=task.polls + 1)
    match news:
        case GaveUp(reason):
            return _move(task, submission, State.LOST, now, terms, jitter, reason=reason)
        case RanOut() | Withdrawn():
            return _unplaced(task, submission, news, now, terms, jitter)
    if submission is None:
        raise AssertionError(f"{type(news).__name__} needs a submission")
    match news:
        case Accepted(remote_id) if source is Source.SUBMIT and submission.remote_id not in (None, remote_id):
            return contradiction.answered_otherwise(task, submission, remote_id, now)
        case Accepted(remote_id):
            made = _report(task, submission, Report(State.QUEUED, "queued", remote_id), source, now, terms, jitter)
            return made._replace(task=_due(made.task, now)) if source is Source.OPERATOR and made.moved else made
        case Report():
            return _report(task, submission, news, source, now, terms, jitter)
        case Rejected() | Again() | NotSent() | Unknown() | NeverHappened():
            return _not_placed(task, submission, news, now, terms, jitter)
        case Busy() if source is Source.SUBMIT:
            return _not_placed(task, submission, news, now, terms, jitter)
        case CancelTaken():
            error = TaskError("Cancelled", "Cancelled at the provider while it was queued.", Category.CANCELLED)
            return _move(task, submission, State.CANCELLED, now, terms, jitter, error=error)
        case CancelTooLate():
            return Step(_due(task, now), submission, None)
        case Asked() if submission.outcome is Outcome.UNKNOWN:
            return placement.looked_for(task, submission, now, terms)
        case Asked() if task.state in SETTLED or submission.outcome is not Outcome.ACCEPTED:
            return Step(task, submission, Verdict.LATE)  # what is still being sent would be taken for cut off
        case Asked():
            return Step(_due(task, now), submission, None)
        case Taken(remote_id, owner) if source in (Source.POLL, Source.OWN) and submission.outcome is Outcome.ACCEPTED:
            return _missing(task, submission, f"{remote_id} is {owner}'s", now, terms, jitter)
        case Taken():
            return placement.taken(task, submission, news, source, now, terms)
        case Unfound():
            return placement.unfound(task, submission, news, now, terms)
        case Unlisted() if task.state in SETTLED:
            return Step(task, submission, None)
        case Unlisted():  # to be asked about alone, at once
            return Step(
                task._replace(poll_at=now, asks=task.asks // ALONE_EVERY * ALONE_EVERY + ALONE_EVERY - 1), submission, None
            )
        case Missing(reason):
            return _missing(task, submission, reason, now, terms, jitter)
        case Busy() | NoAnswer() | Refused() | Unreadable():
            return _no_news(task, submission, source, now, terms, jitter)


def _report(task: Task, sub: Submission, report: Report, source: Source, now: int, terms: Terms, jitter: float) -> Step:
    name, claimed = report.remote_id, source is Source.CALLBACK
    if name is not None and sub.remote_id not in (None, name):
        # Of a lost task no name is better than another: its provider knows none of them.
        if name not in naming.names(sub) or (claimed and task.state is not State.LOST):
            return contradiction.second_name(task, sub, name, now)
        task, sub = naming.preferred(task, sub, name)
    found = name is not None and sub.outcome is not Outcome.ACCEPTED
    if name is not None and not claimed:
        sub = naming.confirmed(sub)
    if found:
        aliases = "" if claimed else None
        sub = sub._replace(remote_id=name, outcome=Outcome.ACCEPTED, answered_at=now, reason=None, aliases=aliases)
    if sub.id != task.submission_id and task.remote_id is not None:
        return contradiction.second_job(task, sub, now, found)
    if found and task.state in ENDINGS:
        return contradiction.job_of_the_ended(task, sub, now)
    if sub.remote_id is not None and task.remote_id is None and task.state not in ENDINGS:
        task = task._replace(
            remote_id=sub.remote_id, submission_id=sub.id, provider=sub.provider, account=sub.account, place_at=None
        )
    if report.state is None:
        alert = Alert("provider.unknown_status", f"{sub.provider} said {report.word!r}, which nobody knows", report.word)
        return _no_news(task, sub, source, now, terms, jitter)._replace(alert=alert)
    verdict = judge(task.state, report.state)
    match verdict:
        case Verdict.ADVANCE if terms.confirms and source is Source.CALLBACK and report.state in ENDINGS:
            return _unconfirmed(task, sub, now)
        case Verdict.ADVANCE:
            return _move(task, sub, report.state, now, terms, jitter, report=report, error=report.error)
        case Verdict.CONFLICT:
            return contradiction.told_once(
                task, sub, now, f"the task is {task.state}, and {sub.provider} now says {report.state}"
            )
        case _:  # duplicate or late
            if not naming.contested(sub):
                task = task._replace(missing=0, missing_at=None)  # it knows the task after all
            if source is Source.POLL:
                return _no_news(task, sub, source, now, terms, jitter)._replace(verdict=verdict)
            at = _armed_at(task, task.state, now, terms, jitter)
            return Step(task._replace(news_at=now, asks=0, poll_at=at), sub, verdict)


def _unconfirmed(task: Task, sub: Submission, now: int) -> Step:
    """Whoever holds the token may have said so, and that need not be the provider: it is asked at once."""
    if sub.remote_id is None:  # nothing to ask about yet; whatever finds out where it is finds out the rest
        return Step(task, sub, Verdict.UNCONFIRMED)
    if task.state is State.LOST:  # named alone, because lists leave out what is old
        return Step(task._replace(news_at=now, poll_at=now, asks=ALONE_EVERY - 1), sub, Verdict.UNCONFIRMED)
    changed_at = task.updated_at if task.reason == UNCONFIRMED else now
    claimed = task._replace(reason=UNCONFIRMED, updated_at=changed_at, asks=0)
    return Step(_due(claimed, now), sub, Verdict.UNCONFIRMED)


def _still_lost(task: Task, sub: Submission | None, news: News, now: int, jitter: float) -> Task:
    """Asked about because a callback claimed its ending, or gave it another name, and no ending came. A provider that cannot
    be heard is asked again for a day; what it does say ends the matter, once it was asked about each name."""
    if isinstance(news, Missing | Taken) and sub is not None and not naming.round_over(task.missing, sub):
        return task._replace(poll_at=now)
    unheard = isinstance(news, NoAnswer | Busy | Refused | Unreadable)
    again = unheard and now < task.news_at + DAY_MS
    return task._replace(poll_at=now + jittered(ASK_AGAIN_MS, jitter) if again else None)


def _move(
    task: Task,
    sub: Submission | None,
    to: State,
    now: int,
    terms: Terms,
    jitter: float,
    report: Report | None = None,
    error: TaskError | None = None,
    reason: str | None = None,
) -> Step:
    verdict = judge(task.state, to)
    if verdict is not Verdict.ADVANCE:
        return Step(task, sub, verdict)
    settled = to in SETTLED
    made_at = now if report is None or report.updated_at is None else min(report.updated_at, now)
    result = None
    if report is not None and report.result is not None:
        expires_at = rfc3339(max(made_at, now - DAY_MS) + terms.video_lives_s * 1_000)
        result = _json(report.result.as_dict(expires_at))
    moved = task._replace(
        state=to,
        reason=reason if error is None else error.code,
        sequence=task.sequence + 1,
        result=result,
        tokens=None if report is None else report.tokens,
        error=None if error is None else _json(error.as_dict()),
        updated_at=now,
        news_at=now,
        started_at=max(made_at, task.created_at) if to is State.RUNNING else task.started_at,
        ended_at=now if settled else None,
        place_at=None,
        poll_at=_armed_at(task, to, now, terms, jitter),
        asks=0,
        missing=0,
        missing_at=None,
    )
    return Step(moved, sub, verdict, moved=True)


def _not_placed(task: Task, sub: Submission, news: NotPlaced, now: int, terms: Terms, jitter: float) -> Step:
    """What a submit came to when it was not accepted."""
    if sub.outcome not in placement.OPEN:
        return Step(task, sub, Verdict.LATE)  # its callback was faster, and knows better
    if sub.id != task.submission_id:
        return placement.beside(task, sub, news, now)
    match news:
        case Rejected(error):
            return _move(task, placement.answered(sub, news, now), State.FAILED, now, terms, jitter, error=error)
        case Unknown():
            return placement.unknown(task, sub, news, now, terms)
        case _:
            return placement.placed_again(task, sub, news, now, jitter)


def _unplaced(task: Task, sub: Submission | None, news: RanOut | Withdrawn, now: int, terms: Terms, jitter: float) -> Step:
    """Our own endings exist only for an order that nobody can have: it waits to be placed."""
    if task.state is not State.CREATED or task.place_at is None:
        return Step(task, sub, Verdict.LATE)
    match news:
        case RanOut():
            error = TaskError("NeverPlaced", "No provider took the order before it ran out.", Category.EXPIRED)
            return _move(task, sub, State.EXPIRED, now, terms, jitter, error=error)
        case Withdrawn():
            error = TaskError("Cancelled", "Cancelled before any provider had it.", Category.CANCELLED)
            return _move(task, sub, State.CANCELLED, now, terms, jitter, error=error)


def _missing(task: Task, sub: Submission, reason: str, now: int, terms: Terms, jitter: float) -> Step:
    since = now if task.missing_at is None else task.missing_at
    task = task._replace(missing=task.missing + 1, missing_at=since)
    if not naming.round_over(task.missing, sub):
        return Step(_due(task, now), sub, None)  # about the next of its names, at once
    if forgotten(task.missing // len(naming.names(sub)), since, now):
        return _move(task, sub, State.LOST, now, terms, jitter, reason=f"forgotten_by_provider: {reason}")
    return _no_news(task, sub, Source.POLL, now, terms, jitter)


def _no_news(task: Task, sub: Submission, source: Source, now: int, terms: Terms, jitter: float) -> Step:
    """Nothing was learned: never an ending, only another look later; a broken callback makes us look at once."""
    if task.state in SETTLED:
        return Step(task, sub, None)
    if source is not Source.POLL:
        return Step(_due(task, now), sub, None)
    if sub.outcome is Outcome.UNKNOWN:  # a look into the list that could not be had
        return Step(task._replace(poll_at=now + jittered(ASK_AGAIN_MS, jitter)), sub, None)
    task = task._replace(asks=task.asks + 1)
    if task.reason == UNCONFIRMED and task.asks <= CONFIRM_ASKS:
        return Step(task._replace(poll_at=now + jittered(ASK_AGAIN_MS, jitter)), sub, None)
    if task.reason == UNCONFIRMED:
        task = task._replace(reason=None, asks=1, updated_at=now)
    return Step(task._replace(poll_at=ask_at(terms.pace, task.state, task.news_at, task.asks, now, jitter)), sub, None)


def _due(task: Task, now: int) -> Task:
    """To be asked at once; `asks` says that silence is not the reason, so no recent news puts it off."""
    if task.state in SETTLED or task.submission_id is None:
        return task
    return task._replace(poll_at=now, asks=max(1, task.asks))


def _armed_at(task: Task, state: State, now: int, terms: Terms, jitter: float) -> int | None:
    """When to ask a task that is in this state, and had news just now. Only ever brought forward here: the reconciler pushes
    it back when it pops a task that had news, so that a callback does not have to touch the index."""
    if state in SETTLED:
        return None
    if task.submission_id is None:
        return task.poll_at
    at = ask_at(terms.pace, state, now, 0, now, jitter)
    return at if task.poll_at is None else min(task.poll_at, at)


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
