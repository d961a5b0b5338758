"""The breaker of an account: what opens it, how long, and the one probe."""

import pytest

from service.domain.breaker import OPEN_LIMIT_MS, OPEN_MS, OPENS_AT, PROBE_MS, Breaker, failed, succeeded

NOW = 1_000_000


def opened(times: int = OPENS_AT, now: int = NOW, retry_after_s: float | None = None) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker = failed(breaker, now, 0.5, retry_after_s)
    return breaker


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    assert opened(OPENS_AT - 1).room(NOW) is None
    assert opened().room(NOW) == 0
    mended = failed(succeeded(opened(OPENS_AT - 1)), NOW, 0.5)
    assert (mended.failures, mended.room(NOW)) == (1, None)


def test_orders_that_left_before_it_opened_do_not_open_it_further() -> None:
    assert opened(50) == opened()


def test_half_open_lets_one_probe_through_and_another_when_that_was_cut_off() -> None:
    half = opened()
    later = NOW + OPEN_MS
    assert (half.state(later), half.room(later)) == ("half_open", 1)
    probing = half.probing(later)
    assert probing.room(later + 1) == 0
    assert probing.room(later + PROBE_MS) == 1


def test_a_probe_that_fails_doubles_the_pause_up_to_a_limit_and_one_that_succeeds_closes() -> None:
    breaker, now, pauses = opened(), NOW, []
    for _ in range(12):
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        breaker = failed(breaker.probing(now), now, 0.5)
    assert pauses[:4] == [OPEN_MS, 2 * OPEN_MS, 4 * OPEN_MS, 8 * OPEN_MS]
    assert pauses[-1] == OPEN_LIMIT_MS
    assert succeeded(breaker) == Breaker()


@pytest.mark.parametrize(("wish_s", "pause_s"), [(None, 5), (2.0, 5), (60.0, 60), (1e9, 3_600)])
def test_a_busy_provider_is_left_alone_as_long_as_it_asks_within_reason(wish_s: float | None, pause_s: int) -> None:
    assert opened(retry_after_s=wish_s).open_until == NOW + pause_s * 1_000
