"""What becomes of a task when one piece of news comes: the rows that cost money when they are wrong."""

import json
from dataclasses import replace

import pytest

from service.domain.advance import step
from service.domain.errors import Category, TaskError
from service.domain.lifecycle import SETTLED, State, Verdict
from service.domain.news import (
    Again,
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
from service.domain.patience import ASKED, CALLED_BACK, Terms
from service.domain.placement import UNRESOLVED
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
from tests.domain.made import HOUR, MINUTE, NOW, submission, task, waiting

TERMS = Terms(CALLED_BACK, scans=True)
ERROR = TaskError("AccountOverdueError", "pay first", Category.QUOTA)
BAD = TaskError("InvalidParameter", "no", Category.PARAMETERS)


def judged(
    t: Task, s: Submission | None, news: News, source: Source = Source.SUBMIT, now: int = NOW, terms: Terms = TERMS
) -> Step:
    return step(t, s, news, source, now, terms, 0.5)


@pytest.mark.parametrize(
    ("news", "outcome", "state", "placed_again_after_ms", "reason"),
    [
        (Accepted("cgt-1"), Outcome.ACCEPTED, State.QUEUED, None, None),
        (Rejected(BAD), Outcome.REJECTED, State.FAILED, None, "InvalidParameter"),
        (NotSent("refused"), Outcome.NOT_SENT, State.CREATED, 1_000, "provider_unreachable"),
        (Busy("full"), Outcome.BUSY, State.CREATED, 1_000, "provider_busy"),
        (Busy("full", 30.0), Outcome.BUSY, State.CREATED, 30_000, "provider_busy"),
        (Again(Rejected(ERROR)), Outcome.REJECTED, State.CREATED, 0, "AccountOverdueError"),
        (Again(NotSent("refused")), Outcome.NOT_SENT, State.CREATED, 0, "provider_unreachable"),
        (Again(Busy("full", 30.0)), Outcome.BUSY, State.CREATED, 0, "provider_busy"),
        (Unknown("reset"), Outcome.UNKNOWN, State.CREATED, None, "unknown_outcome"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str | int) else None,
)
def test_each_outcome_of_a_submit(
    news: News, outcome: Outcome, state: State, placed_again_after_ms: int | None, reason: str | None
) -> None:
    made = judged(task(), submission(Outcome.SENDING), news)
    assert made.submission is not None
    assert (made.submission.outcome, made.task.state, made.task.reason) == (outcome, state, reason)
    waits_ms = None if made.task.place_at is None else made.task.place_at - NOW
    assert waits_ms == placed_again_after_ms
    if waits_ms is not None:
        assert (made.task.submission_id, made.task.provider, made.task.account, made.task.poll_at) == (None, None, None, None)


def test_an_unknown_outcome_never_waits_to_be_placed_again_and_alerts_once() -> None:
    made = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    assert made.task.place_at is None
    assert made.alert is not None
    assert made.alert.type == "submission.unknown"
    again = judged(made.task, made.submission, Unknown("reset"))
    assert (again.alert, again.task.place_at) == (None, None)


def test_looks_in_vain_widen_until_an_operator_is_asked_once() -> None:
    made = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    alerts, now = 0, NOW
    for _ in range(10):
        assert made.task.poll_at is not None
        assert made.task.poll_at > now
        now = made.task.poll_at
        made = judged(made.task, made.submission, Unfound("not there"), Source.POLL, now)
        alerts += made.alert is not None
        if made.task.reason == UNRESOLVED:
            break
    assert (alerts, made.task.state, made.task.place_at) == (1, State.CREATED, None)
    assert NOW + 50 * MINUTE < now < NOW + 75 * MINUTE


def test_without_a_list_an_operator_is_asked_after_the_window() -> None:
    blind = replace(TERMS, scans=False)
    made = judged(task(), submission(Outcome.SENDING), Unknown("reset"), terms=blind)
    assert made.task.poll_at == NOW + HOUR
    made = judged(made.task, made.submission, Unfound("no list"), Source.OWN, NOW + HOUR, blind)
    assert made.task.reason == UNRESOLVED


def test_a_look_that_could_not_be_had_does_not_count_as_one() -> None:
    made = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    after = judged(made.task, made.submission, NoAnswer("timeout"), Source.POLL, NOW + MINUTE)
    assert (after.task.asks, after.task.reason, after.task.state) == (made.task.asks, "unknown_outcome", State.CREATED)


def test_an_operator_who_says_it_never_happened_has_it_placed_again() -> None:
    unknown = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    made = judged(unknown.task, unknown.submission, NeverHappened(), Source.OPERATOR)
    assert (made.task.place_at, made.task.submission_id, made.task.reason) == (NOW, None, None)


def test_an_operator_who_names_it_has_it_asked_about_at_once() -> None:
    unknown = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    made = judged(unknown.task, unknown.submission, Accepted("cgt-9"), Source.OPERATOR)
    assert (made.task.state, made.task.remote_id, made.task.poll_at) == (State.QUEUED, "cgt-9", NOW)


@pytest.mark.parametrize("news", [NeverHappened(), NotSent("late"), Unknown("late"), Again(Busy("late")), Unfound("late")])
def test_a_submission_that_its_callback_has_explained_is_never_placed_again(news: News) -> None:
    made = judged(task(State.QUEUED), submission(), news)
    assert (made.verdict, made.task.place_at, made.task.state) == (Verdict.LATE, None, State.QUEUED)


def test_a_callback_adopts_an_order_that_was_given_back_to_the_queue() -> None:
    unknown = judged(task(), submission(Outcome.SENDING), Unknown("reset"))
    requeued = judged(unknown.task, unknown.submission, NeverHappened(), Source.OPERATOR)
    made = judged(requeued.task, requeued.submission, Report(State.RUNNING, "running", "cgt-1"), Source.CALLBACK)
    assert (made.task.state, made.task.place_at, made.task.submission_id, made.task.account) == (
        State.RUNNING,
        None,
        11,
        "default",
    )


def test_a_second_placement_of_one_order_is_a_conflict_that_alerts_once() -> None:
    second = submission(Outcome.SENDING, id=12, number=2)
    made = judged(task(State.RUNNING), second, Report(State.RUNNING, "running", "cgt-2"), Source.CALLBACK)
    assert made.verdict is Verdict.CONFLICT
    assert made.alert is not None
    again = judged(made.task, made.submission, Report(State.RUNNING, "running", "cgt-2"), Source.CALLBACK)
    assert (again.verdict, again.alert, again.task) == (Verdict.CONFLICT, None, made.task)


def test_what_a_list_leaves_out_is_asked_about_alone_and_at_once() -> None:
    made = judged(task(State.RUNNING), submission(), Unlisted(), Source.POLL)
    assert (made.task.poll_at, made.task.asks % 4, made.task.missing, made.task.state) == (NOW, 3, 0, State.RUNNING)


@pytest.mark.parametrize("news", [NoAnswer("x"), Busy("x"), Refused(ERROR), Unreadable("x"), Missing("x"), Unlisted()])
@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_lack_of_knowledge_is_never_an_ending(news: News, state: State) -> None:
    now_task, now_sub = task(state), submission()
    for i in range(100):
        made = judged(now_task, now_sub, news, Source.POLL, NOW + i)
        now_task, now_sub = made.task, made.submission or now_sub
        assert now_task.state is state


def test_a_404_means_something_only_three_times_over_ten_minutes() -> None:
    made = judged(task(State.RUNNING), submission(), Missing("404"), Source.POLL)
    for minute in (1, 2, 9):
        made = judged(made.task, made.submission, Missing("404"), Source.POLL, NOW + minute * MINUTE)
        assert made.task.state is State.RUNNING
    assert judged(made.task, made.submission, Missing("404"), Source.POLL, NOW + 10 * MINUTE).task.state is State.LOST


def test_any_answer_about_the_task_clears_the_count_of_404s() -> None:
    made = judged(task(State.QUEUED), submission(), Missing("404"), Source.POLL)
    made = judged(made.task, made.submission, Report(State.RUNNING, "running", "cgt-1"), Source.POLL, NOW + MINUTE)
    assert (made.task.missing, made.task.missing_at) == (0, None)
    made = judged(
        task(State.QUEUED, missing=2, missing_at=NOW), submission(), Report(State.QUEUED, "queued", "cgt-1"), Source.POLL
    )
    assert (made.task.missing, made.task.missing_at) == (0, None)


@pytest.mark.parametrize(("news", "state"), [(RanOut(), State.EXPIRED), (Withdrawn(), State.CANCELLED)])
def test_our_own_endings_exist_only_for_what_nobody_can_have(news: News, state: State) -> None:
    assert judged(waiting(), None, news, Source.OWN).task.state is state
    for other in (task(), task(State.QUEUED)):
        assert judged(other, None, news, Source.OWN).task == other


def test_a_cancel_that_came_too_late_changes_nothing_and_asks_at_once() -> None:
    made = judged(task(State.QUEUED), submission(), CancelTooLate("running"), Source.CANCEL)
    assert (made.task.state, made.task.poll_at) == (State.QUEUED, NOW)
    assert judged(task(State.QUEUED), submission(), CancelTaken(), Source.CANCEL).task.state is State.CANCELLED


@pytest.mark.parametrize("state", sorted(SETTLED))
def test_an_ended_task_is_never_asked_again_whatever_comes(state: State) -> None:
    ended = task(state, poll_at=None, ended_at=NOW)
    for news in (
        Unlisted(),
        NoAnswer("x"),
        Missing("x"),
        Unreadable("x"),
        CancelTooLate("x"),
        GaveUp("x"),
        Report(None, "odd", "cgt-1"),
    ):
        for source in (Source.POLL, Source.CALLBACK, Source.CANCEL):
            assert judged(ended, submission(), news, source).task.poll_at is None, (news, source)


def test_each_question_without_news_widens_the_next_pause_to_a_cap() -> None:
    for pace in (CALLED_BACK, ASKED):
        made, now, pauses = Step(task(State.RUNNING), submission(), None), NOW, []
        for _ in range(30):
            claimed = made.task._replace(poll_at=now + 90_000)
            made = judged(claimed, made.submission, NoAnswer("x"), Source.POLL, now, Terms(pace))
            assert made.task.poll_at is not None
            pauses.append(made.task.poll_at - now)
            now = made.task.poll_at
        assert pauses == sorted(pauses)
        assert pauses[-1] == pace.cap_s * 1000


OTHER = Report(State.RUNNING, "running", "cgt-2")


@pytest.mark.parametrize("outcome", [Outcome.SENDING, Outcome.UNKNOWN, Outcome.NOT_SENT])
def test_a_second_job_is_its_submissions_own_and_the_task_stays_what_it_is_but_for_a_warning(outcome: Outcome) -> None:
    before = task(State.RUNNING, flags='["mp4_only"]')
    made = judged(before, submission(outcome, id=12, number=2), OTHER, Source.CALLBACK)
    assert made.submission is not None
    assert (made.submission.outcome, made.submission.remote_id) == (Outcome.ACCEPTED, "cgt-2")
    assert made.task._replace(flags=before.flags) == before
    assert json.loads(made.task.flags or "") == ["mp4_only", "also_placed"]


@pytest.mark.parametrize("source", [Source.SUBMIT, Source.CALLBACK, Source.POLL, Source.OPERATOR])
@pytest.mark.parametrize("outcome", [Outcome.SENDING, Outcome.UNKNOWN])
def test_a_name_that_is_anothers_is_never_taken_and_places_nothing_again(source: Source, outcome: Outcome) -> None:
    made = judged(task(), submission(outcome), Taken("cgt-1", "task_1"), source)
    assert made.submission is not None
    assert (made.submission.remote_id, made.task.remote_id, made.task.place_at) == (None, None, None)
    assert made.task.state is State.CREATED
    assert (made.alert is not None) == (source in (Source.SUBMIT, Source.CALLBACK))


@pytest.mark.parametrize(
    ("news", "outcome"),
    [
        (Rejected(BAD), Outcome.REJECTED),
        (Again(Rejected(ERROR)), Outcome.REJECTED),
        (NotSent("refused"), Outcome.NOT_SENT),
        (Again(Busy("full")), Outcome.BUSY),
        (Unknown("reset"), Outcome.UNKNOWN),
        (NeverHappened(), Outcome.NOT_SENT),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else None,
)
def test_a_submission_that_the_task_does_not_follow_keeps_its_outcome_and_nothing_else(news: News, outcome: Outcome) -> None:
    made = judged(task(State.RUNNING), submission(Outcome.SENDING, id=12, number=2), news)
    assert made.submission is not None
    assert (made.submission.outcome, made.task) == (outcome, task(State.RUNNING))
    assert (made.alert is not None) == (outcome is Outcome.UNKNOWN)


def test_what_is_being_sent_or_has_ended_is_not_asked_about() -> None:
    for t, s in ((task(), submission(Outcome.SENDING)), (task(State.SUCCEEDED, poll_at=None), submission())):
        made = judged(t, s, Asked(), Source.OPERATOR)
        assert (made.verdict, made.task) == (Verdict.LATE, t)
    blind = judged(task(), submission(Outcome.UNKNOWN), Asked(), Source.OPERATOR, terms=replace(TERMS, scans=False))
    assert (blind.verdict, blind.task) == (Verdict.LATE, task())


def test_a_job_of_an_order_that_was_given_up_is_followed_after_all() -> None:
    lost = task(State.LOST, remote_id=None, poll_at=None, ended_at=NOW)
    made = judged(lost, submission(Outcome.UNKNOWN), Report(State.RUNNING, "running", "cgt-1"), Source.CALLBACK)
    assert (made.task.state, made.task.remote_id, made.task.poll_at) == (State.LOST, "cgt-1", None)
