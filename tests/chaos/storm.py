"""Thousands of callbacks about one task, doubled, shuffled and contradicting each other: one ending, one delivery for each
transition and subscription, and a bounded number of receipts."""

import asyncio
import time

from tests.chaos.ground import Ground, until

WORDS = ("queued", "running", "running", "succeeded", "failed")
LANES = 32
"""Callbacks on the wire at once."""
PER_S = 800.0
"""How many come for each second that the storm shall last."""


async def run(ground: Ground, for_s: float, quick: bool, per_s: float = PER_S) -> None:
    await ground.start("serve")
    for number in range(3):
        await ground.subscribe(f"one-{number}")
    task = await ground.order("storm", "[still]")
    await until(lambda: _placed(ground), "it is placed")
    [job] = ground.player.jobs.values()
    words = ground.dice.choices(WORDS, k=int(for_s * per_s))
    began = time.monotonic()
    left = iter(words)

    async def blow() -> None:
        for word in left:
            await ground.player.insist(job, word)

    await asyncio.gather(*(blow() for _ in range(LANES)))
    ground.history.faults["callback about one task"] += len(words)
    ground.history.note("callbacks a second", len(words) / (time.monotonic() - began))
    await ground.drain()
    endings = await ground.one("SELECT count(*) FROM event WHERE state IN ('succeeded', 'failed')")
    ground.history.expect(endings == 1, f"{task} has {endings} endings")
    told = sum(told.count for told in ground.history.told.values())
    promised = await ground.one(
        "SELECT count(*) FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.sequence IS NOT NULL"
    )
    expected = 3 * await ground.one("SELECT sequence FROM task")
    ground.history.expect(told == promised == expected, f"{expected} notices were due, {promised} promised and {told} told")


async def _placed(ground: Ground) -> bool:
    return len(ground.player.jobs) == 1 and await ground.one("SELECT state FROM task") != "created"
