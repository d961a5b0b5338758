"""Where an exchange broke decides whether it may be sent again: every break has its class."""

import asyncio
import socket
import ssl
from collections.abc import Sequence

import httpx
import pytest

from service.egress import Guard, HungUp, exchange
from service.egress.connection import Connection
from service.egress.dial import connect
from tests.egress.peer import Names, Peer, Talk, forever, ok, once, post, read_request, reset, transport

pytestmark = pytest.mark.anyio

SMALL, HUGE = b"{}", b"x" * 20_000_000


async def test_a_refused_connection_is_a_connect_error() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with transport() as out:
            with pytest.raises(httpx.ConnectError, match=r"refused|Connect"):
                await exchange(out, post(f"http://127.0.0.1:{nobody.getsockname()[1]}/"), total_s=5, cap=9)


@pytest.mark.parametrize("host", ["nobody.test", "a..b", ".a", "x" * 70 + ".test", "a%00b"])
async def test_a_name_that_cannot_be_resolved_is_a_connect_error(host: str) -> None:
    async with transport(Guard(), resolve=Names({})) as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post(f"https://{host}/"), total_s=5, cap=9)


async def test_a_name_without_an_address_is_a_connect_error() -> None:
    async with transport(Guard(), resolve=Names({"bare.test": []})) as out:
        with pytest.raises(httpx.ConnectError, match="no address"):
            await exchange(out, post("https://bare.test/"), total_s=5, cap=9)


async def test_a_port_that_cannot_be_is_a_connect_error() -> None:
    async with transport() as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post("http://127.0.0.1:99999/"), total_s=5, cap=9)


@pytest.mark.parametrize(("connect_s", "total_s"), [(0.02, 5.0), (5.0, 0.02)])
async def test_a_look_up_or_a_connect_that_takes_too_long_is_a_connect_timeout(connect_s: float, total_s: float) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await forever()
        return []

    async def hang(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Connection:
        await forever()
        raise AssertionError

    async with transport(resolve=never) as slow_name, transport(connect=hang) as slow_connect:
        for out, host in ((slow_name, "slow.test"), (slow_connect, "127.0.0.1")):
            with pytest.raises(httpx.ConnectTimeout):
                await exchange(out, post(f"http://{host}/"), total_s=total_s, connect_s=connect_s, cap=9)


async def test_a_dead_first_address_does_not_use_up_the_time_of_the_next() -> None:
    dialled = []

    async def first_hangs(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Connection:
        dialled.append(address)
        if len(dialled) == 1:
            await forever()
        await asyncio.sleep(0.001)  # as any network would, and time enough to be told that none is left
        raise ConnectionRefusedError(111, "Connection refused")

    async with transport(Guard(), resolve=Names({"two.test": ["8.8.8.8", "1.1.1.1"]}), connect=first_hangs) as out:
        with pytest.raises(httpx.ConnectError):
            await exchange(out, post("https://two.test/"), total_s=5, connect_s=0.2, cap=9)
    assert dialled == ["8.8.8.8", "1.1.1.1"]


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await forever()


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await forever()


async def deaf_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    reset(writer)


async def heard_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def half_then_hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
    await forever()


async def half_then_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal")
    await writer.drain()
    reset(writer)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte at a time, each soon enough for a limit on silence: only a total deadline ends this."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("talk", "body", "total_s", "broken"),
    [
        (once(b""), SMALL, 5, HungUp),
        (once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"), SMALL, 5, httpx.RemoteProtocolError),
        (once(b"SSH-2.0-OpenSSH\r\n"), SMALL, 5, httpx.RemoteProtocolError),
        (once(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), SMALL, 5, httpx.RemoteProtocolError),
        (heard_then_reset, SMALL, 5, httpx.ReadError),
        (half_then_reset, SMALL, 5, httpx.ReadError),
        (slow, SMALL, 0.05, httpx.ReadTimeout),
        (half_then_hang, SMALL, 0.05, httpx.ReadTimeout),
        (drip, SMALL, 0.1, httpx.ReadTimeout),
        (deaf, HUGE, 0.1, httpx.WriteTimeout),
        (deaf_then_reset, HUGE, 5, httpx.WriteError),
    ],
)
async def test_a_break_after_something_may_have_been_sent_is_never_a_connect_error(
    talk: Talk, body: bytes, total_s: float, broken: type[httpx.TransportError]
) -> None:
    began = asyncio.get_running_loop().time()
    async with Peer(talk) as peer, transport() as out:
        with pytest.raises(broken) as caught:
            await exchange(out, post(peer.url, body), total_s=total_s, cap=65_536)
        assert type(caught.value) is broken
        assert out.stats().idle == 0
    assert asyncio.get_running_loop().time() - began < 4
    assert peer.connection_count == 1


async def test_a_fresh_request_is_never_sent_twice() -> None:
    async with Peer(once(b"")) as peer, transport() as out:
        with pytest.raises(httpx.RemoteProtocolError):
            await exchange(out, post(peer.url, fresh=True), total_s=5, cap=9)
    assert peer.connection_count == 1


async def test_a_lost_try_followed_by_a_failed_connect_does_not_pass_for_a_request_that_never_left() -> None:
    dial_count = 0

    async def only_once(address: str, port: int, tls: ssl.SSLContext | None, name: str) -> Connection:
        nonlocal dial_count
        dial_count += 1
        if dial_count > 1:
            raise ConnectionRefusedError(111, "Connection refused")
        return await connect(address, port, tls, name)

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(ok())
        await read_request(reader)

    async with Peer(answers_once) as peer, transport(connect=only_once) as out:
        await exchange(out, post(peer.url), total_s=5, cap=9)
        with pytest.raises(httpx.ReadError):
            await exchange(out, post(peer.url), total_s=5, cap=9)
    assert dial_count == 2
