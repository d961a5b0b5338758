"""Answers about many tasks, in the shape of Ark's list: `{"total": 2, "items": [task, …]}`.

Document: https://docs.byteplus.com/en/docs/ModelArk/1521675 (list video generation tasks).
"""

from collections.abc import Iterable

from service.domain.lifecycle import ENDINGS
from service.domain.report import Busy, Listed, Missing, NoAnswer, Refused, Report, Unreadable
from service.providers import ark_task, read
from service.providers.refusals import Words

LIMIT = 500
"""Entries of one page, and so tasks that one question may name: the documented end of `page_size`."""

ECHOED = ("resolution", "ratio", "duration", "frames", "seed", "service_tier", "generate_audio", "draft", "priority")
"""Parameters that the list repeats and that can tell two orders apart."""


def entries(raw: object) -> list[object] | None:
    match raw:
        case {"items": list() as items}:
            return items[:LIMIT]
        case {"total": 0, **rest} if rest.get("items") is None:  # how many servers write an empty list
            return []
    return None


def report(raw: object, words: Words) -> Report | None:
    """One entry. One that cannot be read must not be taken for one that is not there, nor hide the others: it becomes a
    report without a state, which changes nothing and is shown to an operator."""
    match raw, ark_task.report(raw, words):
        case _, Report() as known:
            return known
        case {"id": task_id}, Unreadable(reason):
            return nameless(read.remote_id(task_id), reason)
    return None


def nameless(remote_id: str | None, reason: str) -> Report | None:
    return Report(None, f"unreadable: {reason}", remote_id) if remote_id else None


def by_remote_id(reports: Iterable[Report | None]) -> dict[str, Report]:
    """A task that is listed twice keeps its ending, whichever entry came last."""
    told: dict[str, Report] = {}
    for each in reports:
        if each is not None and each.remote_id is not None:
            known = told.get(each.remote_id)
            if known is None or known.state not in ENDINGS:
                told[each.remote_id] = each
    return told


def listed(raw: object, words: Words) -> Listed | None:
    match raw, report(raw, words):
        case {"model": said, "created_at": created, **rest}, Report() as known:
            model, created_at = read.words(said, read.CODE_LIMIT), read.instant(created)
            if model is None or created_at is None:
                return None
            echoed = tuple((key, rest[key]) for key in ECHOED if isinstance(rest.get(key), str | int | float))
            return Listed(known, model, created_at, read.words(rest.get("safety_identifier"), read.CODE_LIMIT), echoed)
    return None


def about_no_task(
    outcome: Missing | Busy | NoAnswer | Refused | Unreadable,
) -> Busy | NoAnswer | Refused | Unreadable:
    """A list that is not found says nothing about the tasks in it."""
    return Unreadable(outcome.reason) if isinstance(outcome, Missing) else outcome
