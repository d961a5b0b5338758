"""Names that only callbacks gave: each is asked about before an order is called lost, and there is an end to it."""

import pytest

from service.domain.advance import step
from service.domain.lifecycle import State, Verdict
from service.domain.naming import OTHERS, asked, names
from service.domain.news import News, Source, Step, Taken
from service.domain.patience import CALLED_BACK, Terms
from service.domain.report import Missing, Report
from service.domain.task import Outcome, Submission, Task
from tests.domain.made import MINUTE, NOW, submission, task

TERMS = Terms(CALLED_BACK)
UNKNOWN = Missing("unknown")


def judged(t: Task, s: Submission, news: News, source: Source = Source.CALLBACK, now: int = NOW) -> Step:
    return step(t, s, news, source, now, TERMS, 0.5)


def called(name: str, state: State = State.RUNNING) -> Report:
    return Report(state, str(state), name)


def contested(*others: str) -> tuple[Task, Submission]:
    """Its answer was lost, and callbacks called it first "cgt-1" and then otherwise."""
    given = called("cgt-1"), *map(called, others)
    t, s = task(remote_id=None), submission(Outcome.UNKNOWN)
    for news in given:
        made = judged(t, s, news)
        assert made.submission is not None
        t, s = made.task, made.submission
    return t, s


@pytest.mark.parametrize("others", [(), ("cgt-2",), ("cgt-2", "cgt-3"), ("cgt-2", "cgt-3", "cgt-4")])
def test_a_task_is_lost_only_after_each_name_was_unknown_three_times_over_ten_minutes(others: tuple[str, ...]) -> None:
    t, s = contested(*others)
    questions: list[str] = []
    now = NOW
    while t.state is not State.LOST:
        assert t.poll_at is not None
        now = max(now, t.poll_at)
        questions.append(asked(t, s))
        made = judged(t._replace(poll_at=now + MINUTE), s, UNKNOWN, Source.POLL, now)  # leased while it is asked about
        t, s = made.task, made.submission or s
        assert len(questions) < 100
    assert [questions.count(name) for name in names(s)] == [3] * (1 + len(others))
    assert now - NOW >= 10 * MINUTE
    assert t.poll_at is None


def test_so_many_names_are_kept_and_no_more() -> None:
    t, s = contested(*(f"cgt-{n}" for n in range(2, 12)))
    assert names(s) == [f"cgt-{n}" for n in range(1, 2 + OTHERS)]
    again = judged(t._replace(poll_at=NOW + MINUTE), s, called("cgt-2"))
    assert (again.verdict, again.task.poll_at, again.submission) == (
        Verdict.CONFLICT,
        NOW + MINUTE,
        s._replace(conflict_at=NOW),
    )


def test_a_name_that_its_provider_confirmed_is_not_contested_by_any_callback() -> None:
    t, s = contested()
    made = judged(t, s, called("cgt-1"), Source.POLL)
    assert made.submission is not None
    later = judged(made.task, made.submission, called("cgt-2"))
    assert (later.verdict, later.submission) == (Verdict.CONFLICT, made.submission._replace(conflict_at=NOW))
    assert later.task.poll_at == made.task.poll_at


def test_a_callback_that_repeats_a_name_does_not_begin_the_round_anew() -> None:
    t, s = contested("cgt-2")
    made = judged(t._replace(poll_at=NOW + MINUTE), s, UNKNOWN, Source.POLL)
    again = judged(made.task, made.submission or s, called("cgt-1"))
    assert (again.verdict, asked(again.task, s), again.task.poll_at) == (Verdict.DUPLICATE, "cgt-2", NOW)


def test_the_name_that_its_provider_knows_is_the_only_one_left() -> None:
    t, s = contested("cgt-2", "cgt-3")
    made = judged(t, s, called("cgt-3", State.SUCCEEDED), Source.POLL)
    assert made.submission is not None
    assert (made.task.state, made.task.remote_id, names(made.submission)) == (State.SUCCEEDED, "cgt-3", ["cgt-3"])


@pytest.mark.parametrize("source", [Source.POLL, Source.OWN])
def test_a_name_that_is_anothers_counts_as_unknown(source: Source) -> None:
    t, s = contested("cgt-2")
    made = judged(t, s, Taken("cgt-2", "task_other"), source)
    assert (made.task.missing, made.task.state, made.submission) == (1, t.state, s)


def test_any_of_its_names_ends_a_lost_task() -> None:
    t, s = contested("cgt-2")
    lost = t._replace(state=State.LOST, poll_at=None)
    made = judged(lost, s, called("cgt-2", State.SUCCEEDED))
    assert made.submission is not None
    assert (made.task.state, made.task.remote_id, names(made.submission)) == (State.SUCCEEDED, "cgt-2", ["cgt-2", "cgt-1"])
