"""Asking: what to do about the stale tasks of one account in one turn, oldest first.

Most need no question: news came since the timestamp was set, which a callback does not touch. Of the others as many are
asked about as the provider's limits allow now; the rest is left alone and keeps its place.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.domain import naming
from service.domain.advance import ALONE_EVERY
from service.domain.patience import SECOND_MS, Terms, ask_at, give_up_at, jittered
from service.domain.placement import UNRESOLVED
from service.domain.task import Outcome, Submission, Task

Pair = tuple[Task, Submission]

FEW = 2
"""So few tasks are asked about one by one: that is answered under the wider limit."""
SPACING = 1.05
"""Of the time that a limit asks for between two lists: they travel at different speeds."""
SILENT_MS, SILENT_LIMIT_MS = 5 * SECOND_MS, 300 * SECOND_MS
"""An account that does not answer is left alone: twice as long each time, up to five minutes."""


@dataclass(slots=True)
class Plan:
    cut_off: list[Pair] = field(default_factory=list)
    """Whoever sent these died before it heard the answer."""
    quiet: list[tuple[Pair, int]] = field(default_factory=list)
    """Silence is normal until then."""
    orphaned: list[Pair] = field(default_factory=list)
    """Their account is not configured any more, or leads elsewhere now."""
    over: list[Pair] = field(default_factory=list)
    """Nothing will explain these any more."""
    unsearchable: list[Pair] = field(default_factory=list)
    batch: list[Pair] = field(default_factory=list)
    single: list[Pair] = field(default_factory=list)
    search: list[Pair] = field(default_factory=list)
    flex: bool = False
    """Of the batch or the search: the list shows one tier at a time."""
    left_single: int = 0
    left_listed: int = 0
    """What the limits do not allow now, by the kind of question that it waits for."""

    @property
    def left_count(self) -> int:
        return self.left_single + self.left_listed

    @property
    def leased(self) -> list[Pair]:
        return [*self.cut_off, *self.orphaned, *self.over, *self.unsearchable, *self.batch, *self.single, *self.search]


def plan(
    stale: Sequence[Pair],
    now: int,
    terms: Callable[[Task], Terms],
    jitter: Callable[[], float],
    *,
    base_url: str | None,
    batch: int,
    scans: bool,
    lists: int,
    gets: int,
) -> Plan:
    """`base_url`: where the account leads now; None: it is gone. `lists`, `gets`: questions that its limits allow now."""
    made = Plan()
    listable: dict[bool, list[Pair]] = {False: [], True: []}
    searchable: list[Pair] = []
    oldest: str | None = None
    for task, sub in stale:
        pair = task, sub
        match sub.outcome:
            case Outcome.SENDING:
                made.cut_off.append(pair)
            case Outcome.UNKNOWN if task.reason == UNRESOLVED and now >= give_up_at(sub.sent_at, task.deadline_at):
                made.over.append(pair)
            case Outcome.UNKNOWN if task.reason == UNRESOLVED:
                made.quiet.append((pair, give_up_at(sub.sent_at, task.deadline_at)))
            case Outcome.UNKNOWN if not scans or sub.base_url != base_url:
                made.unsearchable.append(pair)
            case Outcome.UNKNOWN:
                searchable.append(pair)
                oldest = oldest or "search"
            case _:
                until = quiet_until(task, now, terms(task), jitter())
                if until is not None:
                    made.quiet.append((pair, until))
                elif sub.base_url != base_url:
                    made.orphaned.append(pair)
                elif batch <= 1 or task.missing > 0 or naming.contested(sub) or task.asks % ALONE_EVERY == ALONE_EVERY - 1:
                    _one(made, pair, gets)
                else:
                    listable[flex(task)].append(pair)
                    oldest = oldest or ("flex" if flex(task) else "default")
    # One list a turn, for whoever waits longest; the smaller heap may still be asked about one by one.
    for tier, pairs in listable.items():
        if len(pairs) <= FEW:
            for pair in pairs:
                _one(made, pair, gets)
            listable[tier] = []
    if lists > 0 and searchable and (oldest == "search" or not any(listable.values())):
        model, made.flex = searchable[0][0].model, flex(searchable[0][0])
        made.search = [(t, s) for t, s in searchable if t.model == model and flex(t) == made.flex]
    elif lists > 0 and any(listable.values()):
        made.flex = bool(listable[True]) and (oldest == "flex" or not listable[False])
        made.batch = listable[made.flex][:batch]
    waiting = len(searchable) + sum(map(len, listable.values()))
    made.left_listed += waiting - len(made.search) - len(made.batch)
    return made


def _one(made: Plan, pair: Pair, gets: int) -> None:
    if len(made.single) < gets:
        made.single.append(pair)
    else:
        made.left_single += 1


def quiet_until(task: Task, now: int, terms: Terms, jitter: float) -> int | None:
    """Until when silence is normal after all, because there was news since the timestamp was set."""
    if task.asks > 0:
        return None
    at = ask_at(terms.pace, task.state, task.news_at, 0, now, jitter)
    return at if at > now else None


def flex(task: Task) -> bool:
    """The list hides these unless it is asked for them."""
    return '"flex"' in task.order and json.loads(task.order).get("service_tier") == "flex"


def gets_allowed(asks_per_s: float) -> int:
    """In one turn. A third at once and the rest spread out: never more than the limit in any second."""
    return max(1, int(asks_per_s / 3))


def next_get_at(now: int, used: int, asks_per_s: float) -> int:
    return now + int(used * SECOND_MS * 1.5 / asks_per_s)


def next_list_at(now: int, batches_per_s: float) -> int:
    return now + int(SECOND_MS * SPACING / batches_per_s)


def silent_until(silent_count: int, now: int, jitter: float, retry_after_s: float | None) -> int:
    pause_ms = jittered(min(SILENT_MS * 2.0 ** min(silent_count - 1, 20), SILENT_LIMIT_MS), jitter)
    return now + max(pause_ms, min(int((retry_after_s or 0) * SECOND_MS), SILENT_LIMIT_MS * 12))
