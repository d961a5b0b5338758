"""A real courier with real sockets in a world whose clock runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

from service.egress import Guard, Transport
from service.loops.courier import Courier
from service.loops.pulse import Loop
from service.store.database import inside_transaction
from tests.world import World

TICK_MS = 10


async def tick(world: World) -> None:
    """As fast as ours, however late a busy machine wakes us: no lease and no back-off lasts longer than it says."""
    clock = asyncio.get_running_loop().time
    then = clock()
    while True:
        await asyncio.sleep(TICK_MS / 1000)
        passed_ms = int((clock() - then) * 1000)
        world.now += passed_ms
        then += passed_ms / 1000


@asynccontextmanager
async def courier(world: World, look_s: float = 0.05) -> AsyncIterator[Courier]:
    """`look_s`: how long it rests when no bell rings."""
    transport = Transport(Guard([ip_network("127.0.0.0/8")]), forbidden=inside_transaction)
    object.__setattr__(world.parts, "transport", transport)
    stopping = asyncio.Event()
    made = Courier(world.parts, stopping)
    made.start()
    clock = asyncio.create_task(tick(world))
    loop = asyncio.create_task(Loop("courier", made.round, world.parts.courier.bell, look_s).run(stopping))
    try:
        yield made
    finally:
        stopping.set()
        await loop
        ends = [clock, *made.under_way()]
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
        await transport.aclose()
