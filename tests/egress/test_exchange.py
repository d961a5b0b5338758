"""`exchange` over any httpx transport: tests and the simulation put a `MockTransport` where the network would be."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from service.egress import exchange
from service.wire import Reply
from tests.egress.peer import post

pytestmark = pytest.mark.anyio


async def test_a_mock_answers_with_names_in_lower_case_and_raw_bytes_whatever_the_extensions() -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.extensions["trusted"] is request.extensions["fresh"] is True
        return httpx.Response(202, headers=[("X-A", "1"), ("x-a", "2")], stream=httpx.ByteStream(request.content * 2))

    request = post("https://a.test/", b"ab", trusted=True, fresh=True)
    reply = await exchange(httpx.MockTransport(handler), request, total_s=1, cap=9)
    assert reply == Reply(202, {"x-a": "1, 2"}, b"abab")


async def test_a_mocks_long_body_is_cut_or_refused_as_asked() -> None:
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"xxxx"
        finally:
            closed.append(True)

    mock = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))
    assert (await exchange(mock, post("https://a.test/"), total_s=1, cap=6, over="cut")).body == b"xxxxxx"
    with pytest.raises(httpx.RemoteProtocolError):
        await exchange(mock, post("https://a.test/"), total_s=1, cap=6, over="error")


async def test_a_body_of_just_the_cap_is_no_error() -> None:
    mock = httpx.MockTransport(lambda _: httpx.Response(200, content=b"123456"))
    assert (await exchange(mock, post("https://a.test/"), total_s=1, cap=6, over="error")).body == b"123456"


async def test_a_mock_that_hangs_before_or_in_its_body_meets_the_same_deadline() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def hang_inside() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    for mock in (httpx.MockTransport(hang), httpx.MockTransport(lambda _: httpx.Response(200, content=hang_inside()))):
        with pytest.raises(httpx.ReadTimeout):
            await exchange(mock, post("https://a.test/"), total_s=0.02, cap=6)


async def test_what_a_mock_raises_comes_through() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError):
        await exchange(httpx.MockTransport(refuse), post("https://a.test/"), total_s=1, cap=6)
