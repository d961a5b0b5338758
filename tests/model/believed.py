"""What must be true, in as few words as possible. Written anew on purpose: nothing here is imported from the service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ENDINGS = ("succeeded", "failed", "cancelled", "expired")
RANK = {"created": 0, "queued": 1, "running": 2} | dict.fromkeys(ENDINGS, 3)
HOUR_MS = 3_600_000
RUNS_OUT_MS = 48 * HOUR_MS
"""An order that nobody took by then has expired."""
GIVEN_UP_MS = 7 * 24 * HOUR_MS
"""Before that asking may still teach something, so nothing is lost."""


def advances(state: str, said: str) -> bool:
    """States only go forward and the first ending stands; `lost` is our own word, and any ending is better."""
    if state == "lost":
        return said in ENDINGS
    return state not in ENDINGS and RANK[said] > RANK[state]


def contradicts(state: str, said: str) -> bool:
    return state in ENDINGS and said in ENDINGS and state != said


Owed = tuple[str | None, int | None, str]
"""(task, sequence, type) of a notice that a subscription has to get, once."""


@dataclass(slots=True)
class Order:
    """A task, as the model believes it to be."""

    name: str
    app: str
    prompt: str
    at: int
    state: str = "created"
    told: list[str] = field(default_factory=list)
    """Types of its transitions, the first first."""
    remote: str | None = None
    """Its name at the provider, if we have been told."""
    unknown: bool = False
    """Its answer got lost."""
    conflict: bool = False
    forgotten: bool = False
    shown: Any = None
    tag: str = ""

    @property
    def settled(self) -> bool:
        return self.state in (*ENDINGS, "lost")

    def legal(self, job_status: str | None, now: int) -> set[str]:
        """Where it may be after the service looked around by itself."""
        states = {self.state}
        if job_status is not None and advances(self.state, job_status):
            states.add(job_status)
        if self.state == "created" and job_status is None and now >= self.at + RUNS_OUT_MS:
            states.add("expired")
        if not self.settled and now >= self.at + GIVEN_UP_MS:
            states.add("lost")
        return states


@dataclass(slots=True)
class Listener:
    """A subscription."""

    name: str
    app: str
    host: str
    wants: Sequence[str]
    secrets: list[str]
    status: str = "active"
    owed: list[Owed] = field(default_factory=list)

    def hears(self, app: str, type: str) -> bool:
        return (
            self.app == app
            and self.status != "deleted"
            and (type in self.wants or ("task.*" in self.wants and type[:5] == "task."))
        )
