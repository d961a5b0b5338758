"""One job, one order: a provider's name for a job belongs to one submission at its address, whoever brings the name.

Looked up in the very transaction that gives it. Between processes the unique index decides: whoever comes second fails, is
run again by itself, and then finds the name taken.
"""

from collections.abc import Iterable

from service.domain import ids
from service.domain.news import News, Taken
from service.domain.report import Accepted, Report
from service.domain.task import Submission
from service.store import tasks
from service.store.database import Tx


class Names:
    def __init__(self, tx: Tx, brought: Iterable[tuple[Submission | None, News]]) -> None:
        wanted = {remote_id for sub, news in brought if (remote_id := _new_name(sub, news)) is not None}
        self._owners = tasks.named(tx, wanted) if wanted else {}

    def judged(self, sub: Submission | None, news: News) -> News:
        """The news, unless it names a job that another submission has."""
        remote_id = _new_name(sub, news)
        if sub is None or remote_id is None:
            return news
        owner = self._owners.get((sub.provider, sub.base_url, remote_id))
        if owner is None or owner[0] == sub.id:
            return news
        return Taken(remote_id, ids.encode(ids.TASK, owner[1]))

    def given(self, sub: Submission | None) -> None:
        if sub is not None and sub.remote_id is not None:
            self._owners[sub.provider, sub.base_url, sub.remote_id] = sub.id, sub.task_id


def _new_name(sub: Submission | None, news: News) -> str | None:
    """What the news calls a job that had no name yet or, from the answer to its order or while none is confirmed, another."""
    if sub is None or not isinstance(news, Accepted | Report) or news.remote_id == sub.remote_id:
        return None
    if sub.remote_id is not None and isinstance(news, Report) and sub.aliases is None:
        return None
    return news.remote_id
