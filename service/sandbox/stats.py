"""What the simulated world was asked and what it said, counted: the proof that nobody asked, or paid, too often."""

from collections import Counter, OrderedDict
from hashlib import sha256
from typing import Any

CALLBACKS = 50_000
"""Callback URLs whose orders are counted; the oldest are forgotten."""


def digest(callback_url: str) -> str:
    """Stands for a callback URL in everything that is shown: the URL itself lets its holder speak for the gateway."""
    return sha256(callback_url.encode()).hexdigest()


class Stats:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._callbacks: Counter[tuple[str, str]] = Counter()
        self._placed: Counter[str] = Counter()
        self._placed_for: OrderedDict[str, int] = OrderedDict()

    def request(self, provider: str, kind: str) -> None:
        """create, get, list, batch, delete; `refused` beside them for each that was answered with an error."""
        self._requests[provider, kind] += 1

    def placed(self, provider: str, callback_url: str | None) -> None:
        self._placed[provider] += 1
        if callback_url is None:
            return
        name = digest(callback_url)
        self._placed_for[name] = self._placed_for.pop(name, 0) + 1
        if len(self._placed_for) > CALLBACKS:
            self._placed_for.popitem(last=False)

    def callback(self, provider: str, outcome: str) -> None:
        """sent (every try), acknowledged, given_up, lost, garbled, dropped."""
        self._callbacks[provider, outcome] += 1

    def placed_for(self, callback_url: str) -> int:
        return self._placed_for.get(digest(callback_url), 0)

    def view(self) -> dict[str, Any]:
        return {
            "requests": _nested(self._requests),
            "placed": dict(self._placed),
            "callbacks": _nested(self._callbacks),
            "placed_per_callback": dict(self._placed_for),
            "placed_twice": sum(count > 1 for count in self._placed_for.values()),
        }


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for (provider, kind), count in sorted(counts.items()):
        out.setdefault(provider, {})[kind] = count
    return out
