"""Who wants to know: event patterns and filters of subscriptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TASK_EVENTS = ("task.queued", "task.running", "task.succeeded", "task.failed", "task.cancelled", "task.expired", "task.lost")
OPERATIONAL_EVENTS = (
    "subscription.disabled",
    "delivery.abandoned",
    "callback.conflict",
    "provider.degraded",
    "provider.unknown_status",
    "submission.unknown",
)
TEST_EVENT = "test"
EVENTS = TASK_EVENTS + OPERATIONAL_EVENTS
EVERY_TASK_EVENT = ("task.*",)


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty fields let everything through."""

    models: Sequence[str] = ()
    providers: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def wants(patterns: Sequence[str], event: str) -> bool:
    head = event.partition(".")[0]
    return any(p in (event, "*") or (p.endswith(".*") and p[:-2] == head) for p in patterns)


def possible(pattern: str) -> bool:
    """Some event can match it."""
    return any(wants((pattern,), event) for event in EVENTS)


def passes(filter: Filter, model: str, provider: str | None, metadata: Mapping[str, str]) -> bool:
    return (
        (not filter.models or model in filter.models)
        and (not filter.providers or provider in filter.providers)
        and all(metadata.get(name) == value for name, value in filter.metadata.items())
    )
