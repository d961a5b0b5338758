"""Counters for /metrics. One registry per process, made by hand; no label ever holds a name of a task, a URL or a key."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.ledger import Ledger

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


class Metrics:
    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self._children: dict[tuple[int, tuple[str, ...]], Counter] = {}
        self._recorded = Counter(
            "callsheet_reports",
            "Reports by who brought them and what they came to",
            ["source", "verdict", "provider"],
            registry=r,
        )
        self._submitted = Counter("callsheet_submissions", "Submissions by outcome", ["provider", "outcome"], registry=r)
        self._asked = Counter("callsheet_polls", "Questions asked", ["provider", "answer"], registry=r)
        self._attempts = Counter("callsheet_attempts", "Attempts to deliver by outcome", ["channel", "outcome"], registry=r)
        self._latency = Histogram("callsheet_attempt_seconds", "Time of one attempt", ["channel"], buckets=SECONDS, registry=r)
        self._refused = Counter("callsheet_refused_callbacks", "Callbacks refused at the door", ["why"], registry=r)
        self._lag = Gauge("callsheet_loop_pulse_seconds", "Since the last round of a loop", ["loop"], registry=r)
        self._accounts = Counter(
            "callsheet_account_events",
            "What became of submissions, callbacks and questions of each account",
            ["provider", "account", "what"],
            registry=r,
        )
        self.ledger = Ledger(
            lambda provider, account, what, count: self._child(self._accounts, provider, account, what).inc(count)
        )
        self._waiting = Gauge("callsheet_group_waiting", "Operations that wait for a commit", registry=r)

    def recorded(self, source: str, verdict: str, provider: str) -> None:
        self._child(self._recorded, source, verdict, provider).inc()

    def submitted(self, provider: str, outcome: str) -> None:
        self._submitted.labels(provider, outcome).inc()

    def asked(self, provider: str, answer: str) -> None:
        self._asked.labels(provider, answer).inc()

    def attempted(self, channel: str, outcome: str, elapsed_s: float) -> None:
        self._child(self._attempts, channel, outcome).inc()
        self._latency.labels(channel).observe(elapsed_s)

    def refused(self, why: str) -> None:
        self._refused.labels(why).inc()

    def pulse(self, loop: str, age_s: float) -> None:
        self._lag.labels(loop).set(age_s)

    def group_waiting(self, count: int) -> None:
        self._waiting.set(count)

    def _child(self, counter: Counter, *labels: str) -> Counter:
        """The library checks and joins labels at every call; on the path of a callback that is a fifth of the time."""
        key = (id(counter), labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = counter.labels(*labels)
        return found

    def text(self) -> bytes:
        return generate_latest(self.registry)
