"""What the outside world knows: what was acknowledged to it, what it was told, and what broke on the way."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Told:
    """One notice as a subscriber has it."""

    body: bytes
    count: int = 0
    """Times that it came."""
    subscriber: str = ""


@dataclass(slots=True)
class History:
    orders: dict[str, str] = field(default_factory=dict)
    """Acknowledged: the task's id by idempotency key."""
    callbacks: dict[str, str] = field(default_factory=dict)
    """Acknowledged with 2xx: remote id by the mark that this callback's body alone holds."""
    told: dict[str, Told] = field(default_factory=dict)
    """By webhook-id."""
    answers: Counter[str] = field(default_factory=Counter)
    """What was answered to orders and callbacks: `callback 200`, `order 503`, `order broken`."""
    faults: Counter[str] = field(default_factory=Counter)
    """What was done to the service."""
    figures: dict[str, float] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)

    def breach(self, what: str) -> None:
        self.breaches.append(what)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.breach(what)

    def note(self, name: str, value: float) -> None:
        """The worst of it."""
        self.figures[name] = max(value, self.figures.get(name, value))
