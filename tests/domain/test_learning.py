"""What silence teaches: quantiles from buckets, and the paces that follow."""

import random

import pytest

from service.domain.learning import ENOUGH, GROWTH, LEAST_S, MOST_S, Learned, bucket, fitted, learned, quantile_s, top_s
from service.domain.patience import ASKED, CALLED_BACK


def counted(durations_s: list[float]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for duration_s in durations_s:
        number = bucket(int(duration_s * 1_000))
        counts[number] = counts.get(number, 0) + 1
    return counts


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_from_buckets_is_never_below_the_true_one_and_at_most_a_quarter_above(share: float) -> None:
    rng = random.Random(3)
    durations = sorted(rng.lognormvariate(4, 0.8) for _ in range(5_000))
    true = durations[int(share * len(durations))]
    assert true * 0.97 <= quantile_s(counted(durations), share) <= true * GROWTH * 1.03


def test_a_duration_lies_in_its_bucket() -> None:
    for duration_ms in (0, 999, 1_000, 1_001, 59_000, 10**8):
        assert top_s(bucket(duration_ms)) * 1_000 >= duration_ms


def test_too_few_samples_change_nothing() -> None:
    few = Learned(ENOUGH - 1, 10, 1_000)
    assert fitted(CALLED_BACK, few, few) == CALLED_BACK


def test_with_callbacks_silence_is_abnormal_beyond_what_nearly_all_needed() -> None:
    pace = fitted(CALLED_BACK, Learned(100, 60, 400), Learned(100, 60, 100))
    assert (pace.queued_s, pace.running_s) == (600, 150)


def test_without_callbacks_the_first_look_comes_when_half_are_done() -> None:
    pace = fitted(ASKED, None, Learned(100, 90, 300))
    assert (pace.queued_s, pace.running_s, pace.again_s) == (ASKED.queued_s, 90, ASKED.again_s)


def test_whatever_was_learned_stays_within_bounds() -> None:
    assert fitted(CALLED_BACK, Learned(100, 0, 0), Learned(100, 9e9, 9e9)).queued_s == LEAST_S
    assert fitted(CALLED_BACK, Learned(100, 0, 0), Learned(100, 9e9, 9e9)).running_s == MOST_S
    assert learned({}).count == 0
