"""The address that is listened on, and how a crowd gets in."""

import asyncio
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop

from service.cli.client import Trouble
from service.cli.listening import DOORS, doors, listener
from tests.cli.running import environment, running

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


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only there a process's descriptors can be looked at")
def test_the_service_listens_by_all_its_doors(tmp_path: Path) -> None:
    with running(environment(f"sqlite:///{tmp_path}/callsheet.db"), "serve", "--port", "0") as service:
        port = f":{int(service.url.rpartition(':')[2]):04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        [socket_] = [f"socket:[{line[9]}]" for line in lines if line[1].endswith(port) and line[3] == "0A"]
        opened = [os.readlink(each) for each in Path(f"/proc/{service.process.pid}/fd").iterdir()]
        assert opened.count(socket_) >= DOORS
