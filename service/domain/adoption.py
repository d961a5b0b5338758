"""Adoption: which entry of a provider's own list is the order whose answer got lost.

A wrong guess shows somebody another one's video, so only what is unique both ways counts: one entry fits the submission,
and no other open submission fits that entry. What was sent while our clock may have been wrong is never guessed, and may
be any entry of its kind; what was sent long ago is not guessed either, since an entry is nobody's only as long as everybody
who may have it is known. An order that carries our mark needs no guess.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.domain import ids
from service.domain.order import Order
from service.domain.patience import HOUR_MS
from service.domain.report import Listed, Report

SKEW_MS = 5_000
"""Their clock and ours, and their whole seconds."""
GUESSED_MS = 12 * HOUR_MS
"""So long after it was sent. Ended tasks are kept for a day at least: half of it is for clocks that were set meanwhile."""
MODEL_CHOOSES = ("adaptive", -1)
"""Values that say nothing about what the list will echo."""
FLEX = "flex"
COMPARED = ("resolution", "ratio", "duration", "frames", "seed", "service_tier", "generate_audio", "draft", "priority")


@dataclass(frozen=True, slots=True)
class Sought:
    """One submission whose order may be there."""

    submission_id: int
    order: Order
    sent_at: int
    until: int
    """Later than this the provider cannot have taken it."""
    marked: bool
    """It carries its own name as safety identifier."""
    wanted: bool = True
    """False: still being sent, denied by an operator, or under another key; it only stands in the way of a guess."""
    timed: bool = True
    """False: our clock may have been wrong when it was sent."""
    recent: bool = True
    """False: whoever had a job of that time may not be kept any more."""


@dataclass(frozen=True, slots=True)
class Found:
    adopted: Mapping[int, Report]
    """By submission."""
    doubtful: Mapping[int, Sequence[str]]
    """Remote ids that fit a submission and something else as well."""


def adopt(sought: Sequence[Sought], listed: Sequence[Listed], claimed: Collection[str]) -> Found:
    free = [entry for entry in listed if entry.report.remote_id is not None and entry.report.remote_id not in claimed]
    fits: dict[int, list[Listed]] = {s.submission_id: [e for e in free if fit(s, e)] for s in sought}
    suitors: dict[str, int] = defaultdict(int)
    for entries in fits.values():
        for entry in entries:
            suitors[entry.report.remote_id or ""] += 1
    adopted: dict[int, Report] = {}
    doubtful: dict[int, Sequence[str]] = {}
    for each in sought:
        entries = fits[each.submission_id]
        if not each.wanted or not entries:
            continue
        sure = (each.timed and each.recent) or _mark(entries[0]) is not None
        if sure and len(entries) == 1 and suitors[entries[0].report.remote_id or ""] == 1:
            adopted[each.submission_id] = entries[0].report
        else:
            doubtful[each.submission_id] = [entry.report.remote_id or "" for entry in entries]
    return Found(adopted, doubtful)


def fit(sought: Sought, entry: Listed) -> bool:
    mark, named = entry.safety_identifier, _mark(entry)
    if named is not None:
        return named == sought.submission_id
    if sought.marked or (mark is not None and mark != sought.order.safety_identifier):
        return False
    if entry.model != sought.order.model:
        return False
    if sought.timed and not sought.sent_at - SKEW_MS <= entry.created_at <= sought.until + SKEW_MS:
        return False
    echoed = dict(entry.fields)
    if (sought.order.service_tier == FLEX) is not (echoed.get("service_tier") == FLEX):
        return False  # whoever does not ask for the slow tier never gets it
    for name in COMPARED:
        said = getattr(sought.order, name)
        if said is not None and said not in MODEL_CHOOSES and name in echoed and echoed[name] != said:
            return False
    return True


def _mark(entry: Listed) -> int | None:
    """The submission that it names."""
    return None if entry.safety_identifier is None else ids.decode(ids.SUBMISSION, entry.safety_identifier)
