"""All schedules about tasks: when silence is abnormal, when to try a placement again, when asking makes no sense any more.

Pure: the clock and the jitter (a random number in [0, 1)) come in as arguments.
"""

from dataclasses import dataclass

from service.domain.lifecycle import State

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

DEFAULT_EXPIRY_S = 172_800
"""Ark's default for `execution_expires_after`."""
GRACE_MS = 8 * HOUR_MS
"""After its deadline a task may still be on its way to us: callbacks are late, clocks differ."""
RECORD_LIVES_MS = 7 * DAY_MS
"""Ark keeps a task's record for seven days: until then asking can still teach us something."""
MISSING_COUNT, MISSING_MS = 3, 10 * MINUTE_MS
"""An unknown id means something only when said this often over at least this long."""
SENDING_SLACK_MS = 30 * SECOND_MS
"""A submission still `sending` this long after its own timeout was cut off: its process died."""
TOKEN_LIVES_MS = 96 * HOUR_MS


SEARCH_PAUSES_S = (20.0, 40.0, 120.0, 300.0, 900.0, 2_100.0)
"""Between looks into the provider's list for an order whose answer got lost: its callback is usually faster, and after an
hour in all nothing more will turn up there."""
SHARED_MS = 10 * SECOND_MS
"""Looks are rounded up to these: one look serves all that are lost, so they should come due together."""
UNKNOWN_WINDOW_MS = HOUR_MS
"""An order that neither a callback nor the list has explained by then is an operator's."""
ASK_AGAIN_MS = MINUTE_MS
"""When a look into the list could not be had."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long silence is normal. Each question without news widens the next pause up to the cap."""

    queued_s: float
    running_s: float
    widen: float
    cap_s: float
    called_back: bool = True
    """News comes by itself: the first wait lasts until silence is abnormal. Otherwise until there is usually something."""
    again_s: float | None = None
    """After the first question; None: as before it."""


CALLED_BACK = Pace(queued_s=300, running_s=240, widen=1.7, cap_s=3_600)
"""It calls back: five quiet minutes are abnormal, and a queue may be hours long."""
ENDING_CALLED_BACK = Pace(queued_s=420, running_s=420, widen=1.7, cap_s=3_600)
"""It calls back only at the end: typical clips take 1–5 minutes."""
ASKED = Pace(queued_s=25, running_s=15, widen=1.25, cap_s=300, called_back=False, again_s=15)
"""It never calls back: first look after 20–30 s, then every 10–30 s, widening."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the decisions need to know about one account."""

    pace: Pace
    submit_timeout_s: float = 60
    video_lives_s: int = 86_400
    scans: bool = False
    confirms: bool = False
    """An ending that a callback claims is not believed until the provider was asked."""


def jittered(pause_ms: float, jitter: float, share: float = 0.2) -> int:
    return int(pause_ms * (1 + share * (2 * jitter - 1)))


def ask_at(pace: Pace, state: State, news_at: int, asks: int, now: int, jitter: float) -> int:
    """When to ask (again) about a placed task that stays silent. Never early: jitter only adds to the first wait."""
    base_s = pace.running_s if state is State.RUNNING else pace.queued_s
    if asks == 0:
        return max(now, news_at + int(base_s * SECOND_MS * (1 + 0.2 * jitter)))
    again_s = base_s if pace.again_s is None else pace.again_s
    return now + jittered(min(again_s * pace.widen ** min(asks, 40), pace.cap_s) * SECOND_MS, jitter)


def search_at(searches: int, sent_at: int, now: int, scans: bool) -> int | None:
    """When to look (again) for an order whose answer got lost. None: that makes no sense any more."""
    end = sent_at + UNKNOWN_WINDOW_MS
    if not scans:
        return end if now < end else None
    if searches >= len(SEARCH_PAUSES_S):
        return None
    at = (sent_at if searches == 0 else now) + int(SEARCH_PAUSES_S[searches] * SECOND_MS)
    return max(now, -(-at // SHARED_MS) * SHARED_MS)


def next_search_at(searches: int, sent_at: int) -> int:
    """The earliest time of the next look: one before it was asked for by somebody, and uses up none of ours."""
    at = sent_at + int(sum(SEARCH_PAUSES_S[: searches + 1]) * SECOND_MS) if searches < len(SEARCH_PAUSES_S) else 0
    return -(-at // SHARED_MS) * SHARED_MS


def give_up_at(sent_at: int, deadline_at: int) -> int:
    return max(deadline_at + GRACE_MS, sent_at + RECORD_LIVES_MS)


def forgotten(missing: int, missing_at: int, now: int) -> bool:
    return missing >= MISSING_COUNT and now - missing_at >= MISSING_MS


def place_again_at(tries: int, now: int, jitter: float, retry_after_s: float | None = None) -> int:
    """After not sent or busy: 1 s, 2 s, 4 s … up to five minutes; the provider's own wish first, up to an hour."""
    pause_s = min(2.0 ** min(tries - 1, 12), 300.0)
    if retry_after_s is not None:
        pause_s = max(pause_s, min(retry_after_s, 3_600.0))
    return now + max(jittered(pause_s * SECOND_MS, jitter), int(min(retry_after_s or 0, 3_600.0) * SECOND_MS))
