"""Counters for /metrics. One registry per process, made by hand; no label ever holds a name of a task, a URL or a key."""

from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from service.ledger import Ledger

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


class Counted(Collector):
    """A counter of the hot path: counted in a plain dictionary, and put into words only when somebody looks."""

    def __init__(self, name: str, words: str, labels: Sequence[str], counts: Mapping[Any, int]) -> None:
        self._name, self._words, self._labels, self._counts = name, words, labels, counts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._words, labels=self._labels)
        for labels, count in list(self._counts.items()):
            family.add_metric([str(label) for label in labels], count)
        yield family


class Metrics:
    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self._latencies: dict[str, Histogram] = {}
        self._submitted = Counter("callsheet_submissions", "Submissions by outcome", ["provider", "outcome"], registry=r)
        self._asked = Counter("callsheet_polls", "Questions asked", ["provider", "answer"], registry=r)
        self._attempts: Tally[tuple[str, ...]] = Tally()
        r.register(Counted("callsheet_attempts", "Attempts to deliver by outcome", ("channel", "outcome"), self._attempts))
        self._latency = Histogram("callsheet_attempt_seconds", "Time of one attempt", ["channel"], buckets=SECONDS, registry=r)
        self._refused = Counter("callsheet_refused_callbacks", "Callbacks refused at the door", ["why"], registry=r)
        self._turned_away = Counter("callsheet_turned_away", "Requests refused because too much came at once", registry=r)
        self._lag = Gauge("callsheet_loop_pulse_seconds", "Since the last round of a loop", ["loop"], registry=r)
        self.ledger = Ledger()
        self._reports: Tally[tuple[str, ...]] = Tally()
        r.register(
            Counted(
                "callsheet_reports",
                "Reports by who brought them and what they came to",
                ("source", "verdict", "provider"),
                self._reports,
            )
        )
        r.register(
            Counted(
                "callsheet_account_events",
                "What became of submissions, callbacks and questions of each account",
                ("provider", "account", "what"),
                self.ledger.totals,
            )
        )
        self._readers = Gauge("callsheet_live_readers", "Streams of the live feed that are open", registry=r)
        self._waiting = Gauge("callsheet_group_waiting", "Operations that wait for a commit", registry=r)

    def recorded(self, source: str, verdict: str, provider: str) -> None:
        self._reports[source, verdict, provider] += 1

    def submitted(self, provider: str, outcome: str) -> None:
        self._submitted.labels(provider, outcome).inc()

    def asked(self, provider: str, answer: str) -> None:
        self._asked.labels(provider, answer).inc()

    def attempted(self, channel: str, outcome: str, elapsed_s: float) -> None:
        self._attempts[channel, outcome] += 1
        latency = self._latencies.get(channel)
        if latency is None:  # the library checks and joins labels at every call
            latency = self._latencies[channel] = self._latency.labels(channel)
        latency.observe(elapsed_s)

    def refused(self, why: str) -> None:
        self._refused.labels(why).inc()

    def turned_away(self) -> None:
        self._turned_away.inc()

    def pulse(self, loop: str, age_s: float) -> None:
        self._lag.labels(loop).set(age_s)

    def live_readers(self, count: int) -> None:
        self._readers.set(count)

    def group_waiting(self, count: int) -> None:
        self._waiting.set(count)

    def text(self) -> bytes:
        return generate_latest(self.registry)
