"""Orders over HTTP, answered while somebody sends them."""

import asyncio
from typing import Any

import httpx

from tests.world import PRO, World

ORDER: dict[str, Any] = {"model": PRO, "prompt": "a paper boat"}


async def ordered(world: World, key: str | None = None, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    """The world's clock stands still, so the answer waits for the provider's word: it is sent meanwhile."""
    call = asyncio.create_task(world.api("POST", "/v1/tasks", ORDER | fields, key, **(headers or {})))
    while not call.done():
        await world.send()
        await asyncio.wait({call}, timeout=0.01)
    return call.result()


def is_a_problem(response: httpx.Response, status: int, kind: str) -> list[dict[str, str]]:
    """RFC 9457, in one shape everywhere. Its errors."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors"}
    assert (body["status"], body["type"].rpartition("/")[2]) == (status, kind)
    assert body["title"]
    assert body["detail"]
    for error in body["errors"]:
        assert set(error) == {"field", "message"}
    errors: list[dict[str, str]] = body["errors"]
    return errors
