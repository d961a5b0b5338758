"""One turn of asking: as few questions as will do, and never more than the limits allow."""

from typing import Any

import pytest

from service.domain.asking import Plan, gets_allowed, next_get_at, plan, silent_until
from service.domain.lifecycle import State
from service.domain.patience import CALLED_BACK, Terms
from service.domain.placement import UNRESOLVED
from service.domain.task import Outcome, Submission, Task
from tests.domain.made import HOUR, MINUTE, NOW, submission, task

BASE = "https://ark.test"
LATER = NOW + 10 * MINUTE


def planned(pairs: list[tuple[Task, Submission]], now: int = LATER, **changes: Any) -> Plan:
    given: dict[str, Any] = {"base_url": BASE, "batch": 500, "scans": True, "lists": 1, "gets": 6}
    return plan(pairs, now, lambda _: Terms(CALLED_BACK), lambda: 0.5, **given | changes)


def many(count: int, first: int = 0, **changes: Any) -> list[tuple[Task, Submission]]:
    return [(task(State.RUNNING, id=first + i, **changes), submission()) for i in range(count)]


def lost(count: int, **changes: Any) -> list[tuple[Task, Submission]]:
    return [(task(State.CREATED, id=i, reason="unknown_outcome", **changes), submission(Outcome.UNKNOWN)) for i in range(count)]


FLEX = '{"model":"seedance-1-0-pro-250528","prompt":"a cat","service_tier":"flex"}'


def test_news_since_the_timestamp_was_set_means_no_question() -> None:
    made = planned(many(10, news_at=LATER - MINUTE))
    assert (len(made.quiet), made.batch, made.single) == (10, [], [])
    assert all(until > LATER for _, until in made.quiet)


def test_many_are_asked_about_in_one_question_and_a_few_one_by_one() -> None:
    assert len(planned(many(600)).batch) == 500
    assert planned(many(600)).left_count == 100
    made = planned(many(2))
    assert (len(made.batch), len(made.single)) == (0, 2)
    assert len(planned(many(40), batch=1).single) == 6


def test_nothing_is_asked_and_nothing_leased_when_the_limits_are_used_up() -> None:
    made = planned([*many(600), *lost(3)], lists=0, gets=0)
    assert (made.leased, made.left_count) == ([], 603)


def test_flex_tasks_are_asked_about_apart_because_the_list_hides_them() -> None:
    mixed = [*many(50), *many(50, 100, order=FLEX)]
    made = planned(mixed)
    assert (made.flex, {t.id for t, _ in made.batch}) == (False, set(range(50)))
    made = planned(list(reversed(mixed)))
    assert (made.flex, {t.id for t, _ in made.batch}) == (True, set(range(100, 150)))


def test_the_word_flex_in_a_prompt_does_not_make_it_flex() -> None:
    made = planned(many(50, order='{"prompt":"say \\"flex\\""}'))
    assert (made.flex, len(made.batch)) == (False, 50)


def test_one_list_a_turn_goes_to_whoever_waits_longest() -> None:
    assert planned([*many(50), *lost(3)]).search == []
    made = planned([*lost(3), *many(50)])
    assert (len(made.search), made.batch) == (3, [])


def test_a_search_is_for_one_model_at_a_time() -> None:
    made = planned([*lost(2), *lost(2, model="another")])
    assert ([t.model for t, _ in made.search], made.left_count) == (["seedance-1-0-pro-250528"] * 2, 2)


def test_what_a_list_left_out_or_denied_is_asked_about_alone() -> None:
    made = planned([*many(50, asks=3), *many(50, 100, missing=1)])
    assert (made.batch, len(made.single)) == ([], 6)


def test_an_account_that_is_gone_or_leads_elsewhere_is_not_asked() -> None:
    for base_url in (None, "https://elsewhere.test"):
        made = planned(many(10), base_url=base_url, scans=base_url is not None)
        assert (len(made.orphaned), made.single, made.batch) == (10, [], [])
        made = planned(lost(3), base_url=base_url, scans=base_url is not None)
        assert (len(made.unsearchable), made.search) == (3, [])


@pytest.mark.parametrize(
    ("pair", "heap"),
    [
        ((task(), submission(Outcome.SENDING)), "cut_off"),
        ((task(reason="unknown_outcome"), submission(Outcome.UNKNOWN)), "search"),
        ((task(reason=UNRESOLVED), submission(Outcome.UNKNOWN)), "quiet"),
        ((task(State.QUEUED), submission()), "single"),
    ],
)
def test_each_kind_of_stale_task_has_its_heap(pair: tuple[Task, Submission], heap: str) -> None:
    made = planned([pair])
    assert len(getattr(made, heap)) == 1


def test_an_unresolved_order_is_given_up_when_its_records_are_gone() -> None:
    old = NOW + 8 * 24 * HOUR
    assert len(planned([(task(reason=UNRESOLVED), submission(Outcome.UNKNOWN))], now=old).over) == 1


@pytest.mark.parametrize("limit", [1.0, 5.0, 20.0])
def test_single_questions_never_exceed_the_limit_in_any_second(limit: float) -> None:
    asked: list[int] = []
    now = 0
    for _ in range(200):
        quota = gets_allowed(limit)
        asked += [now] * quota
        now = next_get_at(now, quota, limit)
    assert all(sum(at <= each < at + 1_000 for each in asked) <= limit for at in asked)


def test_a_silent_provider_is_left_alone_longer_each_time_within_bounds() -> None:
    pauses = [silent_until(n, 0, 0.5, None) for n in range(1, 40)]
    assert pauses[:3] == [5_000, 10_000, 20_000]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300_000
    assert silent_until(1, 0, 0.5, 60.0) == 60_000


def test_a_plan_leaves_no_task_out() -> None:
    everything = [*many(700), *many(30, 1_000, order=FLEX), *lost(5), *many(20, 2_000, asks=3), *many(9, 3_000, news_at=LATER)]
    made = planned(everything)
    assert len(made.leased) + len(made.quiet) + made.left_count == len(everything)
    assert len({t.id for t, _ in made.leased} | {t.id for (t, _), _ in made.quiet}) == len(made.leased) + len(made.quiet)
