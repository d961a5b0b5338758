"""Where an exchange breaks decides what may have been placed: each breaking point by a real socket, over the real transport."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from service.accounts import Accounts, Desk
from service.app import prepare
from service.domain.admission import Caps
from service.domain.lifecycle import State
from service.egress import Guard, Transport
from service.providers.base import Account
from service.providers.registry import GATEWAYS
from service.store.database import inside_transaction
from tests.world import World

pytestmark = pytest.mark.anyio

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TIMEOUT_S = 0.4


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)


def answers(status: str, body: bytes = b"{}", headers: str = "") -> Play:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
        await writer.drain()

    return play


async def hangs_up_after_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def resets_in_the_middle_of_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"id"')
    await writer.drain()
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await reader.read()


async def speaks_no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"220 mail.test ESMTP\r\n")
    await writer.drain()


async def closes_before_a_word(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The connection stood, so some of the order may have been read."""


BUSY = b'{"error":{"code":"ServerOverloaded","message":"later"}}'
BAD = b'{"error":{"code":"InvalidParameter","message":"duration"}}'
FAULT = b'{"error":{"code":"InternalServiceError","message":"oops"}}'

CASES: list[tuple[str, Play, str, State, bool]] = [
    ("accepted", answers("200 OK", b'{"id":"cgt-1"}'), "accepted", State.QUEUED, False),
    ("busy", answers("429 Too Many Requests", BUSY, "Retry-After: 7\r\n"), "busy", State.CREATED, True),
    ("rejected", answers("400 Bad Request", BAD), "rejected", State.FAILED, False),
    ("a fault of theirs", answers("500 Internal Server Error", FAULT), "unknown", State.CREATED, False),
    ("a proxy's fault", answers("502 Bad Gateway", b"<html>"), "unknown", State.CREATED, False),
    ("a yes without a name", answers("200 OK", b'{"ok":true}'), "unknown", State.CREATED, False),
    ("a redirect", answers("302 Found", b"", "Location: /elsewhere\r\n"), "unknown", State.CREATED, False),
    ("a timeout", says_nothing, "unknown", State.CREATED, False),
    ("a reset", resets_in_the_middle_of_the_answer, "unknown", State.CREATED, False),
    ("a hang-up", hangs_up_after_the_request, "unknown", State.CREATED, False),
    ("a close before a word", closes_before_a_word, "unknown", State.CREATED, False),
    ("another protocol", speaks_no_http, "unknown", State.CREATED, False),
]


@asynccontextmanager
async def provider(play: Play) -> AsyncIterator[tuple[int, list[None]]]:
    """Its port, and one entry for each connection that came."""
    came: list[None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(None)
        try:
            await play(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], came
    finally:
        server.close()


@asynccontextmanager
async def over_the_wire(world: World, base_url: str) -> AsyncIterator[World]:
    """The world's one provider at a real address, spoken to by the real transport."""
    gateway = replace(GATEWAYS["ark"], facts=replace(GATEWAYS["ark"].facts, submit_timeout_s=TIMEOUT_S))  # type: ignore[type-var]
    desk = Desk(Account("ark", "default", base_url, "key"), gateway, caps=Caps())
    transport = Transport(Guard((), http=True), forbidden=inside_transaction)
    world.parts = replace(world.parts, transport=transport, accounts=Accounts([desk]))
    await prepare(world.parts)
    try:
        yield world
    finally:
        await transport.aclose()


async def outcome_of(world: World, task_id: int) -> str:
    [row] = await world.rows("SELECT outcome FROM submission WHERE task_id = :task", task=task_id)
    outcome: str = row.outcome
    return outcome


@pytest.mark.parametrize(("play", "outcome", "state", "waits"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_each_way_an_exchange_can_break(world: World, play: Play, outcome: str, state: State, waits: bool) -> None:
    async with provider(play) as (port, came), over_the_wire(world, f"http://127.0.0.1:{port}"):
        task = await world.submit()
        assert (await outcome_of(world, task.id), task.state, task.place_at is not None) == (outcome, state, waits)
        await world.send()
        assert len(came) == 1, "one connection, and never a second try by itself"


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:{closed}", "http://name.invalid", "https://127.0.0.1:{plain}"])
async def test_what_never_left_is_safe_to_send_again(world: World, base_url: str) -> None:
    async with provider(answers("200 OK")) as (plain, _):
        with socket.socket() as unbound:
            unbound.bind(("127.0.0.1", 0))
            address = base_url.format(closed=unbound.getsockname()[1], plain=plain)
            async with over_the_wire(world, address):
                task = await world.submit()
        assert await outcome_of(world, task.id) == "not_sent"
        assert (task.state, task.reason) == (State.CREATED, "provider_unreachable")
        assert task.place_at is not None


async def test_a_provider_that_comes_back_gets_the_order_once(world: World) -> None:
    async with provider(answers("200 OK", b'{"id":"cgt-1"}')) as (port, came):
        with socket.socket() as unbound:
            unbound.bind(("127.0.0.1", 0))
            async with over_the_wire(world, f"http://127.0.0.1:{unbound.getsockname()[1]}"):
                task = await world.submit()
        async with over_the_wire(world, f"http://127.0.0.1:{port}"):
            world.silence(seconds=2)
            await world.send()
            assert (await world.task(task.id)).state is State.QUEUED
            assert len(came) == 1
