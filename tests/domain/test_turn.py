import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.delivery import Failed, Outcome, Throttled, Told, Unreached
from service.domain.turn import (
    BREAKER_FAILURES,
    BURST_MS,
    IDLE_MS,
    RELOOK_MS,
    Health,
    felt,
    idle_after,
    mixed,
    spend,
    tokens,
    tokens_at,
)

NOW = 1_795_214_000_000
NEARLY = BREAKER_FAILURES - 1


@pytest.mark.parametrize(
    ("before", "outcome", "after"),
    [
        (Health(), Told(), Health()),
        (Health(), Failed("500"), Health(1, 0, NOW)),
        (Health(3, 0, NOW - 9), Unreached("refused"), Health(4, 0, NOW - 9)),
        (Health(3, 0, NOW - 9), Told(), Health()),
        (Health(), Throttled("429", 7), Health(1, NOW + 7_000, NOW)),
        (Health(), Throttled("429"), Health(1, 0, NOW)),
        (Health(), Throttled("429", 1e9), Health(1, NOW + 3_600_000, NOW)),
        (Health(NEARLY, 0, 1), Failed("500"), Health(BREAKER_FAILURES, NOW + 30_000, 1)),
        (Health(BREAKER_FAILURES, NOW - 1, 1), Failed("500"), Health(BREAKER_FAILURES + 1, NOW + 60_000, 1)),
        (Health(BREAKER_FAILURES + 50, NOW - 1, 1), Failed("500"), Health(BREAKER_FAILURES + 51, NOW + 3_600_000, 1)),
        (Health(BREAKER_FAILURES, NOW + 1, 1), Failed("500"), Health(BREAKER_FAILURES, NOW + 1, 1)),
        (Health(BREAKER_FAILURES, NOW + 1, 1), Told(), Health()),
    ],
)
def test_every_outcome_leaves_a_lane_in_one_state(before: Health, outcome: Outcome, after: Health) -> None:
    assert felt(before, outcome, NOW, 0.5) == after


@given(st.lists(st.integers(0, 2_000), max_size=60), st.integers(1, 10_000))
def test_a_rate_is_never_exceeded_by_more_than_one_seconds_worth(pauses_ms: list[int], rate: int) -> None:
    spent_until, now, sent = 0, NOW, 0
    for pause_ms in pauses_ms:
        now += pause_ms
        count = tokens(rate, spent_until, now)
        spent_until = spend(rate, spent_until, now, count) if count else spent_until
        sent += count
        assert sent <= rate * (now - NOW + BURST_MS) / 1000


@given(st.integers(1, 10_000), st.integers(0, 5_000))
def test_when_it_says_that_there_is_a_token_there_is_one(rate: int, later_ms: int) -> None:
    spent_until = spend(rate, 0, NOW, rate)
    assert tokens(rate, spent_until, NOW) == 0
    at = tokens_at(rate, spent_until)
    assert NOW < at <= NOW + 1_000
    assert tokens(rate, spent_until, at + later_ms) >= 1


@pytest.mark.parametrize(
    ("fresh", "again", "most", "taken"),
    [
        ("", "", 4, ""),
        ("abcdef", "", 4, "abcd"),
        ("", "uvwxyz", 4, "uvwx"),
        ("abcdef", "uvwxyz", 4, "abcu"),
        ("a", "uvwxyz", 4, "auvw"),
        ("abcdef", "u", 4, "abcu"),
        ("abcdef", "uvwxyz", 1, "u"),
        ("abcdef", "", 1, "a"),
        ("abcdefghijkl", "uvwxyz", 8, "abcdefuv"),
    ],
)
def test_fresh_and_failed_ones_share_a_turn(fresh: str, again: str, most: int, taken: str) -> None:
    assert "".join(mixed(fresh, again, most)) == taken


def test_a_quiet_lane_is_looked_into_less_and_less_and_closed_after_the_longest_transaction() -> None:
    pauses = []
    pause: int | None = 0
    while (pause := idle_after(pause)) is not None:
        pauses.append(pause)
    assert pauses[0] == RELOOK_MS
    assert pauses[-1] == IDLE_MS
    assert len(pauses) < 12
    for number, pause in enumerate(pauses[1:], start=1):
        assert pause <= sum(pauses[:number]) + RELOOK_MS, "nobody waits longer than the time that has passed already"
