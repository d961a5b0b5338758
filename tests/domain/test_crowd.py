"""Who is told to come again, and from when on."""

import pytest

from service.domain.crowd import CROWDED_S, STUCK_S, crowded, lately


@pytest.mark.parametrize(
    ("waiting", "at_once", "batch_s", "oldest_s", "verdict"),
    [
        (0, 1, 60.0, 60.0, False),  # nobody waits: whoever comes is next
        (1, 1, 0.01, 0.01, False),
        (512, 1, CROWDED_S, 0.0, False),  # one batch ahead of him, and it takes just that long
        (513, 1, CROWDED_S, 0.0, True),
        (5_000, 1, 0.05, 0.0, False),  # ten quick batches
        (5_000, 1, 0.06, 0.0, True),
        (5_000, 2, 0.06, 0.0, False),  # two at once: half the time
        (1, 1, 0.01, CROWDED_S + 0.1, False),  # a slow commit is no crowd
        (1, 1, 0.01, STUCK_S + 0.1, True),  # the batch before does not end
    ],
)
def test_whoever_would_wait_too_long_is_told_before(
    waiting: int, at_once: int, batch_s: float, oldest_s: float, verdict: bool
) -> None:
    assert crowded(waiting, 512, at_once, batch_s, oldest_s) is verdict


def test_what_a_batch_takes_is_learned_within_a_few_batches() -> None:
    batch_s = 0.0
    for _ in range(8):
        batch_s = lately(batch_s, 1.0)
    assert 0.9 < batch_s < 1.0
