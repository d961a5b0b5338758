"""Names that only callbacks gave. Whoever has the address can write a callback, and some gateways call back under a name of
their own: until an answer of its provider has confirmed one, every name that an order was called by may be its own. They are
asked about in turn, the one that is followed first.
"""

from service.domain.task import Submission, Task

OTHERS = 3
"""Kept beside the one that is followed: whoever got hold of an address cannot make us ask for ever."""


def confirmed(sub: Submission) -> Submission:
    """Its provider itself has named it."""
    return sub if sub.aliases is None else sub._replace(aliases=None)


def preferred(task: Task, sub: Submission, name: str) -> tuple[Task, Submission]:
    """Another one of its names is followed from now on."""
    others = " ".join(other for other in names(sub) if other != name)
    return task._replace(remote_id=name), sub._replace(remote_id=name, aliases=others)


def names(sub: Submission) -> list[str]:
    """All that it may be, in the order in which they are asked about."""
    return [] if sub.remote_id is None else [sub.remote_id, *(sub.aliases or "").split()]


def contested(sub: Submission) -> bool:
    return bool(sub.aliases)


def asked(task: Task, sub: Submission) -> str:
    """The name that its provider is asked about next."""
    known = names(sub)
    return known[task.missing % len(known)]


def round_over(missing: int, sub: Submission) -> bool:
    """Its provider was asked about each name as often as about the others."""
    return missing % max(1, len(names(sub))) == 0


def takes(task: Task, sub: Submission, name: str) -> bool:
    """Whether a callback's other name is kept."""
    known = names(sub)
    return sub.aliases is not None and task.submission_id == sub.id and name not in known and len(known) <= OTHERS


def also_called(task: Task, sub: Submission, name: str, now: int) -> tuple[Task, Submission]:
    """All names are asked about, at once; even of a task that is lost: so far it was asked about by another name."""
    task = task._replace(news_at=now, poll_at=now, asks=max(1, task.asks), missing=0, missing_at=None)
    return task, sub._replace(aliases=f"{sub.aliases} {name}".strip())
