"""The table of states, cell by cell, and what it promises about any story a provider may tell."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.lifecycle import ENDINGS, SETTLED, TABLE, State, Verdict, chart, fold, judge

STATES = list(State)
PROGRESS = [State.CREATED, State.QUEUED, State.RUNNING]
RANK = {State.CREATED: 0, State.QUEUED: 1, State.RUNNING: 2, State.LOST: 3} | dict.fromkeys(ENDINGS, 4)
"""How far a task has come: lost is further than running, and an ending is further than lost."""

stories = st.lists(st.sampled_from(STATES), max_size=30)


def expected(current: State, reported: State) -> Verdict:
    """The page on states in sentences, written a second time and not from the table."""
    if reported is current:
        return Verdict.DUPLICATE
    if current in ENDINGS:
        return Verdict.CONFLICT if reported in ENDINGS else Verdict.LATE
    return Verdict.ADVANCE if RANK[reported] > RANK[current] else Verdict.LATE


@pytest.mark.parametrize(("current", "reported"), list(product(State, State)), ids=lambda s: str(s))
def test_every_pair_has_its_verdict(current: State, reported: State) -> None:
    assert judge(current, reported) is expected(current, reported)


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(product(State, State))


@given(stories)
def test_a_task_never_goes_backwards(story: list[State]) -> None:
    state = State.CREATED
    for reported in story:
        after = fold(state, [reported])
        assert RANK[after] >= RANK[state]
        assert after is state or after is reported, "a report leads to what it says or nowhere"
        state = after


@given(stories)
def test_the_first_ending_stands(story: list[State]) -> None:
    first = next((s for s in story if s in ENDINGS), None)
    if first is not None:
        assert fold(State.CREATED, story) is first


@given(stories, st.randoms(use_true_random=False), st.sampled_from(sorted(ENDINGS)))
def test_any_order_and_repetition_ends_in_the_same_state_when_at_most_one_ending_is_among_them(
    story: list[State], random: object, ending: State
) -> None:
    said = [s for s in story if s not in ENDINGS or s is ending]
    shuffled = [*said, *said]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(State.CREATED, shuffled) is fold(State.CREATED, said)


@given(stories, st.sampled_from(sorted(ENDINGS)))
def test_a_lost_task_can_still_be_ended_and_by_nothing_less(story: list[State], ending: State) -> None:
    before = [s for s in story if s not in ENDINGS]
    assert fold(State.LOST, before) is State.LOST
    assert fold(State.LOST, [*before, ending]) is ending


@given(stories)
def test_what_is_repeated_at_once_is_never_news(story: list[State]) -> None:
    state = fold(State.CREATED, story)
    for said in story:
        assert judge(fold(state, [said]), said) is not Verdict.ADVANCE
    assert fold(state, story) is state, "a whole story told again changes nothing"


def test_nobody_is_asked_about_what_has_ended_or_is_lost() -> None:
    assert set(State) - SETTLED == set(PROGRESS)


def test_the_chart_shows_every_cell() -> None:
    head, _, *rows = chart().splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")][1:] == STATES
    for current, row in zip(State, rows, strict=True):
        name, *cells = (cell.strip().strip("*") for cell in row.strip("|").split("|"))
        assert name == current
        assert cells == [judge(current, reported) for reported in State]
