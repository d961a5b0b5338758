"""What follows from one attempt to keep a delivery: done, again at an instant, dead, or the subscription disabled.

Absent on purpose: HTTP statuses. A channel translates what it was answered into an outcome; only outcomes decide here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SCHEDULE: tuple[int, ...] = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each attempt, counted from the end of the one before: about three days, long enough for a weekend
without an operator, short enough that nobody is told old news for weeks."""

JITTER = 0.2
"""Share by which a pause may be shorter or longer: what failed together should not come back together."""

HURRY_S = (0.2, 1.0)
"""A connection that failed at once is tried again within this: long enough for a listener to be swapped."""

AT_ONCE_MS = 1_000
"""A connection that fails within this has failed at once; a later failure looks like an outage and keeps to the schedule."""

THROTTLE_FLOOR_S = 3_600
"""A subscriber may ask for a pause of up to an hour, or twice the scheduled one: more could stall its lane for good."""

FAILING_LIMIT_MS = 5 * 86_400_000
"""Failing without one success for this long, a subscription is disabled."""

FAILING_SPAN_MS = 12 * 3_600_000
"""Those before the failure that is judged have to lie at least this far apart: one bad evening, five quiet days and one more
failure are no evidence."""


@dataclass(frozen=True, slots=True)
class Told:
    """The subscriber has it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It answered, and not with success."""

    reason: str
    status: str | None = None
    """What it answered, for people; nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """It is alive and wants a pause."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """It wants no more, or can never be told this way."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unreached:
    """No answer: refused, reset, timed out, cut off."""

    reason: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """Its address leads where we do not go. Nothing was dialled."""

    reason: str


Outcome = Told | Failed | Throttled | Gone | Unreached | Blocked


@dataclass(frozen=True, slots=True)
class Done:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    at: int
    hurried: bool = False
    """The next attempt is an extra one that takes no step of the schedule: whoever keeps the delivery remembers this."""


@dataclass(frozen=True, slots=True)
class Dead:
    """Nothing more happens by itself; it stays visible and can be sent again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Disable:
    """This delivery ends and its subscription gets no more until a person says so."""

    reason: str


Decision = Done | Retry | Dead | Disable


def classify(
    outcome: Outcome,
    attempt: int,
    now: int,
    jitter: float,
    schedule: Sequence[float] = SCHEDULE,
    *,
    hurried: bool = False,
) -> Decision:
    """`attempt` is the number of the attempt that has just ended, from 1, or from 1 again since it was last sent again on
    request; `jitter` is a random number in [0, 1).

    Every attempt has its own number, the hurried one too: `hurried` says that one of the earlier attempts was that extra
    one. Only the first attempt can earn it, so a caller that forgets loses the step of 5 s and nothing else.
    """
    assert attempt > hurried
    assert 0 <= jitter < 1
    match outcome:
        case Told():
            return Done()
        case Gone(reason):
            return Disable(reason)
        case Unreached(at_once=True) if attempt == 1 and not hurried and len(schedule) > 1:
            soonest_s, latest_s = HURRY_S
            return Retry(now + _ms(soonest_s + (latest_s - soonest_s) * jitter), hurried=True)
        case Throttled(reason, retry_after_s):
            asked_s = retry_after_s
        case Failed(reason) | Unreached(reason) | Blocked(reason):
            # A blocked address keeps its turns: the name may lead elsewhere tomorrow, or the operator may allow the network.
            asked_s = None
    step = attempt - hurried
    if step >= len(schedule):
        return Dead(f"gave up after {attempt} attempts: {reason}")
    scheduled_s = schedule[step]
    pause_s = scheduled_s * (1 - JITTER + 2 * JITTER * jitter)
    if asked_s is not None:
        # Never sooner than asked, so jitter may only lengthen here.
        pause_s = max(scheduled_s, pause_s, min(asked_s, max(2 * scheduled_s, THROTTLE_FLOOR_S)))
    return Retry(now + _ms(pause_s))


def failing_since(since: int | None, outcome: Outcome, now: int) -> int | None:
    """The first failure after the last success of a subscription; None while it works."""
    if isinstance(outcome, Told):
        return None
    return now if since is None else since


def worn_out(failing_since: int, last_failed_at: int, now: int) -> bool:
    """Asked at a failure; `last_failed_at` is the one before it. It has failed for so long that it is disabled, with an operational event; what happens meanwhile is kept as skipped."""
    return now - failing_since >= FAILING_LIMIT_MS and last_failed_at - failing_since >= FAILING_SPAN_MS


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
