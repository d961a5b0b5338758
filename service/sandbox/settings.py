"""How the simulated world behaves for every job; words in a prompt (`wishes.py`) say it for one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

CALLING = frozenset({"ark", "byteplus", "sandbox", "acedata", "pixazo"})
"""Gateways whose documents promise callbacks. The others accept a `callback_url` and stay silent."""

RATES = ("fail", "expire", "lose", "repeat", "reorder", "busy", "reject", "timeout", "error", "garble", "stuck", "forget")
"""Settings that are a share of jobs (or of callbacks: lose, repeat, garble), drawn from the seeded generator."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    queue_s: float = 1.0
    run_s: float = 2.0
    slow_factor: float = 10.0
    """How much longer a `[slow]` job takes."""
    hang_s: float = 120.0
    """How long `[timeout]` says nothing: longer than the 60 s that a patient client waits for a submit."""
    retry_after_s: int = 1
    """What a busy answer asks for."""
    callbacks: frozenset[str] = CALLING
    """Which gateways pass `callback_url` on. Name one that does not, to see how a client copes when it does."""
    callback_timeout_s: float = 5.0
    """Ark's documented limit for an answer."""
    callback_tries: int = 3
    """Ark's documented tries for succeeded and failed; one for every other word, because nothing is documented."""
    callback_pause_s: float = 1.0
    """Between tries; not documented."""
    limits: bool = False
    """Enforce Ark's 1 list and 20 gets a second."""
    jobs: int = 20_000
    """Remembered at most; the oldest that ended goes first. About 2 KB each."""
    seed: int | None = None
    """Of all chance: the same seed and the same calls give the same world."""
    public_url: str | None = None
    """Where the videos are, e.g. `http://127.0.0.1:8000/sandbox`. None: as the order's own request was addressed."""
    memory: str | None = None
    """A file that keeps the jobs over a restart. None: they end with the process."""
    print: bool = False
    """The receiver says one line per notice."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """By the names in RATES, 0 to 1, e.g. `{"lose": 0.3}`."""

    def __post_init__(self) -> None:
        wrong = [name for name, rate in self.rates.items() if name not in RATES or not 0 <= rate <= 1]
        if wrong:
            raise ValueError(f"rates {', '.join(sorted(wrong))}: known are {', '.join(RATES)}, each from 0 to 1")
        negative = [f.name for f in fields(self) if f.name.endswith("_s") and getattr(self, f.name) < 0]
        if negative:
            raise ValueError(f"{', '.join(negative)}: a duration cannot be negative")
