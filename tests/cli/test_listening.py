"""The address that is listened on, and how a crowd gets in."""

import asyncio
import socket
from contextlib import ExitStack

import pytest
import uvloop

from service.cli.client import Trouble
from service.cli.listening import DOORS, doors, listener

CROWD = 200


def test_an_address_that_is_taken_is_said_also_before_anybody_is_served_there() -> None:
    with listener("127.0.0.1", 0) as first, pytest.raises(Trouble, match="Cannot listen"):
        listener("127.0.0.1", first.getsockname()[1])


class Guest(asyncio.Protocol):
    came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Guest.came += 1
        transport.close()


async def turns_for_a_crowd() -> int:
    loop = asyncio.get_running_loop()
    Guest.came = turns = 0
    with ExitStack() as stack:
        listening = stack.enter_context(listener("127.0.0.1", 0))
        servers = [await loop.create_server(Guest, sock=door, backlog=CROWD) for door in stack.enter_context(doors(listening))]
        for _ in range(CROWD):
            guest = stack.enter_context(socket.socket())
            guest.setblocking(False)
            guest.connect_ex(listening.getsockname())
        while Guest.came < CROWD:
            await asyncio.sleep(0)
            turns += 1
        for server in servers:
            server.close()
            await server.wait_closed()
    return turns


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_crowd_that_comes_at_once_is_let_in_within_a_few_turns_of_the_loop(
    new_loop: "type[asyncio.AbstractEventLoop]",
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(turns_for_a_crowd()) < 3 * CROWD / DOORS
