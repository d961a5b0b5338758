"""A backlog of deliveries drained: claimed, signed, sent, settled, each with the row of its attempt; against a bare aiohttp
loop that sends the same bytes and keeps nothing, and against the same courier over a plain httpx client.

    python -m tests.bench.fanout [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

To 1, 10 and 100 subscriptions, at the same number of requests in flight. Senders and the receiver are processes of their
own, and the senders take turns. httpx is slow, so that its turns are short.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.bench import ground
from tests.bench.backlog import told
from tests.bench.harness import WARM, Figure, Wanted, ratios, run, say
from tests.bench.listener import ask, listener
from tests.bench.servers import environment
from tests.bench.subscribed import subscribed

IN_FLIGHT = {1: 64, 10: 60, 100: 100}
"""By the number of subscriptions: what their caps on attempts at once allow together."""
COUNT, PLAIN_COUNT = 4_000, 400
"""Deliveries of one run."""
MARKS, PLAIN_MARKS = (0.5, 1.5), (16.0, 80.0)


class Sender:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    async def send(self, **command: Any) -> dict[str, float]:
        return await asyncio.get_running_loop().run_in_executor(None, self._ask, json.dumps(command))

    def _ask(self, line: str) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the sender died"
        result: dict[str, float] = json.loads(answer)
        return result


@contextmanager
def sender(how: str, url: str) -> Iterator[Sender]:
    command = [sys.executable, "-m", "tests.bench.sender", how]
    env = environment(ground.KEYS | {"CALLSHEET_DATABASE_URL": url})
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield Sender(process)
        assert process.stdin is not None
        process.stdin.close()  # the end of its input is the end of its work


async def measure(wanted: Wanted, engine: str) -> list[Figure]:
    figures = []
    rounded = 100 * WARM  # each turn is as many for every subscription
    counts = wanted.counts(wanted.work(COUNT, COUNT // 2) // rounded * rounded)
    plain_counts = [100, *[max(100, wanted.work(PLAIN_COUNT) // 100 * 100)] * wanted.runs]
    with ExitStack() as stack:
        urls = {how: stack.enter_context(ground.database_url(engine)) for how in ("ours", "httpx")}
        port = stack.enter_context(listener())
        target = f"http://127.0.0.1:{port}/{{n}}"
        for url in urls.values():
            async with ground.opened(url) as db:
                for many, in_flight in IN_FLIGHT.items():
                    await subscribed(db, target, many, in_flight // many, app_id=f"app-{many}")
        senders = stack.enter_context(ExitStack())
        ours, plain = (senders.enter_context(sender(how, urls[how])) for how in ("ours", "httpx"))
        bare = senders.enter_context(sender("aiohttp", "sqlite://"))
        sent = 0
        for many, in_flight in IN_FLIGHT.items():
            runs: dict[str, list[dict[str, float]]] = {"ours": [], "aiohttp": [], "httpx": []}
            for turn, (count, plain_count) in enumerate(zip(counts, plain_counts, strict=True)):
                backlog = {"app_id": f"app-{many}", "count": count // many}
                drained = await ours.send(**backlog, deliveries=count)
                looped = await bare.send(target=target, subscriptions=many, in_flight=in_flight, deliveries=count)
                slow = await plain.send(**(backlog | {"count": plain_count // many}), deliveries=plain_count)
                sent += count * 2 + plain_count
                if turn:  # the first warms up
                    for how, result in (("ours", drained), ("aiohttp", looped), ("httpx", slow)):
                        runs[how].append(result)
                    say(
                        f"fanout, {engine}, {many}: {drained['rate']:,.0f}/s at {drained['cpu_us']:.0f} µs CPU; aiohttp"
                        f" {looped['rate']:,.0f}/s at {looped['cpu_us']:.0f}; httpx {slow['rate']:,.0f}/s at {slow['cpu_us']:.0f}"
                    )
            figures += _figures(engine, many, runs)
        assert await ask(port, "count") == sent, "each was to be sent once"
        senders.close()
        async with ground.opened(urls["ours"]) as db:
            made, delivered = await db.read(told)
            assert made == delivered == len(IN_FLIGHT) * sum(counts), (made, delivered)
    return figures


def _figures(engine: str, many: int, runs: dict[str, list[dict[str, float]]]) -> list[Figure]:
    rates = {how: [result["rate"] for result in results] for how, results in runs.items()}
    shown = {
        "deliveries/s": rates["ours"],
        "aiohttp/s": rates["aiohttp"],
        "µs CPU": [result["cpu_us"] for result in runs["ours"]],
        "µs CPU aiohttp": [result["cpu_us"] for result in runs["aiohttp"]],
    }
    name = f"fan-out drain, {many} subscription{'s' * (many > 1)}"
    return [
        Figure(f"{name}, against bare aiohttp", ratios(rates["ours"], rates["aiohttp"]), *MARKS, engine=engine, rates=shown),
        Figure(
            f"{name}, against plain httpx",
            ratios(rates["ours"], rates["httpx"]),
            *PLAIN_MARKS,
            engine=engine,
            rates={"httpx/s": rates["httpx"]},
        ),
    ]


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [figure for engine in wanted.engines for figure in await measure(wanted, engine)]


if __name__ == "__main__":
    run(main, __doc__)
