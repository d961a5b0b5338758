import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.delivery import (
    FAILING_LIMIT_MS,
    SCHEDULE,
    Blocked,
    Dead,
    Decision,
    Disable,
    Done,
    Failed,
    Gone,
    Outcome,
    Retry,
    Throttled,
    Told,
    Unreached,
    classify,
    failing_since,
    worn_out,
)

NOW = 1_795_214_000_000
HOUR_MS = 3_600_000
LAST = len(SCHEDULE)


@pytest.mark.parametrize(
    ("outcome", "attempt", "decision"),
    [
        (Told(), 1, Done()),
        (Told(), LAST, Done()),
        (Gone("410"), 1, Disable("410")),
        (Gone("410"), LAST, Disable("410")),
        (Failed("500", "500"), 1, Retry(NOW + 5_000)),
        (Failed("500", "500"), 2, Retry(NOW + 300_000)),
        (Failed("500", "500"), LAST - 1, Retry(NOW + 24 * HOUR_MS)),
        (Failed("500", "500"), LAST, Dead("gave up after 10 attempts: 500")),
        (Throttled("429"), 1, Retry(NOW + 5_000)),
        (Throttled("429", 7), 1, Retry(NOW + 7_000)),
        (Throttled("429", 0), 1, Retry(NOW + 5_000)),
        (Throttled("429", 7_200), 1, Retry(NOW + HOUR_MS)),
        (Throttled("429", 7), 3, Retry(NOW + 1_800_000)),
        (Throttled("429", 1e12), 4, Retry(NOW + 4 * HOUR_MS)),
        (Throttled("429", 7), LAST, Dead("gave up after 10 attempts: 429")),
        (Unreached("timed out"), 1, Retry(NOW + 5_000)),
        (Unreached("refused", at_once=True), 1, Retry(NOW + 600, hurried=True)),
        (Unreached("refused", at_once=True), 2, Retry(NOW + 300_000)),
        (Unreached("refused", at_once=True), LAST, Dead("gave up after 10 attempts: refused")),
        (Blocked("10.0.0.5"), 1, Retry(NOW + 5_000)),
        (Blocked("10.0.0.5"), LAST, Dead("gave up after 10 attempts: 10.0.0.5")),
    ],
)
def test_every_outcome_has_one_consequence(outcome: Outcome, attempt: int, decision: Decision) -> None:
    assert classify(outcome, attempt, NOW, 0.5) == decision


def attempts(outcome: Outcome, remembers: bool = True) -> list[int]:
    """Milliseconds between the attempts of a delivery that always ends like this."""
    pauses, attempt, hurried = [], 1, False
    while isinstance(decision := classify(outcome, attempt, NOW, 0.5, hurried=hurried), Retry):
        pauses.append(decision.at - NOW)
        attempt += 1
        hurried |= decision.hurried and remembers
    return pauses


def test_a_subscriber_that_never_works_is_tried_ten_times_in_three_days() -> None:
    assert attempts(Failed("500")) == [s * 1000 for s in SCHEDULE[1:]]
    assert 72 * HOUR_MS < sum(attempts(Failed("500"))) < 77 * HOUR_MS


def test_a_hurried_attempt_is_one_more_and_takes_no_step() -> None:
    assert attempts(Unreached("refused", at_once=True)) == [600, *(s * 1000 for s in SCHEDULE[1:])]


def test_a_caller_that_forgets_the_hurried_attempt_loses_one_step_only() -> None:
    assert attempts(Unreached("refused", at_once=True), remembers=False) == [600, *(s * 1000 for s in SCHEDULE[2:])]


def test_a_subscription_may_have_its_own_schedule() -> None:
    assert classify(Failed("500"), 1, NOW, 0.5, (0, 60)) == Retry(NOW + 60_000)
    assert isinstance(classify(Failed("500"), 2, NOW, 0.5, (0, 60)), Dead)


jitters = st.floats(0, 1, exclude_max=True)
steps = st.integers(1, LAST - 1)


@given(steps, jitters)
def test_a_pause_is_within_a_fifth_of_the_scheduled_one(attempt: int, jitter: float) -> None:
    decision = classify(Failed("500"), attempt, NOW, jitter)
    assert isinstance(decision, Retry)
    assert 0.8 * SCHEDULE[attempt] * 1000 - 1 <= decision.at - NOW <= 1.2 * SCHEDULE[attempt] * 1000 + 1


@given(steps, jitters, st.floats(0, 1e9))
def test_a_wished_pause_is_kept_within_its_bounds(attempt: int, jitter: float, wished_s: float) -> None:
    decision = classify(Throttled("429", wished_s), attempt, NOW, jitter)
    assert isinstance(decision, Retry)
    pause_s, scheduled_s = (decision.at - NOW) / 1000, SCHEDULE[attempt]
    assert scheduled_s <= pause_s <= max(2 * scheduled_s, 3_600)
    assert pause_s >= min(wished_s, max(2 * scheduled_s, 3_600)) - 0.001


@given(jitters)
def test_a_refused_connection_is_tried_again_within_a_second(jitter: float) -> None:
    decision = classify(Unreached("refused", at_once=True), 1, NOW, jitter)
    assert isinstance(decision, Retry)
    assert 0 < decision.at - NOW <= 1_000


def test_failing_begins_with_the_first_failure_and_ends_with_a_success() -> None:
    assert failing_since(None, Failed("500"), NOW) == NOW
    assert failing_since(NOW, Unreached("refused"), NOW + HOUR_MS) == NOW
    assert failing_since(NOW, Throttled("429"), NOW + HOUR_MS) == NOW
    assert failing_since(NOW, Told(), NOW + HOUR_MS) is None
    assert failing_since(None, Told(), NOW) is None


@pytest.mark.parametrize(
    ("last_failed_after_ms", "after_ms", "disabled"),
    [
        (FAILING_LIMIT_MS, FAILING_LIMIT_MS, True),
        (FAILING_LIMIT_MS - 1, FAILING_LIMIT_MS - 1, False),
        (12 * HOUR_MS, FAILING_LIMIT_MS, True),
        (12 * HOUR_MS - 1, 10 * FAILING_LIMIT_MS, False),
    ],
)
def test_five_days_of_failures_wear_a_subscription_out(last_failed_after_ms: int, after_ms: int, disabled: bool) -> None:
    assert worn_out(NOW, NOW + last_failed_after_ms, NOW + after_ms) is disabled
