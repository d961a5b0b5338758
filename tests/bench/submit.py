"""Orders a second over the native API, 64 callers, a provider that answers at once: against a Starlette route that only
reads its body.

    python -m tests.bench.submit [sqlite] [postgres] [--quick] [--out FILE] [--compare EARLIER.json]

Each order is committed, sent to the sandbox in a process of its own, its answer committed, and only then answered 201: two
group commits and one request. The sandbox shares the cores; its CPU is shown beside the service's.
"""

from collections.abc import Sequence

import orjson

from tests.bench import ground
from tests.bench.harness import Figure, Wanted, ratios, run, say
from tests.bench.load import load, post
from tests.bench.servers import ROOT, child, cpu_s, free_port, listening, server

ORDERS = 1_500
NOOPS = 12_000
MARKS = (0.06, 0.12)
SANDBOX = """
import sys
from service.sandbox import SandboxSettings, serve
serve("127.0.0.1", int(sys.argv[1]), SandboxSettings(queue_s=3_600, callbacks=frozenset()))
"""
"""Accepts at once, and then says nothing more: its own client would be what is measured."""


def orders(count: int, first: int) -> list[bytes]:
    headers = {"Authorization": f"Bearer {ground.KEYS['CALLSHEET_ADMIN_KEY']}"}
    bodies = (
        {"model": "seedance-1-0-pro-250528", "prompt": f"a paper boat, number {n}", "duration": 5}
        for n in range(first, first + count)
    )
    return [post("/v1/tasks", orjson.dumps(body), headers) for body in bodies]


async def measure(wanted: Wanted, engine: str) -> Figure:
    counts = wanted.counts(wanted.work(ORDERS, ORDERS // 4))
    with ground.database_url(engine) as url:
        async with ground.opened(url):
            pass
        ours, theirs, provider = free_port(), free_port(), free_port()
        env = {name: value for name, value in ground.KEYS.items() if name != "CALLSHEET_ARK_API_KEY"}
        # Without an account of a gateway the service takes the sandbox that it would have at its own port for one.
        env |= {"PORT": str(provider), "CALLSHEET_PUBLIC_URL": f"http://127.0.0.1:{ours}"}
        env |= {"CALLSHEET_DATABASE_URL": url, "BENCH_LOOPS": "1"}
        placed: list[float] = []
        bare: list[float] = []
        cpu_us: list[float] = []
        sandbox_us: list[float] = []
        with child(["-c", SANDBOX, str(provider)], {"PYTHONPATH": str(ROOT)}) as sandbox:
            listening(provider, sandbox)
            with server("tests.bench.apps:product", ours, env) as product, server("tests.bench.apps:noop", theirs):
                for turn, many in enumerate(counts):
                    made = orders(many, sum(counts[:turn]))
                    noop = await load(
                        theirs, [request.replace(b"/v1/tasks", b"/callbacks/a/b") for request in made[:1]] * wanted.work(NOOPS)
                    )
                    before = cpu_s(product.pid), cpu_s(sandbox.pid)
                    got = await load(ours, made)
                    spent = [(cpu_s(p.pid) - b) / many * 1e6 for p, b in zip((product, sandbox), before, strict=True)]
                    assert got.statuses == {"201": many}, got.statuses
                    if turn:  # the first warms up
                        placed.append(got.rate)
                        bare.append(noop.rate)
                        cpu_us.append(spent[0])
                        sandbox_us.append(spent[1])
                        say(
                            f"submit, {engine}: {got.rate:,.0f}/s of {noop.rate:,.0f}/s, p99 {got.percentile_ms(0.99):.0f} ms,"
                            f" {spent[0]:.0f} µs CPU each, the sandbox {spent[1]:.0f}"
                        )
    rates = {"orders/s": placed, "no-op/s": bare, "µs CPU": cpu_us, "µs CPU of the sandbox": sandbox_us}
    return Figure("submit against a no-op", ratios(placed, bare), *MARKS, engine=engine, rates=rates)


async def main(wanted: Wanted) -> Sequence[Figure]:
    return [await measure(wanted, engine) for engine in wanted.engines]


if __name__ == "__main__":
    run(main, __doc__)
