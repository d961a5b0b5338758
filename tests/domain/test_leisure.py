"""Who sends a backlog leaves room for callers: only while they come to a full loop, and never so much that it grows."""

import pytest

from service.domain.leisure import AHEAD, FULL, LEAST_GAP_S, MOST_GAP_S, Leisure


def after(moments: int, busy: float, callers: int, promised_each: int = 0, leisure: Leisure | None = None) -> Leisure:
    leisure = leisure or Leisure()
    for number in range(1, moments + 1):
        leisure.felt(busy, callers, 0.05, promised_each * number)
    return leisure


@pytest.mark.parametrize(("busy", "callers"), [(1.0, 0), (FULL, 100), (0.1, 1)])
def test_nothing_is_held_back_where_nobody_comes_or_time_is_left(busy: float, callers: int) -> None:
    leisure = after(100, busy, callers)
    assert [leisure.wait_s(now) for now in (0.0, 0.0, 1.0)] == [0.0] * 3


def test_callers_who_come_to_a_full_loop_make_the_gap_grow_to_its_bound_and_it_closes_when_they_are_gone() -> None:
    assert after(1, 1.0, 1).gap_s == LEAST_GAP_S
    leisure = after(12, 1.0, 1)
    assert leisure.gap_s == MOST_GAP_S
    gaps = [after(1, 1.0, 0, leisure=leisure).gap_s for _ in range(12)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == 0.0


def test_each_attempt_takes_the_next_place() -> None:
    leisure = after(12, 1.0, 1)
    assert [leisure.wait_s(5.0) for _ in range(3)] == pytest.approx([0.0, MOST_GAP_S, 2 * MOST_GAP_S])
    assert leisure.wait_s(9.0) == 0.0
    assert leisure.wait_s(9.0) == pytest.approx(MOST_GAP_S), "places that nobody took are gone"


def test_who_sleeps_a_little_too_long_at_each_gap_sends_no_less_for_it() -> None:
    leisure, now_s = after(3, 1.0, 1), 5.0
    for _ in range(1_000):
        if (wait_s := leisure.wait_s(now_s)) > 0:
            now_s += wait_s + 0.001
    assert now_s - 5.0 == pytest.approx(1_000 * leisure.gap_s, rel=0.1)


def test_however_full_it_is_more_is_sent_than_promised() -> None:
    """50 in each twentieth of a second: a backlog that a full loop may not send would never end."""
    assert 1 / after(100, 1.0, 100, promised_each=50).gap_s == pytest.approx(1_000 * AHEAD)
